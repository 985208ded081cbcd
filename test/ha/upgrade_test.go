package ha

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/measured"
)

// upgrade brings the cluster to the next minors, one after the other.
func upgrade(t *testing.T, s *suite.Suite) {
	for _, to := range hops {
		if !t.Run(to.version, func(t *testing.T) { to.upgrade(t, s) }) {
			return
		}
	}
}

// upgrade brings one control plane after the other to the version. A client notices nothing.
func (to hop) upgrade(t *testing.T, s *suite.Suite) {
	for _, h := range s.Cluster.Hosts {
		if r := to.bundle.Install(t.Context(), h, "images", "load"); r.Err != nil {
			t.Fatal(r.Err, r.Stderr)
		}
	}
	w := startClient(t, s, "upgrade-"+to.version, patience/4)
	for i, h := range s.Cluster.Hosts {
		args := []string{"upgrade", "node"}
		if i == 0 {
			args = []string{"upgrade", "apply", "-y"}
		}
		held := holder(t, s)
		if held == nil {
			t.Fatal("no control plane holds the virtual IP")
		}
		args = append(args, "--configure-runtime") // a newer version has another sandbox image
		start := time.Now()
		r := to.bundle.Install(t.Context(), h, args...)
		if r.Err != nil {
			w.stop()
			t.Fatalf("%s on %s: exit code %d\n%s%s", strings.Join(args, " "), h.Name, r.Code(), r.Stdout, r.Stderr)
		}
		t.Logf("MEASURED %s on %s, the address then with %s: %v\n%s", strings.Join(args, " "), h.Name, held.Name, time.Since(start).Round(100*time.Millisecond), r.Stderr)
		if now := holder(t, s); now == nil || now == h {
			t.Errorf("after the upgrade of %s no other control plane holds the address", h.Name)
		}
	}
	if err := s.Cluster.AwaitReady(t.Context()); err != nil {
		t.Error(err)
	}
	w.unharmed(t, s, "upgrade of three control planes to "+to.version)
	note(t, measured.UpgradeGap, w.longest.Seconds())
	note(t, measured.UpgradeFailed, float64(len(w.failed)))
	note(t, measured.UpgradeAsked, float64(w.requests))
	to.isNew(t, s)
	wholeEtcd(t, s.Cluster.Hosts...)
}

// isNew wants every pod and every kubelet of the new version.
func (to hop) isNew(t *testing.T, s *suite.Suite) {
	t.Helper()
	for _, p := range suite.Get[corev1.PodList](t, s, "pods", "-n", "kube-system").Items {
		image := p.Spec.Containers[0].Image
		if strings.Contains(image, "/kube-") && !strings.HasSuffix(image, ":"+to.version) {
			t.Errorf("%s runs %s, want %s", p.Name, image, to.version)
		}
	}
	for _, n := range suite.Get[corev1.NodeList](t, s, "nodes").Items {
		if have := n.Status.NodeInfo.KubeletVersion; have != to.version || n.Spec.Unschedulable {
			t.Errorf("node %s: its kubelet is %s, cordoned %v", n.Name, have, n.Spec.Unschedulable)
		}
	}
	for _, h := range s.Cluster.Hosts {
		if out, err := h.Output(t.Context(), "sh", "-c", "ls /etc/keepalived/leaving /var/lib/kubebundle/upgrade/pending.json 2>/dev/null; grep -c '^ *server ' /etc/haproxy/haproxy.cfg"); err != nil || strings.TrimSpace(out) != "3" {
			t.Errorf("%s has %q, %v; want an HAProxy that knows all three API servers, and no mark", h.Name, out, err)
		}
	}
}
