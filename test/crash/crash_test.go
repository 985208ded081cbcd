package crash

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"kubebundle/installer"
	"kubebundle/test/e2e/reset"
	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// shared has one control plane, made by an undisturbed init.
var shared *suite.Suite

// TestMain makes no hosts unless KUBEBUNDLE_E2E=1 asks for it; then everything that is missing is a failure, never a skip.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("KUBEBUNDLE_E2E") != "1" {
		return m.Run() // what needs no hosts
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	var err error
	shared, err = suite.SetupWith(ctx, slog.New(slog.NewTextHandler(os.Stderr, nil)), suite.Options{ControlPlanes: 1, InitFlags: []string{"-o", "json"}})
	if shared != nil {
		defer func() {
			if err := shared.Close(context.WithoutCancel(ctx)); err != nil {
				fmt.Fprintln(os.Stderr, "take the lab down:", err)
			}
		}()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make the cluster:", err)
		if shared != nil {
			fmt.Fprintln(os.Stderr, shared.Report(context.WithoutCancel(ctx)))
		}
		return 1
	}
	return m.Run()
}

// rig is what the behaviours share: a host where nothing is disturbed, one where everything is killed, and what they were before.
type rig struct {
	*suite.Suite
	calm, victim *hosts.Host
	clean        map[*hosts.Host]hosts.Snapshot
	runtime      map[*hosts.Host][]byte // the runtime's configuration
}

// TestCrash is all of it, in the order in which three hosts can show it.
func TestCrash(t *testing.T) {
	if shared == nil {
		t.Skip("KUBEBUNDLE_E2E=1 turns it on (root, three real hosts)")
	}
	r := &rig{Suite: shared, clean: map[*hosts.Host]hosts.Snapshot{}, runtime: map[*hosts.Host][]byte{}}
	steps := applied(r.Server(), r.Cluster.Runs[0].Stderr)
	node, cluster := look(t, r.Server()), lookAtCluster(t, r.Cluster)
	r.calm, r.victim = r.host(t, "calm1"), r.host(t, "kill1")
	for _, b := range []struct {
		name string
		rare bool // only with KUBEBUNDLE_CRASH=all: the steps are those of another one as well
		test func(t *testing.T)
	}{
		{"rootfs", false, func(t *testing.T) { rootfs(t, r.Programs.Installer, r.Bundle.Path) }},
		{"init", false, func(t *testing.T) { r.init(t, steps, node, cluster) }},
		{"resetinit", true, r.reset},
		{"takenback", false, r.takenBack},
		{"two", false, r.two},
		{"halfmade", false, r.halfMade},
		{"join", true, func(t *testing.T) { r.join(t, false) }},
		{"resetworker", true, r.reset},
		{"joincontrolplane", false, func(t *testing.T) { r.join(t, true) }},
		{"resetcontrolplane", false, r.resetControlPlane},
		{"upgrade", false, r.upgrade},
		{"resetupgraded", false, r.takenBack},
		{"nojournal", false, r.noJournal},
	} {
		if b.rare && os.Getenv("KUBEBUNDLE_CRASH") != "all" {
			continue
		}
		ok := t.Run(b.name, func(t *testing.T) {
			start := time.Now()
			b.test(t)
			t.Logf("%s took %v", b.name, time.Since(start).Round(time.Second))
		})
		if !ok {
			t.Log(r.Report(context.WithoutCancel(t.Context())))
		}
	}
}

