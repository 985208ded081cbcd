package ha

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/hosts"
)

const snapshot = "/root/monday.db"

// restore destroys the data of every member, and brings the cluster back from a snapshot: what was there before is there, what came later is not.
func restore(t *testing.T, s *suite.Suite) {
	first := s.Server()
	install := func(h *hosts.Host, args ...string) string {
		t.Helper()
		r := newer.Install(t.Context(), h, append([]string{"etcd", "snapshot"}, args...)...)
		if r.Err != nil {
			t.Fatalf("etcd snapshot %s on %s: exit code %d\n%s%s", strings.Join(args, " "), h.Name, r.Code(), r.Stdout, r.Stderr)
		}
		return r.Stdout
	}
	s.Kubectl(t, "create", "configmap", "monday", "--from-literal=x=before")
	install(first, "save", snapshot)
	s.Kubectl(t, "create", "configmap", "tuesday")
	data, err := os.ReadFile(filepath.Join(first.Root(), snapshot))
	if err != nil {
		t.Fatal(err)
	}
	var members []string
	for _, h := range s.Cluster.Hosts { // step 1 of docs/recovery.md
		members = append(members, fmt.Sprintf("%s=https://%s:2380", h.Name, h.IP))
		if err := h.WriteFile(snapshot, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := strings.Join(members, ",")
	unfit(t, s, data, all)

	for _, h := range s.Cluster.Hosts {
		if err := h.Run(t.Context(), "sh", "-c", "rm -rf /var/lib/etcd/*; pkill -KILL -x etcd"); err != nil {
			t.Fatal(err)
		}
	}
	suite.Eventually(t, time.Minute, func() error {
		if out, err := s.Cluster.Kubectl(t.Context(), "--request-timeout=3s", "get", "configmaps", "-o", "name"); err == nil && strings.Contains(out, "monday") {
			return fmt.Errorf("the data is still served: %s", out)
		}
		return nil
	})
	start := time.Now()
	for _, h := range s.Cluster.Hosts { // step 2
		said := install(h, "restore", snapshot, "--initial-cluster", all, "--force")
		t.Logf("restored %s after %v; it had joined by itself: %v", h.Name, time.Since(start).Round(time.Second), strings.Contains(said, "in the restored cluster already"))
	}
	suite.Eventually(t, 2*time.Minute, func() error { return s.Cluster.Healthy(t.Context()) })
	t.Logf("MEASURED the API serves %v after the first restore began", time.Since(start).Round(time.Second))
	wholeEtcd(t, s.Cluster.Hosts...)
	if out := s.Kubectl(t, "get", "configmaps", "-o", "name"); !strings.Contains(out, "monday") || strings.Contains(out, "tuesday") {
		t.Errorf("after the restore there is\n%s", out)
	}
	// Once more on one node, which would cost it its member.
	if said := install(first, "restore", snapshot, "--initial-cluster", all, "--force"); !strings.Contains(said, "in the restored cluster already") {
		t.Errorf("a second restore of %s says %s", first.Name, said)
	}
	wholeEtcd(t, s.Cluster.Hosts...)
	// Whoever watched before goes on: a pod that is deleted is replaced.
	if err := s.Cluster.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Kubectl(t, "-n", "kube-system", "delete", "pod", "-l", "k8s-app=kube-dns")
	if err := s.Cluster.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, h := range s.Cluster.Hosts {
		left, err := h.Output(t.Context(), "sh", "-c", "ls /var/lib/kubebundle/restore* 2>/dev/null || true")
		if err != nil || left != "" {
			t.Errorf("left on %s: %q, %v", h.Name, left, err)
		}
	}
}

// unfit: a snapshot that is cut short, one of another cluster, and one whose members nobody has named are refused before anything is changed.
func unfit(t *testing.T, s *suite.Suite, data []byte, all string) {
	t.Helper()
	h := s.Server()
	if err := h.WriteFile("/root/short.db", data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	// To a node with another CA, the snapshot is one of another cluster.
	if err := h.Run(t.Context(), "sh", "-c", "mkdir -p /root/pki && cp /etc/kubernetes/pki/front-proxy-ca.crt /root/pki/ca.crt"); err != nil {
		t.Fatal(err)
	}
	before := state(t, h)
	for _, c := range []struct{ args, texts []string }{
		{[]string{"/root/short.db", "--initial-cluster", all}, []string{"it is cut short"}},
		{[]string{snapshot, "--initial-cluster", all, "--cert-dir", "/root/pki"}, []string{"it is of another cluster"}},
		{[]string{snapshot}, []string{"several members", all}},
		{[]string{snapshot, "--initial-cluster", "other=https://192.0.2.1:2380"}, []string{"is not in it"}},
	} {
		r := newer.Install(t.Context(), h, slices.Concat([]string{"etcd", "snapshot", "restore", "--force"}, c.args)...)
		if r.Code() != 1 {
			t.Errorf("restore %q: exit code %d, want 1\n%s", c.args, r.Code(), r.Stderr)
		}
		for _, text := range c.texts {
			if !strings.Contains(r.Stderr, text) {
				t.Errorf("restore %q does not say %q:\n%s", c.args, text, r.Stderr)
			}
		}
		if now := state(t, h); now != before {
			t.Errorf("restore %q was refused and has changed\n%s\nto\n%s", c.args, before, now)
		}
	}
}

// state is what a restore changes first: the static pods and what is in etcd's folder.
func state(t *testing.T, h *hosts.Host) string {
	t.Helper()
	out, err := h.Output(t.Context(), "sh", "-c", "sha256sum /etc/kubernetes/manifests/*; ls -d /var/lib/etcd/*; ls /var/lib/kubebundle/restore* 2>/dev/null; pgrep -x etcd")
	if err != nil {
		t.Fatal(err)
	}
	return out
}
