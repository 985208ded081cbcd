package adoption

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/reset"
	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// TestOurCluster: install made the control plane, and kubeadm goes on.
func TestOurCluster(t *testing.T) {
	r := shared
	var err error
	r.Cluster, err = r.Install(t.Context(), clusters.InstallOptions{ControlPlanes: 1, Runtime: r.Runtime, Bundle: r.Bundle, Before: func(_ context.Context, h *hosts.Host) (err error) {
		r.Clean[h.Name], err = h.Snapshot(suite.Volatile...)
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	carry(t, r.Env, r.Server(), "kubeadm")
	r.in(t,
		behaviour{"join", r.kubeadmJoin},
		behaviour{"certs", r.kubeadmCerts},
		behaviour{"upgrade", r.kubeadmUpgrade},
		behaviour{"reset", r.kubeadmReset},
	)
}

// kubeadmJoin: a token of kubeadm's, and a worker of kubeadm's.
func (r *rig) kubeadmJoin(t *testing.T) {
	h, err := r.Lab.Create(t.Context(), "k1", r.Runtime)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.PrepareForKubeadm(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if err := r.Cluster.KubeadmJoin(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	r.Cluster.Hosts = append(r.Cluster.Hosts, h)
	r.ready(t)
}

// kubeadmCerts: kubeadm finds all certificates and renews them, and install finds those. The upgrade that follows starts everything with them.
func (r *rig) kubeadmCerts(t *testing.T) {
	h := r.Server()
	if out := on(t, h, "kubeadm", "certs", "check-expiration"); strings.Contains(out, "MISSING") {
		t.Errorf("kubeadm says of our certificates\n%s", out)
	}
	before := certificates(t, h)
	on(t, h, "kubeadm", "certs", "renew", "all")
	renewed(t, before, certificates(t, h))
	if out := r.MustInstall(t, h, "certs", "check-expiration").Stdout; !strings.Contains(out, "364d") {
		t.Errorf("install says of what kubeadm has renewed\n%s", out)
	}
	if err := r.Cluster.FetchKubeconfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.ready(t)
}

// kubeadmUpgrade: both nodes go to the next minor as kubeadm's documentation says.
func (r *rig) kubeadmUpgrade(t *testing.T) {
	for i, h := range r.Cluster.Hosts {
		if _, err := r.next.ImportImages(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		carry(t, r.next, h, "kubeadm")
		args := []string{"kubeadm", "upgrade", "node", "--ignore-preflight-errors", clusters.KubeadmIgnores}
		if i == 0 {
			args = []string{"kubeadm", "upgrade", "apply", to, "--yes", "--ignore-preflight-errors", clusters.KubeadmIgnores}
		}
		on(t, h, args...)
		carry(t, r.next, h, "kubelet")
		moment := time.Now().Truncate(time.Second) // a container's start has seconds
		on(t, h, "systemctl", "restart", "kubelet")
		if i == 0 {
			r.startedSince(t, moment)
		}
	}
	r.isNew(t)
}

// startedSince waits until the static pods run under the new kubelet, which starts all of them anew: an API server that is about to end must not be
// what the next node talks to.
func (r *rig) startedSince(t *testing.T, moment time.Time) {
	t.Helper()
	suite.Eventually(t, 3*time.Minute, func() error {
		out, err := r.Cluster.Kubectl(t.Context(), "--request-timeout=5s", "-n", "kube-system", "get", "pods", "-l", "tier=control-plane", "-o", "json")
		if err != nil {
			return err
		}
		var pods corev1.PodList
		if err := json.Unmarshal([]byte(out), &pods); err != nil {
			return err
		}
		for _, p := range pods.Items {
			for _, c := range p.Status.ContainerStatuses {
				if !c.Ready || c.State.Running == nil || c.State.Running.StartedAt.Time.Before(moment) {
					return fmt.Errorf("%s has not started anew: %+v", p.Name, c.State)
				}
			}
		}
		return nil
	})
}

// kubeadmReset: kubeadm takes its worker back, and our control plane as far as it can; install takes the rest.
func (r *rig) kubeadmReset(t *testing.T) {
	for _, h := range []*hosts.Host{r.Cluster.Hosts[1], r.Server()} {
		on(t, h, "kubeadm", "reset", "--force")
	}
	server := r.Server()
	r.MustInstall(t, server, "reset", "--force")
	on(t, server, "rm", "-rf", "/usr/bin/kubeadm", "/etc/kubernetes/tmp") // the test's own, and kubeadm's backups
	on(t, server, "sh", "-c", "rmdir /etc/kubernetes 2>/dev/null || true")
	reset.Like(t, server, r.Clean[server.Name])
}