func (r *rig) host(t *testing.T, name string) *hosts.Host {
	t.Helper()
	h := r.BareHost(t, name, r.Runtime)
	if err := clusters.Forwarding(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	cfg, err := clusters.InitConfig(r.Lab.Machine, r.Version, h.IP.String()+":6443", clusters.RuntimeDocs(r.Runtime)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile(clusters.ConfigPath, []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	if r.clean[h], err = h.Snapshot(suite.Volatile...); err != nil {
		t.Fatal(err)
	}
	if r.runtime[h], err = os.ReadFile(filepath.Join(h.Root(), runtimeConfig)); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return h
}

func initArgs() []string { return append(clusters.InitArgs(), "--upload-certs") }

// until holds a run of install at the moment when something is said of a step.
func (r *rig) until(t *testing.T, args []string, at func(id stepID, state installer.EventState) bool) *held {
	t.Helper()
	c := &chain{place: on(r.victim, r.Bundle), args: args}
	h := c.start(t, &bytes.Buffer{})
	e := events{anywhere: of(r.victim)}
	for {
		line, ok, err := h.next()
		if err != nil || !ok {
			t.Fatalf("%s ended before it was to be held: %v, %v\n%s", args[0], err, h.err, h.said.String())
		}
		if id, ev, ok := e.step(line); ok && at(id, ev.State) {
			return h
		}
		if err := h.pass(); err != nil {
			t.Fatal(err)
		}
	}
}

// two: while one installer is at work, every other that would change the host says which it is and since when. It leaves the first one alone.
func (r *rig) two(t *testing.T) {
	h := r.until(t, initArgs(), func(_ stepID, s installer.EventState) bool { return s == installer.Running })
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`NSpid:.*\t(\d+)\n`).FindSubmatch(status) // the last one is the host's own
	if m == nil {
		t.Fatalf("no NSpid in %s", status)
	}
	want := fmt.Sprintf("another installer is at work on this node: pid %s: install init, since 20", m[1])
	for _, args := range [][]string{initArgs(), {"reset", "--force"}, {"join", "192.0.2.1:6443", "--token", "abcdef.0123456789abcdef", "--discovery-token-unsafe-skip-ca-verification"}} {
		r.Refused(t, r.victim, 1, []string{want, "wait for it to end"}, args...)
	}
	if line, ok, err := h.next(); !ok || err != nil || len(line) == 0 {
		t.Errorf("the first one is no longer at work: %v, %v", err, h.err)
	}
	if err := h.kill(); err != nil {
		t.Fatal(err)
	}
	r.takeBack(t, r.victim) // the lock went with its holder
	reset.Like(t, r.victim, r.clean[r.victim])
}

// halfMade: init is killed in the middle, in the last case with its journal's last line torn, and not run again but reset.
func (r *rig) halfMade(t *testing.T) {
	for _, phase := range []string{"certs", "control-plane", "wait-control-plane"} {
		h := r.until(t, initArgs(), func(id stepID, s installer.EventState) bool { return id.Phase == phase && s == installer.Running })
		if err := h.kill(); err != nil {
			t.Fatal(err)
		}
		if phase == "wait-control-plane" {
			time.Sleep(5 * time.Second) // static pods begin to run
		}
		r.takeBack(t, r.victim)
		reset.Like(t, r.victim, r.clean[r.victim])
	}
}

// init: killed before and after every step, it makes the same control plane.
func (r *rig) init(t *testing.T, steps known, node, cluster map[string]string) {
	c := &chain{place: on(r.victim, r.Bundle), args: initArgs(), tear: true}
	stdout := c.run(t, steps)
	if _, err := clusters.JoinArgs(stdout); err != nil {
		t.Error(err)
	}
	if c.torn == 0 {
		t.Error("no line of the journal was torn")
	}
	mine := &clusters.Cluster{Env: r.Env, Hosts: []*hosts.Host{r.victim}}
	if err := mine.FetchKubeconfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := mine.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, "the node after init", node, look(t, r.victim))
	same(t, "the cluster after init", cluster, lookAtCluster(t, mine))
}

// reset: killed before and after every step, it leaves the host as it was before anything was installed.
func (r *rig) reset(t *testing.T) {
	// A dry run knows its steps on this very host; what a step finds is what those before it have left.
	plan := r.MustInstall(t, r.victim, append(resetArgs(), "--dry-run", "-o", "json")...)
	c := &chain{place: on(r.victim, r.Bundle), args: resetArgs(), planned: true}
	c.run(t, planned(r.victim, plan.Stdout))
	for _, p := range []string{installer.Dir, installer.Dir + ".forgotten"} {
		if _, err := os.Lstat(filepath.Join(r.victim.Root(), p)); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", p, err)
		}
	}
	reset.Like(t, r.victim, r.clean[r.victim])
	r.unconfigure(t, r.victim)
}

// resetArgs takes the images back as well, so that the next installation loads them.
func resetArgs() []string { return []string{"reset", "--force", "--images"} }

// takenBack: a reset leaves the host on which init or an upgrade was killed as it was before anything was installed.
func (r *rig) takenBack(t *testing.T) {
	if _, err := os.Lstat(filepath.Join(r.victim.Root(), installer.Dir)); os.IsNotExist(err) {
		return // resetinit has done it
	}
	r.takeBack(t, r.victim)
	reset.Like(t, r.victim, r.clean[r.victim])
}

// takeBack resets a host undisturbed.
func (r *rig) takeBack(t *testing.T, h *hosts.Host) {
	t.Helper()
	r.MustInstall(t, h, resetArgs()...)
	r.unconfigure(t, h)
}

// unconfigure undoes what reset leaves of --configure-runtime.
func (r *rig) unconfigure(t *testing.T, h *hosts.Host) {
	t.Helper()
	if h.Runtime.HasDocker() {
		return
	}
	p := filepath.Join(h.Root(), runtimeConfig)
	err := os.WriteFile(p, r.runtime[h], 0o644)
	if r.runtime[h] == nil {
		err = os.RemoveAll(p)
	}
	if err == nil {
		err = h.Run(t.Context(), "systemctl", "restart", "containerd")
	}
	if err != nil {
		t.Fatal(err)
	}
}

const runtimeConfig = "etc/containerd/config.toml"

