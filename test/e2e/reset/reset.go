// Package reset: after reset a host's file tree is as it was before the installation, except for what is listed here with its reason.
package reset

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/hosts"
)

// mayStay is what reset leaves, each with the reason.
var mayStay = []struct {
	path   *regexp.Regexp
	reason string
}{
	{regexp.MustCompile(`^/etc/containerd/config\.toml$`), "the runtime goes on with the bundle's sandbox image, which stays loaded; the user allowed it with --configure-runtime"},
	{regexp.MustCompile(`^/etc/containerd$`), "its folder"},
	{regexp.MustCompile(`^/etc/cni/net\.d(/.*)?$|^/etc/cni$`), "the network add-on's pod wrote it, not the installer; kubeadm reset leaves it too and says so"},
	{regexp.MustCompile(`^/opt/cni/bin/flannel$|^/opt/cni(/bin)?$`), "the network add-on's pod wrote it"},
	{regexp.MustCompile(`^/var/lib/cni(/.*)?$`), "the CNI plugins' own notes"},
	{regexp.MustCompile(`^/var/lib/cri-dockerd(/.*)?$`), "cri-dockerd's own notes"},
	{regexp.MustCompile(`^/var/lib/kubebundle(/.*)?$`), "the installer's journal and lock: what was done and taken back"},
	{regexp.MustCompile(`^/etc/\.pwd\.lock$|^/etc/machine-id$|^/var/lib/dbus(/.*)?$`), "the system's own"},
}

// Test resets worker and control plane, and resets them again.
func Test(t *testing.T, s *suite.Suite) {
	for _, h := range []*hosts.Host{s.Worker(), s.Server()} {
		Host(t, s, h, s.Clean[h.Name])
	}
}

// Host resets one host and compares it with what it was.
func Host(t *testing.T, s *suite.Suite, h *hosts.Host, clean hosts.Snapshot) {
	t.Helper()
	s.MustInstall(t, h, "reset", "--force")
	Like(t, h, clean)
	s.MustInstall(t, h, "reset", "--force") // and once more: there is nothing left to do
}

// Like compares a host that was reset with what it was.
func Like(t *testing.T, h *hosts.Host, clean hosts.Snapshot) {
	t.Helper()
	after, err := h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	Differs(t, h, clean, after)
	Quiet(t, h)
}

// Differs compares a host's files after a reset with those of before.
func Differs(t *testing.T, h *hosts.Host, clean, after hosts.Snapshot) {
	t.Helper()
	for _, d := range clean.Diff(after) {
		if !allowed(d) {
			t.Errorf("after reset, %s: %s", h.Name, d)
		}
	}
}

// Quiet wants that nothing of the cluster runs on a host, is mounted there or is known to systemd, the kernel or the runtime; except
// names what is left out.
func Quiet(t *testing.T, h *hosts.Host, except ...string) {
	t.Helper()
	for what, cmd := range running(h) {
		if slices.Contains(except, what) {
			continue
		}
		out, err := h.Output(t.Context(), "sh", "-c", cmd)
		if out = strings.TrimSpace(out); err != nil || out != "" && out != "0" {
			t.Errorf("after reset, %s has %s: %q, %v", h.Name, what, out, err)
		}
	}
}

func running(h *hosts.Host) map[string]string {
	containers := "ctr -n k8s.io containers list -q"
	if h.Runtime.HasDocker() {
		containers = "docker ps -aq"
	}
	return map[string]string{
		"processes":           "pgrep -lx 'kubelet|kube-.*|etcd|coredns|flanneld|containerd-shim.*' || true",
		"mounts":              "grep -E '/var/lib/kubelet|/run/containerd/io.containerd.runtime' /proc/mounts || true",
		"routes":              "ip route show 10.96.0.0/12",
		"bridge of pods":      "ls -d /sys/class/net/cni0 2>/dev/null || true",
		"units":               "systemctl list-units --all --plain --no-legend 'kubelet*' 'kubebundle*'",
		"containers of pods":  containers,
		"iptables of proxies": "iptables-save | grep -c KUBE-SVC || true",
	}
}

func allowed(diff string) bool {
	path, _, _ := strings.Cut(diff[2:], ": was ")
	for _, m := range mayStay {
		if m.path.MatchString(path) {
			return true
		}
	}
	return false
}
