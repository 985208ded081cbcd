package upgrade

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// From and to what, and from there on, unless KUBEBUNDLE_UPGRADE_FROM, KUBEBUNDLE_UPGRADE_TO and KUBEBUNDLE_UPGRADE_ON say otherwise. "none" goes
// no further.
const (
	defaultFrom = "v1.34.4"
	defaultTo   = "v1.35.4"
	defaultOn   = "v1.36.3"
)

var (
	shared *suite.Suite // of the old version
	newer  clusters.Bundle
	to     string
	latest clusters.Bundle
	on     string
)

// TestMain runs nothing unless KUBEBUNDLE_UPGRADE=1 asks for it; then everything that is missing is a failure, never a skip.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("KUBEBUNDLE_UPGRADE") != "1" {
		fmt.Println("upgrades of real clusters are off; KUBEBUNDLE_UPGRADE=1 turns them on (root, real hosts)")
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	start := time.Now()
	err := setup(ctx)
	if shared != nil && os.Getenv("KEEP") != "1" {
		defer func() {
			if err := shared.Lab.Down(context.WithoutCancel(ctx)); err != nil {
				fmt.Fprintln(os.Stderr, "take the lab down:", err)
			}
		}()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make the cluster:", err)
		return 1
	}
	fmt.Printf("the cluster of %s stands after %v\n", shared.Version, time.Since(start).Round(time.Second))
	return m.Run()
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func setup(ctx context.Context) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	from := env("KUBEBUNDLE_UPGRADE_FROM", defaultFrom)
	to = env("KUBEBUNDLE_UPGRADE_TO", defaultTo)
	on = env("KUBEBUNDLE_UPGRADE_ON", defaultOn)
	next, err := clusters.NewEnv(ctx, to, log)
	if err != nil {
		return err
	}
	e, err := clusters.NewEnv(ctx, from, log)
	if err != nil {
		return err
	}
	shared = &suite.Suite{Env: e, Version: from, Runtime: hosts.Runtime(env("KUBEBUNDLE_E2E_RUNTIME", string(hosts.Containerd)))}
	if err := e.Lab.Down(ctx); err != nil { // of a run that was killed
		return err
	}
	programs, err := e.BuildPrograms(ctx)
	if err != nil {
		return err
	}
	if newer, err = next.BuildBundle(ctx, programs); err != nil {
		return err
	}
	if shared.Bundle, err = e.BuildBundle(ctx, programs); err != nil {
		return err
	}
	if on != "none" {
		last, err := clusters.NewEnv(ctx, on, log)
		if err != nil {
			return err
		}
		if latest, err = last.BuildBundle(ctx, programs); err != nil {
			return err
		}
	}
	shared.Cluster, err = e.Install(ctx, clusters.InstallOptions{ControlPlanes: 1, Workers: 1, Runtime: shared.Runtime, Bundle: shared.Bundle})
	if err != nil {
		return err
	}
	for _, h := range shared.Cluster.Hosts {
		if err := newer.Carry(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// TestUpgrade is all of it, in the order in which one cluster can show it.
func TestUpgrade(t *testing.T) {
	for _, b := range []struct {
		name string
		test func(t *testing.T, s *suite.Suite)
	}{
		{"plan", plan},
		{"poisonedserver", poisonedServer},
		{"apply", apply},
		{"node", node},
		{"again", again},
		{"killed", killed},
		{"further", further},
	} {
		ok := t.Run(b.name, func(t *testing.T) {
			start := time.Now()
			b.test(t, shared)
			t.Logf("%s took %v", b.name, time.Since(start).Round(time.Second))
		})
		if !ok {
			t.Log(shared.Report(context.WithoutCancel(t.Context())))
			return
		}
	}
}

// upgradeArgs runs a verb of the newer bundle.
func upgrade(t *testing.T, h *hosts.Host, args ...string) clusters.Installation {
	t.Helper()
	r := newer.Install(t.Context(), h, append([]string{"upgrade"}, args...)...)
	t.Logf("upgrade %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code(), r.Stdout, r.Stderr)
	return r
}

func want(t *testing.T, r clusters.Installation, code int, texts ...string) {
	t.Helper()
	if r.Code() != code {
		t.Errorf("%s: exit code %d, want %d", strings.Join(r.Args, " "), r.Code(), code)
	}
	for _, text := range texts {
		if !strings.Contains(r.Stdout+r.Stderr, text) {
			t.Errorf("%s does not say %q", strings.Join(r.Args, " "), text)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// plan refuses while the worker lacks the images of what will start there, and lets pass when they are there.
func plan(t *testing.T, s *suite.Suite) {
	want(t, upgrade(t, s.Server(), "plan"), 3, "[NodeImages] node w1 lacks", "kube-apiserver")
	if r := newer.Install(t.Context(), s.Worker(), "images", "load"); r.Err != nil {
		t.Fatal(r.Err, r.Stderr)
	}
	suite.Eventually(t, 3*time.Minute, func() error {
		r := newer.Install(t.Context(), s.Server(), "upgrade", "plan")
		if r.Code() != 0 {
			return fmt.Errorf("exit code %d: %s", r.Code(), r.Stderr)
		}
		return nil
	})
	if r := upgrade(t, s.Server(), "diff"); !strings.Contains(r.Stdout, "+    image: registry.k8s.io/kube-apiserver:"+to) {
		t.Error("the diff does not show the new API server")
	}
}

// manifests are the static pods of a host and its kubelet's files.
func files(t *testing.T, h *hosts.Host) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"etc/kubernetes/manifests/*", "var/lib/kubelet/*.yaml", "var/lib/kubelet/*.env", "etc/systemd/system/kubelet.service", "etc/systemd/system/kubelet.service.d/*"} {
		names, err := filepath.Glob(filepath.Join(h.Root(), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			data, err := os.ReadFile(n)
			if err != nil {
				t.Fatal(err)
			}
			out[strings.TrimPrefix(n, h.Root())] = string(data)
		}
	}
	return out
}

// returns runs an upgrade that cannot succeed and looks whether all is as before.
func returns(t *testing.T, s *suite.Suite, patch, content string, texts ...string) {
	t.Helper()
	h := s.Server()
	if err := h.Run(t.Context(), "sh", "-c", "rm -rf /root/poison && mkdir /root/poison"); err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile("/root/poison/"+patch, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	before, config := files(t, h), s.Kubectl(t, "-n", "kube-system", "get", "configmap", "kubeadm-config", "kubelet-config", "kube-proxy", "coredns", "-o", "jsonpath={.items[*].data}")
	w := clusters.WatchAPI(t.Context(), h)
	start := time.Now()
	r := upgrade(t, h, "apply", "-y", "--patches", "/root/poison")
	took := time.Since(start)
	down := w.Stop()
	t.Logf("MEASURED the failed upgrade took %v; the API did not serve for %v, at most %v at a time", took.Round(time.Second), down.Total.Round(100*time.Millisecond), down.Longest.Round(100*time.Millisecond))
	want(t, r, 1, append(texts, "the node is what it was: Kubernetes "+s.Version+" serves again", "/var/lib/kubebundle/upgrade/logs")...)
	if err := s.Cluster.AwaitReady(t.Context()); err != nil {
		t.Error(err)
	}
	for p, text := range files(t, h) {
		if before[p] != text {
			t.Errorf("%s is not what it was:\n%s", p, text)
		}
		delete(before, p)
	}
	for p := range before {
		t.Errorf("%s is gone", p)
	}
	if now := s.Kubectl(t, "-n", "kube-system", "get", "configmap", "kubeadm-config", "kubelet-config", "kube-proxy", "coredns", "-o", "jsonpath={.items[*].data}"); now != config {
		t.Errorf("the cluster's configuration was\n%s\nand is\n%s", config, now)
	}
	versions(t, s, s.Version, slices.Repeat([]string{s.Version}, len(s.Cluster.Hosts))...)
}

func poisonedServer(t *testing.T, s *suite.Suite) {
	returns(t, s, "kube-apiserver+json.yaml", "- {op: add, path: /spec/containers/0/command/-, value: --nonsense=1}\n", "unknown flag: --nonsense")
	if out, err := s.Server().Output(t.Context(), "sh", "-c", "cat /var/lib/kubebundle/upgrade/logs/kube-apiserver-*"); err != nil || !strings.Contains(out, "unknown flag") {
		t.Errorf("the kept logs say %q, %v", out, err)
	}
}

// versions wants the control plane's pods and all kubelets to be of versions.
func versions(t *testing.T, s *suite.Suite, server string, kubelets ...string) {
	t.Helper()
	for _, p := range suite.Get[corev1.PodList](t, s, "pods", "-n", "kube-system", "-l", "tier=control-plane").Items {
		if image := p.Spec.Containers[0].Image; p.Labels["component"] != "etcd" && !strings.HasSuffix(image, ":"+server) {
			t.Errorf("%s runs %s, want %s", p.Name, image, server)
		}
	}
	nodes := suite.Get[corev1.NodeList](t, s, "nodes").Items
	if len(nodes) != len(kubelets) {
		t.Fatalf("%d nodes, want %d", len(nodes), len(kubelets))
	}
	for i, n := range nodes {
		if have := n.Status.NodeInfo.KubeletVersion; have != kubelets[i] {
			t.Errorf("the kubelet of %s is %s, want %s", n.Name, have, kubelets[i])
		}
		if n.Spec.Unschedulable {
			t.Errorf("node %s is cordoned", n.Name)
		}
	}
	if out := s.Kubectl(t, "version"); !strings.Contains(out, "Server Version: "+server) {
		t.Errorf("kubectl version says %s", out)
	}
	if out := s.Kubectl(t, "-n", "kube-system", "get", "configmap", "kubeadm-config", "-o", "yaml"); !strings.Contains(out, "kubernetesVersion: "+server) {
		t.Errorf("kubeadm-config says\n%s", out)
	}
}

// apply is the upgrade of the first control plane. Pods of the whole cluster are Ready afterwards, and a client was not served for some seconds.
func apply(t *testing.T, s *suite.Suite) { applied(t, s) }

func applied(t *testing.T, s *suite.Suite, flags ...string) {
	t.Helper()
	w := clusters.WatchAPI(t.Context(), s.Server())
	start := time.Now()
	r := upgrade(t, s.Server(), append([]string{"apply", "-y", "-v", "1"}, flags...)...)
	took := time.Since(start)
	down := w.Stop()
	t.Logf("MEASURED upgrade apply took %v; the API did not serve for %v, at most %v at a time", took.Round(100*time.Millisecond), down.Total.Round(100*time.Millisecond), down.Longest.Round(100*time.Millisecond))
	want(t, r, 0, "upgrade apply: done")
	if _, err := s.Cluster.Kubectl(t.Context(), "get", "pods", "-n", "kube-system"); err != nil {
		t.Errorf("the upgrade has ended, and the API does not serve: %v", err)
	}
	if err := s.Cluster.AwaitReady(t.Context()); err != nil {
		t.Error(err)
	}
	versions(t, s, to, to, s.Version)
	if _, err := os.Stat(filepath.Join(s.Server().Root(), "var/lib/kubebundle/upgrade/before/etcd.db")); err != nil {
		t.Errorf("there is no snapshot of etcd from before: %v", err)
	}
}

func node(t *testing.T, s *suite.Suite) { followed(t, s) }

// followed: a worker is upgraded after its control plane.
func followed(t *testing.T, s *suite.Suite, flags ...string) {
	t.Helper()
	start := time.Now()
	want(t, upgrade(t, s.Worker(), append([]string{"node", "-v", "1"}, flags...)...), 0, "upgrade node: done")
	t.Logf("MEASURED upgrade node took %v", time.Since(start).Round(100*time.Millisecond))
	if err := s.Cluster.AwaitReady(t.Context()); err != nil {
		t.Error(err)
	}
	versions(t, s, to, to, to)
}

// further is the next minor version: the cluster is one that was upgraded, and not one that was made.
func further(t *testing.T, s *suite.Suite) {
	if on == "none" {
		t.Skip("KUBEBUNDLE_UPGRADE_ON is none")
	}
	s.Version, to, newer = to, on, latest
	for _, h := range s.Cluster.Hosts {
		if err := newer.Carry(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	if r := newer.Install(t.Context(), s.Worker(), "images", "load"); r.Err != nil {
		t.Fatal(r.Err, r.Stderr)
	}
	// The cluster hears of the images within a minute; the version has another sandbox image.
	applied(t, s, "--ignore-preflight-errors", "NodeImages", "--configure-runtime")
	followed(t, s, "--configure-runtime")
}

// again: the same command once more changes nothing that the node uses.
func again(t *testing.T, s *suite.Suite) {
	before := files(t, s.Server())
	const snapshot = "/var/lib/kubebundle/upgrade/before/etcd.db"
	sum := fileSum(t, s.Server(), snapshot)
	want(t, upgrade(t, s.Server(), "apply", "-y"), 0)
	if fileSum(t, s.Server(), snapshot) != sum {
		t.Error("the snapshot from before the upgrade was replaced by one from after it")
	}
	for p, text := range files(t, s.Server()) {
		if before[p] != text {
			t.Errorf("%s has changed", p)
		}
	}
	want(t, upgrade(t, s.Server(), "plan"), 0, "(is so already)")
	want(t, upgrade(t, s.Server(), "rollback"), 1, "there is no upgrade to take back")
}

func fileSum(t *testing.T, h *hosts.Host, file string) string {
	t.Helper()
	out, err := h.Output(t.Context(), "sha256sum", file)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// killed is a cluster of its own of one node. It is given a kubelet that does not start, after its control plane is new, and returns; then its upgrade is
// killed again and again: once it is taken back by hand, then it finishes.
func killed(t *testing.T, s *suite.Suite) {
	h := s.BareHost(t, "kill1", s.Runtime)
	if err := clusters.Forwarding(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	cfg, err := clusters.InitConfig(s.Lab.Machine, s.Version, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile(clusters.ConfigPath, []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	s.MustInstall(t, h, clusters.InitArgs()...)
	one := &suite.Suite{Env: s.Env, Version: s.Version, Runtime: s.Runtime, Cluster: &clusters.Cluster{Env: s.Env, Hosts: []*hosts.Host{h}}}
	if err := one.Cluster.FetchKubeconfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := one.Cluster.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := newer.Carry(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	returns(t, one, "kubeletconfiguration+merge.yaml", "syncFrequency: nonsense\n", "the kubelet ends again and again")
	before := files(t, h)
	exchanging := "! systemctl -q is-active kubelet && grep -q " + to + " /etc/kubernetes/manifests/kube-scheduler.yaml" // the old pods are being ended
	kill(t, h, exchanging)
	r := newer.Install(t.Context(), h, "upgrade", "rollback")
	t.Logf("rollback: %s", r.Stderr)
	want(t, r, 0)
	for p, text := range files(t, h) {
		if before[p] != text {
			t.Errorf("after a rollback %s is not what it was", p)
		}
	}
	// The API shows the pods of before until the kubelet has reported.
	suite.Eventually(t, 3*time.Minute, func() error {
		out, err := one.Cluster.Kubectl(t.Context(), "get", "pods", "-n", "kube-system", "-l", "tier=control-plane", "-o", "jsonpath={..image}")
		if err == nil && strings.Contains(out, to) {
			return fmt.Errorf("the pods' images are %s", out)
		}
		return err
	})
	if err := one.Cluster.AwaitReady(t.Context()); err != nil {
		t.Error(err)
	}
	versions(t, one, s.Version, s.Version)
	for _, at := range []string{
		"test -e /var/lib/kubebundle/upgrade/pending.json",
		"! systemctl -q is-active kubelet",
		exchanging,
		"systemctl -q is-active kubelet && grep -q " + to + " /etc/kubernetes/manifests/kube-scheduler.yaml",
	} {
		kill(t, h, at)
	}
	want(t, upgrade(t, h, "apply", "-y"), 0)
	if err := one.Cluster.AwaitReady(t.Context()); err != nil {
		t.Error(err)
	}
	versions(t, one, to, to)
}

// kill runs an upgrade and kills it when a command says so.
func kill(t *testing.T, h *hosts.Host, at string) {
	t.Helper()
	done := make(chan clusters.Installation, 1)
	go func() { done <- newer.Install(t.Context(), h, "upgrade", "apply", "-y") }()
	// It looks on the host itself: what is waited for may last a second.
	look := "i=0; until " + at + "; do i=$((i+1)); test $i -lt 4000 && pgrep -x install >/dev/null || exit 1; sleep 0.05; done"
	suite.Eventually(t, time.Minute, func() error {
		if len(done) > 0 {
			return nil
		}
		return h.Run(t.Context(), "pgrep", "-x", "install")
	})
	if err := h.Run(t.Context(), "sh", "-c", look); err != nil {
		t.Errorf("%q was not seen: %v", at, err)
	}
	if err := h.Run(t.Context(), "pkill", "-KILL", "-x", "install"); err != nil {
		r := <-done
		t.Fatalf("the upgrade ended before it was killed at %q: %v\n%s%s", at, err, r.Stdout, r.Stderr)
	}
	if r := <-done; r.Err == nil {
		t.Fatalf("the upgrade ended before it was killed at %q", at)
	}
	t.Logf("killed at %s", at)
}
