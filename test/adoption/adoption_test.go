package adoption

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/reset"
	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// What the clusters are made with, and what they are upgraded to.
const (
	from = "v1.34.4"
	to   = "v1.35.4"
)

// rig is what both directions need.
type rig struct {
	*suite.Suite
	next  *clusters.Env   // of the version to upgrade to
	newer clusters.Bundle // of that version
}

var shared *rig

// TestMain runs nothing unless KUBEBUNDLE_E2E=1 asks for it; then everything that is missing is a failure, never a skip.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("KUBEBUNDLE_E2E") != "1" {
		fmt.Println("the tests with kubeadm's clusters are off; KUBEBUNDLE_E2E=1 turns them on (root, real hosts)")
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	var err error
	if shared, err = setup(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "prepare:", err)
		return 1
	}
	defer func() {
		if err := shared.Lab.Down(context.WithoutCancel(ctx)); err != nil {
			fmt.Fprintln(os.Stderr, "take the lab down:", err)
		}
	}()
	return m.Run()
}

func setup(ctx context.Context) (*rig, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	r := &rig{Suite: &suite.Suite{Version: from, Runtime: hosts.Containerd, Clean: map[string]hosts.Snapshot{}}}
	var err error
	if r.next, err = clusters.NewEnv(ctx, to, log); err != nil {
		return nil, err
	}
	if r.Env, err = clusters.NewEnv(ctx, from, log); err != nil {
		return nil, err
	}
	if err := r.Lab.Down(ctx); err != nil { // of a run that was killed
		return nil, err
	}
	if r.Programs, err = r.BuildPrograms(ctx); err != nil {
		return nil, err
	}
	if r.Bundle, err = r.BuildBundle(ctx, r.Programs); err != nil {
		return nil, err
	}
	r.newer, err = r.next.BuildBundle(ctx, r.Programs)
	return r, err
}

// in runs behaviours one after the other: each stands on those before it.
func (r *rig) in(t *testing.T, behaviours ...behaviour) {
	t.Helper()
	for _, b := range behaviours {
		ok := t.Run(b.name, func(t *testing.T) {
			start := time.Now()
			b.test(t)
			t.Logf("%s took %v", b.name, time.Since(start).Round(time.Second))
		})
		if !ok {
			t.Log(r.Report(context.WithoutCancel(t.Context())))
			break
		}
	}
	if err := r.Lab.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
}

type behaviour struct {
	name string
	test func(t *testing.T)
}

// ready waits until everything is.
func (r *rig) ready(t *testing.T) {
	t.Helper()
	if err := r.Cluster.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// on runs a command on a host and returns what it said.
func on(t *testing.T, h *hosts.Host, cmd ...string) string {
	t.Helper()
	out, err := h.Output(t.Context(), cmd...)
	if err != nil {
		t.Fatalf("%s on %s: %v\n%s", strings.Join(cmd, " "), h.Name, err, out)
	}
	return out
}

// installNewer runs the newer bundle's install, which must succeed.
func (r *rig) installNewer(t *testing.T, h *hosts.Host, args ...string) {
	t.Helper()
	if i := r.newer.Install(t.Context(), h, args...); i.Err != nil {
		t.Fatalf("install %s on %s: exit code %d\n%s%s", strings.Join(args, " "), h.Name, i.Code(), i.Stdout, i.Stderr)
	}
}

// carry brings programs of Kubernetes to a host, as packages do.
func carry(t *testing.T, e *clusters.Env, h *hosts.Host, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if err := e.CarryProgram(t.Context(), h, p); err != nil {
			t.Fatal(err)
		}
	}
}

// isNew wants every program of the new version, and no node cordoned.
func (r *rig) isNew(t *testing.T) {
	t.Helper()
	suite.Eventually(t, 3*time.Minute, func() error { // kube-proxy is exchanged on one node after the other
		for _, p := range suite.Get[corev1.PodList](t, r.Suite, "pods", "-n", "kube-system").Items {
			if image := p.Spec.Containers[0].Image; strings.Contains(image, "/kube-") && !strings.HasSuffix(image, ":"+to) {
				return fmt.Errorf("%s runs %s, want %s", p.Name, image, to)
			}
		}
		return nil
	})
	r.ready(t)
	nodes := suite.Get[corev1.NodeList](t, r.Suite, "nodes").Items
	if len(nodes) != len(r.Cluster.Hosts) {
		t.Errorf("%d nodes, want %d", len(nodes), len(r.Cluster.Hosts))
	}
	for _, n := range nodes {
		if have := n.Status.NodeInfo.KubeletVersion; have != to || n.Spec.Unschedulable {
			t.Errorf("node %s: its kubelet is %s, cordoned %v", n.Name, have, n.Spec.Unschedulable)
		}
	}
	if out := r.Kubectl(t, "-n", "kube-system", "get", "configmap", "kubeadm-config", "-o", "yaml"); !strings.Contains(out, "kubernetesVersion: "+to) {
		t.Errorf("kubeadm-config says\n%s", out)
	}
}

