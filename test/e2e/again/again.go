// Package again: a second init or join on a host that has it behind it changes nothing, and says so.
package again

import (
	"strings"
	"testing"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// alive is what changes on a running node by itself.
var alive = append([]string{
	"/var/lib/etcd", "/var/lib/kubelet/pods", "/var/lib/cni", "/var/lib/kubelet/cpu_manager_state", "/var/lib/kubelet/memory_manager_state",
	"/var/lib/kubelet/dra_manager_state", "/var/lib/kubelet/device-plugins", "/var/lib/kubelet/plugins_registry", "/var/lib/kubelet/plugins",
	"/var/lib/kubelet/checkpoints", "/var/lib/kubelet/pki",
	// The installer's own journal may note the second run.
	"/var/lib/kubebundle",
}, suite.Volatile...)

// Test runs the same commands again.
func Test(t *testing.T, s *suite.Suite) {
	join, err := clusters.JoinArgs(s.Cluster.Runs[0].Stdout)
	if err != nil {
		t.Fatal(err)
	}
	second(t, s, s.Server(), clusters.InitArgs()...)
	second(t, s, s.Worker(), append(join, clusters.JoinFlags(s.Runtime)...)...)
}

func second(t *testing.T, s *suite.Suite, h *hosts.Host, args ...string) {
	t.Helper()
	before, err := h.Snapshot(alive...)
	if err != nil {
		t.Fatal(err)
	}
	pid := kubelet(t, h)
	r := s.MustInstall(t, h, args...)
	if !strings.Contains(r.Stderr, "nothing to do") && !strings.Contains(r.Stderr, "changed nothing") && !strings.Contains(r.Stderr, ": 0 of ") {
		t.Errorf("the second %s on %s does not say that it changed nothing:\n%s", args[0], h.Name, r.Stderr)
	}
	after, err := h.Snapshot(alive...)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range before.Diff(after) {
		t.Errorf("the second %s changed on %s: %s", args[0], h.Name, d)
	}
	if now := kubelet(t, h); now != pid {
		t.Errorf("the second %s on %s restarted the kubelet", args[0], h.Name)
	}
}

func kubelet(t *testing.T, h *hosts.Host) string {
	t.Helper()
	out, err := h.Output(t.Context(), "systemctl", "show", "-p", "MainPID", "--value", "kubelet")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}