// join: both hosts join the cluster, the one undisturbed, the other killed before and after every step.
func (r *rig) join(t *testing.T, controlPlane bool) {
	r.forget(t)
	args, err := clusters.JoinArgs(r.MustInstall(t, r.Server(), "token", "create", "--print-join-command").Stdout)
	if err != nil {
		t.Fatal(err)
	}
	args = append(args, clusters.JoinFlags(r.Runtime)...)
	if controlPlane {
		upload := r.MustInstall(t, r.Server(), "init", "phase", "upload-certs", "--config", clusters.ConfigPath, "--upload-certs")
		_, key, found := strings.Cut(upload.Stdout, "Using certificate key:\n")
		if !found {
			t.Fatalf("upload-certs prints no key: %s", upload.Stdout)
		}
		args = append(args, "--control-plane", "--certificate-key", strings.TrimSpace(key))
	}
	undisturbed := r.MustInstall(t, r.calm, append(slices.Clone(args), "-o", "json")...)
	c := &chain{place: on(r.victim, r.Bundle), args: args, tear: true}
	c.run(t, applied(r.calm, undisturbed.Stderr))
	all := &clusters.Cluster{Env: r.Env, Hosts: []*hosts.Host{r.Server(), r.calm, r.victim}, Kubeconfig: r.Cluster.Kubeconfig}
	if err := all.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, "the node after join", look(t, r.calm), look(t, r.victim))
	s := &suite.Suite{Env: r.Env, Cluster: all}
	calm, victim := suite.Get[corev1.Node](t, s, "node", r.calm.Name), suite.Get[corev1.Node](t, s, "node", r.victim.Name)
	if want, have := nodeText(r.calm, calm), nodeText(r.victim, victim); want != have {
		t.Errorf("the node's object\nundisturbed: %s\nkilled:      %s", want, have)
	}
	if n := r.members(t); controlPlane && n != 3 {
		t.Errorf("etcd has %d members that vote, want 3", n)
	}
}

// forget takes the nodes of the two hosts out of the cluster, with their pods.
func (r *rig) forget(t *testing.T) {
	t.Helper()
	for _, h := range []*hosts.Host{r.calm, r.victim} {
		if _, err := os.Stat(filepath.Join(h.Root(), "etc/kubernetes/kubelet.conf")); err == nil {
			r.takeBack(t, h)
		}
		r.Kubectl(t, "delete", "node", h.Name, "--ignore-not-found")
		for _, ns := range strings.Fields(r.Kubectl(t, "get", "namespaces", "-o", "jsonpath={..metadata.name}")) {
			r.Kubectl(t, "-n", ns, "delete", "pods", "--field-selector", "spec.nodeName="+h.Name, "--force", "--grace-period=0")
		}
	}
}

// members counts the members of etcd that vote.
func (r *rig) members(t *testing.T) int {
	t.Helper()
	const pki = "/etc/kubernetes/pki/etcd/"
	out := r.Kubectl(t, "-n", "kube-system", "exec", "etcd-"+r.Server().Name, "--", "etcdctl", "--endpoints=https://127.0.0.1:2379",
		"--cacert="+pki+"ca.crt", "--cert="+pki+"healthcheck-client.crt", "--key="+pki+"healthcheck-client.key", "member", "list")
	return strings.Count(out, ", started, ") - strings.Count(out, ", true")
}

// resetControlPlane: the same, and etcd knows it no more.
func (r *rig) resetControlPlane(t *testing.T) {
	r.reset(t)
	if n := r.members(t); n != 2 {
		t.Errorf("etcd has %d members, want 2", n)
	}
}

// noJournal: without its journal the first control plane is reset as one that kubeadm made: nothing of the cluster runs or is mounted, nothing of what it
// made is there, and only what came out of the bundle is left.
func (r *rig) noJournal(t *testing.T) {
	h := r.Server()
	if err := os.RemoveAll(filepath.Join(h.Root(), installer.Dir)); err != nil {
		t.Fatal(err)
	}
	r.MustInstall(t, h, "reset", "--force")
	now, err := h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	clean := maps.Clone(r.Clean[h.Name])
	for _, s := range []hosts.Snapshot{clean, now} {
		maps.DeleteFunc(s, func(p, _ string) bool { return fromBundle.MatchString(p) })
	}
	reset.Differs(t, h, clean, now)
	reset.Quiet(t, h, "units", "routes") // their files are such, see fromBundle
}

// fromBundle is what no reset can know to be the installer's when the journal is gone; kubeadm's leaves all of it too.
var fromBundle = regexp.MustCompile(`^(/usr/bin/(kube.*|crictl)|/etc/systemd/system/.*|/usr/local/bin/.*|/opt/cni.*|/etc/crictl\.yaml|/etc/kubernetes.*|/var/lib/kubelet|/var/lib/etcd|/usr/libexec.*|/usr/lib/modules)$`)
