package config_test

import (
	"testing"
	"time"
)

// The flag says what no file before v1beta4 can say, so it may stand beside one, and counts more than the file.
func TestCertValidity(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		args []string
		want time.Duration
	}{
		"a year":       {"", nil, 8760 * time.Hour},
		"the flag":     {"", []string{"--cert-validity", "48h"}, 48 * time.Hour},
		"an old file":  {"apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n", []string{"--cert-validity", "48h"}, 48 * time.Hour},
		"a file alone": {"apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\ncertificateValidityPeriod: 72h\n", nil, 72 * time.Hour},
		"both":         {"apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\ncertificateValidityPeriod: 72h\n", []string{"--cert-validity", "48h"}, 48 * time.Hour},
	} {
		load := initFile
		if c.file == "" {
			load = initArgs
		}
		got, err := load(t, c.file, c.args...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := got.Cluster.CertificateValidityPeriod.Duration; d != c.want {
			t.Errorf("%s: %s, want %s", name, d, c.want)
		}
	}
	join := []string{"10.0.0.1:6443", "--token", "abcdef.0123456789abcdef", "--discovery-token-unsafe-skip-ca-verification", "--cert-validity"}
	if c, err := joinArgs(t, "", append(join, "48h", "--control-plane")...); err != nil || c.CertValidity != 48*time.Hour {
		t.Errorf("join --control-plane: %v", err)
	}
	for _, args := range [][]string{append(join, "48h"), append(join, "-48h", "--control-plane")} {
		if _, err := joinArgs(t, "", args...); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}
