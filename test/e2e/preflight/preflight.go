// Package preflight: everything that is wrong with a host is found at once, under kubeadm's names, with what mends it;
// and nothing was changed.
package preflight

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// Test breaks a host in five ways and has it looked at.
func Test(t *testing.T, s *suite.Suite) {
	h := s.BareHost(t, "pre1", s.Runtime)
	program := "/usr/sbin/losetup"
	if s.Before("1.34.0") { // which did not ask for that one
		program = "/usr/bin/nsenter"
	}
	cfg, err := clusters.InitConfig(s.Lab.Machine, s.Version, "")
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		clusters.ConfigPath:                             cfg,
		"/etc/kubernetes/manifests/kube-apiserver.yaml": "kind: Pod # of another cluster\n",
		"/var/lib/etcd/member/snap/db":                  "another cluster's data\n",
	} {
		if err := h.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, cmd := range []string{
		"mv " + program + " " + program + ".away",
		"sysctl -qw net.ipv4.ip_forward=0",
		"systemd-run --quiet --unit=squatter socat TCP4-LISTEN:10250,fork /dev/null",
	} {
		if err := h.Run(t.Context(), "sh", "-c", cmd); err != nil {
			t.Fatal(err)
		}
	}
	before, err := h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{
		"[FileContent--proc-sys-net-ipv4-ip_forward]", "sysctl -w net.ipv4.ip_forward=1",
		"[FileExisting-" + filepath.Base(program) + "]",
		"[Port-10250]",
		"[FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml]",
		"[DirAvailable--var-lib-etcd]",
	}
	s.Refused(t, h, 3, names, clusters.InitArgs()...)
	s.Refused(t, h, 3, names, "preflight", "--config", clusters.ConfigPath)
	// Docker is told its sandbox image by the kubelet; the one that containerd 2.4 has by itself is that of v1.36.
	if s.Runtime != hosts.Docker && s.Runtime != hosts.Containerd2 {
		// Without --configure-runtime the runtime's foreign sandbox image is one more of them, with the lines to change.
		s.Refused(t, h, 3, []string{"[SandboxImage]", "sandbox"}, "init", "--config", clusters.ConfigPath)
	}
	after, err := h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := before.Diff(after); len(diff) > 0 {
		t.Errorf("preflight changed the host:\n%s", strings.Join(diff, "\n"))
	}
	wrongArch(t, s, h)
}

// wrongArch gives the host a bundle that says it is for other machines.
func wrongArch(t *testing.T, s *suite.Suite, h *hosts.Host) {
	t.Helper()
	path := filepath.Join(h.Root(), "root", s.Bundle.Folder, "bundle.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(raw), `"arch": "`+runtime.GOARCH+`"`, `"arch": "s390x"`, 1)
	if other == string(raw) {
		t.Fatalf("no arch in %s", path)
	}
	sums := filepath.Join(filepath.Dir(path), "SHA256SUMS")
	list, err := os.ReadFile(sums)
	if err != nil {
		t.Fatal(err)
	}
	// The bundle is whole, only meant for others: its sums agree.
	list = bytes.ReplaceAll(list, sum(raw), sum([]byte(other)))
	if err := errors.Join(os.WriteFile(path, []byte(other), 0o644), os.WriteFile(sums, list, 0o644)); err != nil {
		t.Fatal(err)
	}
	s.Refused(t, h, 3, []string{"s390x", "hint: "}, clusters.InitArgs()...)
}

func sum(b []byte) []byte {
	h := sha256.Sum256(b)
	return hex.AppendEncode(nil, h[:])
}