// certificates are the leaf certificates of a control plane, by their files.
func certificates(t *testing.T, h *hosts.Host) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range []string{"apiserver", "apiserver-kubelet-client", "apiserver-etcd-client", "front-proxy-client", "etcd/server", "etcd/peer", "etcd/healthcheck-client"} {
		data, err := os.ReadFile(filepath.Join(h.Root(), "etc/kubernetes/pki", name+".crt"))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(data)
	}
	for _, name := range []string{"admin", "super-admin", "controller-manager", "scheduler"} {
		data, err := os.ReadFile(filepath.Join(h.Root(), "etc/kubernetes", name+".conf"))
		if err != nil {
			t.Fatal(err)
		}
		out[name+".conf"] = string(data)
	}
	return out
}

func renewed(t *testing.T, before, after map[string]string) {
	t.Helper()
	for name, text := range before {
		if after[name] == text {
			t.Errorf("%s is not new", name)
		}
	}
}

// TestKubeadmsCluster: kubeadm made the control plane, and install goes on.
func TestKubeadmsCluster(t *testing.T) {
	r := shared
	var err error
	if r.Cluster, err = r.Kubeadm(t.Context(), 0, r.Runtime); err != nil {
		t.Fatal(err)
	}
	if err := r.Bundle.Carry(t.Context(), r.Server()); err != nil {
		t.Fatal(err)
	}
	r.in(t,
		behaviour{"join", r.join},
		behaviour{"certs", r.certs},
		behaviour{"upgrade", r.upgrade},
		behaviour{"kubeadm", r.kubeadmGoesOn},
		behaviour{"reset", r.reset},
	)
}

// join: a token of ours, and a worker of ours.
func (r *rig) join(t *testing.T) {
	made := r.MustInstall(t, r.Server(), "token", "create", "--print-join-command")
	args, err := clusters.JoinArgs(made.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	if list := on(t, r.Server(), "kubeadm", "token", "list"); !strings.Contains(list, args[3][:6]) {
		t.Errorf("kubeadm does not know the token of %q:\n%s", args, list)
	}
	h, err := r.Lab.Create(t.Context(), "w1", r.Runtime)
	if err != nil {
		t.Fatal(err)
	}
	for _, prepare := range []func(context.Context, *hosts.Host) error{r.Bundle.Carry, clusters.Forwarding} {
		if err := prepare(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	if r.Clean[h.Name], err = h.Snapshot(suite.Volatile...); err != nil {
		t.Fatal(err)
	}
	r.MustInstall(t, h, append(args, clusters.JoinFlags(r.Runtime)...)...)
	r.Cluster.Hosts = append(r.Cluster.Hosts, h)
	r.ready(t)
}

// certs: all are renewed, everything runs on with the new ones, and kubeadm finds them.
func (r *rig) certs(t *testing.T) {
	before := certificates(t, r.Server())
	r.MustInstall(t, r.Server(), "certs", "check-expiration")
	r.MustInstall(t, r.Server(), "certs", "renew", "all")
	renewed(t, before, certificates(t, r.Server()))
	if err := r.Cluster.FetchKubeconfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.ready(t)
	if out := on(t, r.Server(), "kubeadm", "certs", "check-expiration"); !strings.Contains(out, "364d") || strings.Contains(out, "MISSING") {
		t.Errorf("kubeadm says of renewed certificates\n%s", out)
	}
}

// upgrade: the control plane that kubeadm made and the worker that joined with install go to the next minor.
func (r *rig) upgrade(t *testing.T) {
	for _, h := range r.Cluster.Hosts {
		if err := r.newer.Carry(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		r.installNewer(t, h, "images", "load")
	}
	ignore := []string{"--ignore-preflight-errors", "NodeImages"} // the cluster hears of the worker's images within minutes
	r.installNewer(t, r.Server(), append([]string{"upgrade", "plan"}, ignore...)...)
	r.installNewer(t, r.Server(), append([]string{"upgrade", "apply", "-y"}, ignore...)...)
	r.installNewer(t, r.Cluster.Hosts[1], "upgrade", "node")
	r.isNew(t)
}

// kubeadmGoesOn: kubeadm of the new version reads what the upgrade has left in the cluster and on the node.
func (r *rig) kubeadmGoesOn(t *testing.T) {
	h := r.Server()
	carry(t, r.next, h, "kubeadm")
	if out := on(t, h, "kubeadm", "certs", "check-expiration"); strings.Contains(out, "MISSING") || !strings.Contains(out, "Reading configuration from the") {
		t.Errorf("kubeadm says of the certificates\n%s", out)
	}
	if out := on(t, h, "kubeadm", "token", "create", "--print-join-command"); !strings.Contains(out, "kubeadm join "+h.IP.String()+":6443") {
		t.Errorf("kubeadm's join command is %q", out)
	}
}

// reset takes both nodes back: the worker is what it was, and of what kubeadm made nothing is left.
func (r *rig) reset(t *testing.T) {
	worker, server := r.Cluster.Hosts[1], r.Server()
	r.installNewer(t, worker, "reset", "--force")
	reset.Like(t, worker, r.Clean[worker.Name])
	r.installNewer(t, server, "reset", "--force")
	reset.Quiet(t, server, "units", "routes") // the units came with packages, in this lab the route too
	out := on(t, server, "sh", "-c", "find /etc/kubernetes /var/lib/etcd /var/lib/kubelet -type f 2>/dev/null || true")
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "/etc/kubernetes/tmp/") { // kubeadm's own backups: kubeadm keeps them too, without --cleanup-tmp-dir
			t.Errorf("after reset there is still %s", strings.TrimSpace(line))
		}
	}
}
