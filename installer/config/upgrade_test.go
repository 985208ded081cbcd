package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"kubebundle/installer/config"
)

const upgradeFile = `apiVersion: kubeadm.k8s.io/v1beta4
kind: UpgradeConfiguration
apply:
  kubernetesVersion: v1.35.4
  certificateRenewal: false
  forceUpgrade: true
  ignorePreflightErrors: [Swap]
  patches: {directory: /srv/patches}
  skipPhases: [addon/coredns]
node: {etcdUpgrade: false, dryRun: true}
diff: {contextLines: 7}
plan: {ignorePreflightErrors: [Mem]}
timeouts: {upgradeManifests: 3m0s}
`

func TestUpgradeConfiguration(t *testing.T) {
	timeouts := config.DefaultTimeouts()
	timeouts.UpgradeManifests = 3 * time.Minute
	for verb, want := range map[string]config.Upgrade{
		"apply": {
			KubernetesVersion: "v1.35.4", EtcdUpgrade: true, Force: true, IgnorePreflightErrors: []string{"swap"}, SkipPhases: []string{"addon/coredns"},
			PatchesDir: "/srv/patches", Timeouts: timeouts,
		},
		"node": {CertificateRenewal: true, DryRun: true, Timeouts: timeouts},
		"diff": {CertificateRenewal: true, EtcdUpgrade: true, ContextLines: 7, Timeouts: timeouts},
		"plan": {CertificateRenewal: true, EtcdUpgrade: true, IgnorePreflightErrors: []string{"mem"}, Timeouts: timeouts},
	} {
		got, err := config.LoadUpgrade(verb, "c.yaml", nil, files(upgradeFile))
		if err != nil {
			t.Errorf("%s: %v", verb, err)
			continue
		}
		if diff := cmp.Diff(&want, got, cmp.Transformer("list", func(l []string) string { return strings.Join(l, " ") })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", verb, diff)
		}
	}
}

func TestUpgradeConfigurationRefused(t *testing.T) {
	for file, want := range map[string]string{
		strings.Replace(upgradeFile, "forceUpgrade", "force", 1):                         "c.yaml:6: apply.force: unknown field",
		strings.Replace(upgradeFile, "v1beta4", "v1beta3", 1):                            "c.yaml:2: kind: unknown",
		strings.Replace(upgradeFile, "v1beta4", "v1beta9", 1):                            "c.yaml:1: apiVersion: unknown",
		strings.Replace(upgradeFile, "/srv/patches", "patches", 1):                       "apply.patches.directory: ",
		strings.Replace(upgradeFile, "v1.35.4", "newest", 1):                             "apply.kubernetesVersion: ",
		upgradeFile + "---\n" + upgradeFile:                                              "a second UpgradeConfiguration",
		strings.Replace(upgradeFile, "forceUpgrade: true", "imagePullPolicy: Always", 1): "apply.imagePullPolicy: Always needs a registry",
		"apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n":               "has no UpgradeConfiguration",
	} {
		_, err := config.LoadUpgrade("apply", "c.yaml", nil, files(file))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v, for\n%s", want, err, file)
		}
		if !strings.Contains(file, "UpgradeConfiguration") {
			continue
		}
		if err := config.Validate("c.yaml", files(file), config.Environment{}); err == nil {
			t.Errorf("validate accepts\n%s", file)
		}
	}
	fs := pflag.NewFlagSet("apply", pflag.ContinueOnError)
	fs.String("config", "", "")
	fs.Bool("etcd-upgrade", true, "")
	fs.Bool("yes", false, "")
	if err := fs.Parse([]string{"--config", "c.yaml", "--yes", "--etcd-upgrade=false"}); err != nil {
		t.Fatal(err)
	}
	_, err := config.LoadUpgrade("apply", "c.yaml", fs, files(upgradeFile))
	if err == nil || !strings.Contains(err.Error(), "--config cannot be combined with --etcd-upgrade:") {
		t.Errorf("mixed flags: %v", err)
	}
}

// What is printed to begin with is read again, and says nothing but the defaults.
func TestUpgradeAndResetDefaults(t *testing.T) {
	for kind, make := range map[string]func() ([]byte, error){"UpgradeConfiguration": config.UpgradeDefaults, "ResetConfiguration": config.ResetDefaults} {
		data, err := make()
		if err != nil {
			t.Fatal(err)
		}
		if err := config.Validate("c.yaml", files(string(data)), config.Environment{}); err != nil || !strings.Contains(string(data), "kind: "+kind) {
			t.Errorf("%s: %v\n%s", kind, err, data)
		}
		again, err := config.Migrate("c.yaml", files(string(data)))
		if diff := cmp.Diff(string(data), string(again)); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", kind, err, diff)
		}
	}
}
