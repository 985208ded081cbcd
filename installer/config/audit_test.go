package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer/config"
)

// What a MasterConfiguration says about auditing is kept as it is, and `config migrate` says the same with arguments and volumes.
func TestAuditPolicy(t *testing.T) {
	file := strings.NewReplacer(`{path: "", logDir: "", logMaxAge: 2}`, "{path: /srv/policy.yaml, logMaxAge: 7}", "{CoreDNS: true}", "{CoreDNS: true, Auditing: true}").Replace(v1alpha1File)
	c, err := initFile(t, file)
	if err != nil {
		t.Fatal(err)
	}
	days := int32(7)
	if diff := cmp.Diff(&config.AuditPolicy{Path: "/srv/policy.yaml", LogMaxAge: &days}, c.Audit); diff != "" || !c.Cluster.FeatureGates["Auditing"] {
		t.Errorf("gates %v, policy (-want +got):\n%s", c.Cluster.FeatureGates, diff)
	}
	out, err := config.Migrate("c.yaml", files(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"value: /etc/kubernetes/audit/audit.yaml", "value: /var/log/kubernetes/audit/audit.log", `value: "7"`, "hostPath: /srv/policy.yaml", "hostPath: /var/log/kubernetes/audit"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if strings.Contains(string(out), "Auditing") {
		t.Errorf("the gate is in\n%s", out)
	}
	if _, err := initFile(t, string(out)); err != nil {
		t.Error(err)
	}
	if _, err := config.Migrate("c.yaml", files(strings.Replace(file, "path: /srv/policy.yaml, ", "", 1))); err == nil || !strings.Contains(err.Error(), "auditPolicy.path") {
		t.Errorf("a policy that kubeadm made: %v", err)
	}
}

// Flags ask for more than they name, a file does not: kubeadm up to v1.12 resolved only them.
func TestGatesOfSelfHosting(t *testing.T) {
	c, err := initArgs(t, "", "--feature-gates", "HighAvailability=true")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"HighAvailability": true, "StoreCertsInSecrets": true, "SelfHosting": true}
	if diff := cmp.Diff(want, c.Cluster.FeatureGates); diff != "" {
		t.Error(diff)
	}
}
