package phase

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// olderState is an init of another version.
func olderState(t *testing.T, m *host.Memory, v string, args ...string) *State {
	t.Helper()
	var f config.InitFlags
	fs := pflag.NewFlagSet("init", pflag.ContinueOnError)
	f.AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	env := testEnvironment(m)
	env.KubernetesVersion, env.ImageRepository = v, testRelease(t, v).ImageRepository()
	cfg, err := config.LoadInit(&f, m.ReadFile, env)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Cluster.EncryptionAlgorithm = "ECDSA-P256"
	s := testState(t, goodRuntime())
	s.Init, s.Contract, s.Release = cfg, testContract(t, v), testRelease(t, v)
	return s
}

func planSelfHosting(t *testing.T, s *State, m *host.Memory) (steps []step.Step, text string) {
	t.Helper()
	return planAll(t, []Phase{SelfHosting{}}, s, m)
}

// Without its gate the phase is only for who asks for it by name.
func TestSelfHostingIsAskedFor(t *testing.T) {
	m := goodHost(t)
	for _, tc := range []struct {
		name  string
		only  []string
		args  []string
		plans bool
	}{
		{name: "a usual init"},
		{name: "the gate", args: []string{"--feature-gates", "SelfHosting=true"}, plans: true},
		{name: "the phase", only: []string{"selfhosting"}, plans: true},
		{name: "its part", only: []string{"selfhosting/convert-from-staticpods"}, plans: true},
		{name: "the gate, and not the phase", args: []string{"--feature-gates", "SelfHosting=true", "--skip-phases", "selfhosting/convert-from-staticpods"}},
	} {
		s := olderState(t, m, "v1.10.6", tc.args...)
		s.Only, s.DryRun = tc.only, true
		if _, text := planSelfHosting(t, s, m); (text != "") != tc.plans {
			t.Errorf("%s: planned\n%s", tc.name, text)
		}
	}
}

func TestSelfHostingPlan(t *testing.T) {
	m := goodHost(t)
	s := olderState(t, m, "v1.12.10", "--feature-gates", "StoreCertsInSecrets=true")
	s.DryRun = true
	_, text := planSelfHosting(t, s, m)
	golden(t, "selfhosting-v1.12.10.txt", text)
}

// The versions after v1.12 are refused with the reason, before anything is planned.
func TestSelfHostingOfANewerVersion(t *testing.T) {
	m := goodHost(t)
	for _, v := range []string{"v1.13.12", "v1.20.15", testVersion} {
		s := olderState(t, m, v)
		s.Only = []string{"selfhosting"}
		_, err := SelfHosting{}.Plan(t.Context(), s, m)
		var refused *PreflightError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "does not come back after all its nodes were off") {
			t.Errorf("%s: %v", v, err)
		}
	}
}

// Cut off after any step, the phase goes on; init takes what it has done for its own and brings no static pod back.
func TestSelfHostingGoesOnAfterEveryStep(t *testing.T) {
	args := []string{"--feature-gates", "SelfHosting=true"}
	m := goodHost(t)
	steps, _ := planAll(t, []Phase{ControlPlane{}}, olderState(t, m, "v1.10.6", args...), m)
	applyFiles(t, m, steps, -1)
	write(t, m, kubeletConf, "the node is set up")
	for n := 0; ; n++ {
		s := olderState(t, m, "v1.10.6", args...)
		steps, _ := planSelfHosting(t, s, m)
		done := false
		for _, st := range steps {
			if mv, ok := st.(step.Move); ok {
				if satisfied, err := mv.Satisfied(t.Context(), &step.Target{Host: m}); err != nil || !satisfied {
					if err := st.Apply(t.Context(), &step.Target{Host: m}); err != nil {
						t.Fatal(err)
					}
					done = true
					break // killed
				}
			}
		}
		if !done {
			if n != len(components()) {
				t.Errorf("%d manifests were moved, want %d", n, len(components()))
			}
			break
		}
	}
	for _, comp := range components() {
		if exists(m, path.Join(manifestsDir, comp+".yaml")) || !selfHosted(m, comp) {
			t.Errorf("%s is not where it belongs", comp)
		}
	}
	if err := CheckStaticPods(m, "upgrade"); err == nil || !strings.Contains(err.Error(), "hosts itself") {
		t.Errorf("an upgrade: %v", err)
	}
	again := olderState(t, m, "v1.10.6", args...)
	steps, text := planAll(t, []Phase{ControlPlane{}}, again, m)
	if left := unsatisfied(t, m, steps); len(left) > 0 {
		t.Errorf("a second init would: %v", left)
	}
	if strings.Contains(text, ".yaml") {
		t.Errorf("a second init writes a static pod:\n%s", text)
	}
	in := &inspection{s: again, r: m}
	in.own(t.Context())
	for _, comp := range components() {
		if !in.ownManifests[comp] {
			t.Errorf("preflight takes %s for a stranger's", comp)
		}
	}
}

// kubeadm's policy is written where the gate asks for auditing and the configuration names none.
func TestAuditPolicyIsWritten(t *testing.T) {
	m := goodHost(t)
	_, text := planAll(t, []Phase{ControlPlane{}}, olderState(t, m, "v1.11.10", "--feature-gates", "Auditing=true"), m)
	if !strings.Contains(text, "write /etc/kubernetes/audit/audit.yaml 0600") {
		t.Errorf("planned\n%s", text)
	}
	s := olderState(t, m, "v1.11.10", "--feature-gates", "Auditing=true")
	s.Init.Audit = &config.AuditPolicy{Path: "/srv/policy.yaml"}
	if _, text = planAll(t, []Phase{ControlPlane{}}, s, m); strings.Contains(text, "audit.yaml") {
		t.Errorf("planned\n%s", text)
	}
	problems, err := CheckHost(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, p := range problems {
		found = found || strings.Contains(p.Message, "/srv/policy.yaml, the audit policy, is not there")
	}
	if !found {
		t.Errorf("preflight says %v", problems)
	}
}
