package ha

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/reset"
	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// leaveAndReturn takes the control plane that holds the address away by reset, refuses it with bad input, and joins it again. A client notices nothing.
func leaveAndReturn(t *testing.T, s *suite.Suite) {
	gone := holder(t, s)
	if gone == nil {
		t.Fatal("no control plane holds the virtual IP")
	}
	var rest []*hosts.Host
	for _, h := range s.Cluster.Hosts {
		if h != gone {
			rest = append(rest, h)
		}
	}
	w := startClient(t, s, "reset", patience/4)
	start := time.Now()
	reset.Host(t, s, gone, s.Clean[gone.Name])
	t.Logf("%s, which held the address, was reset and looked at within %v", gone.Name, time.Since(start).Round(100*time.Millisecond))
	if now := holder(t, s); now == nil || now == gone {
		t.Errorf("no other control plane than %s holds the address", gone.Name)
	}
	wholeEtcd(t, rest...)
	// reset does not speak to the API about its node, as kubeadm's does not.
	nodes := suite.Get[corev1.NodeList](t, s, "nodes").Items
	if !slices.ContainsFunc(nodes, func(n corev1.Node) bool { return n.Name == gone.Name }) {
		t.Errorf("node %s is gone", gone.Name)
	}
	s.Kubectl(t, "delete", "node", gone.Name)

	refusals(t, s, rest[0], gone)

	join := joinCommand(t, s, rest[0])
	start = time.Now()
	s.MustInstall(t, gone, slices.Concat(join, clusters.JoinFlags(s.Runtime))...)
	t.Logf("%s has joined again within %v", gone.Name, time.Since(start).Round(100*time.Millisecond))
	if err := s.Cluster.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	wholeEtcd(t, s.Cluster.Hosts...)
	w.unharmed(t, s, "reset and join of a control plane")
}

// joinCommand uploads the certificates once more, and gives what a further control plane joins with.
func joinCommand(t *testing.T, s *suite.Suite, from *hosts.Host) []string {
	t.Helper()
	out := s.MustInstall(t, from, "init", "phase", "upload-certs", "--upload-certs").Stdout
	_, key, ok := strings.Cut(strings.TrimSpace(out), "Using certificate key:\n")
	if !ok {
		t.Fatalf("upload-certs says %q", out)
	}
	args, err := clusters.JoinArgs(s.MustInstall(t, from, "token", "create", "--certificate-key", strings.TrimSpace(key), "--print-join-command").Stdout)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(args, "--control-plane") {
		t.Fatalf("join command is %q", args)
	}
	return args
}

// refusals: what stands against a further control plane is said before anything is changed.
func refusals(t *testing.T, s *suite.Suite, from, h *hosts.Host) {
	t.Helper()
	args := slices.Concat(joinCommand(t, s, from), clusters.JoinFlags(s.Runtime))
	before, err := h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(texts []string, args []string) {
		t.Helper()
		s.Refused(t, h, 1, append(texts, "error: ", "hint: "), args...)
		after, err := h.Snapshot(suite.Volatile...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := before.Diff(after); len(diff) > 0 {
			t.Errorf("a refused join changed the host:\n%s", strings.Join(diff, "\n"))
		}
	}
	other := slices.Clone(args)
	other[slices.Index(other, "--certificate-key")+1] = strings.Repeat("0123456789abcdef", 4)
	refused([]string{"fetch the shared certificates", "key"}, other)

	// A member that was announced and never came: as little to be reached as one whose host is gone.
	const ghost = "https://192.0.2.99:2380"
	c := openEtcd(t, from)
	if err := c.Add(t.Context(), ghost, true); err != nil {
		t.Fatal(err)
	}
	refused([]string{"etcd is not whole", ghost, "etcdctl member remove"}, args)
	if err := c.Remove(t.Context(), ghost); err != nil {
		t.Fatal(err)
	}

	s.Kubectl(t, "-n", "kube-system", "delete", "secret", "kubeadm-certs")
	refused([]string{"they were never uploaded, or have expired", "init phase upload-certs --upload-certs"}, args)
}
