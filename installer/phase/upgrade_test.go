package phase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"kubebundle/installer/cluster"
	"kubebundle/installer/cluster/clustertest"
	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	cruntime "kubebundle/runtime"
)

const (
	upgradeTo  = "v1.35.4"
	kubeSystem = "/api/v1/namespaces/kube-system/"
)

// upgradable is a node with the files of an init of testVersion, and its cluster.
func upgradable(t *testing.T) (*host.Memory, *clustertest.Server) {
	t.Helper()
	m := initialised(t)
	s := initState(t, m, goodRuntime())
	c, n, err := s.initCluster(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	files, err := manifests.KubeletFiles(c, n)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, manifests.KubeletUnits(s.version())...) {
		p := f.Path
		if !strings.HasPrefix(p, "/") {
			p = systemdDir + "/" + p
		}
		if err := m.WriteFile(p, f.Data, f.Mode); err != nil {
			t.Fatal(err)
		}
	}
	write(t, m, "/usr/bin/kubelet", "old kubelet")
	if err := m.DaemonReload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Restart(t.Context(), kubeletUnit); err != nil {
		t.Fatal(err)
	}
	ca, err := pki.NewCA(pki.Spec{CommonName: "kubernetes", Algorithm: pki.ECDSAP256, NotBefore: testNow()})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := pki.NewLeaf(ca, pki.Spec{CommonName: "system:node:node1", Organization: []string{"system:nodes"}, Usages: clientAuth(), Algorithm: pki.ECDSAP256, NotBefore: testNow()})
	if err != nil {
		t.Fatal(err)
	}
	conf, err := manifests.Kubeconfig(c, manifests.KubeconfigSpec{Name: "kubelet", Server: "https://10.0.0.10:6443", CommonName: "system:node:node1"}, ca.CertPEM, leaf.CertPEM, leaf.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	write(t, m, kubeletConf, string(conf))

	srv := clustertest.New(t)
	put := func(at string, obj any) {
		t.Helper()
		u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
		if err != nil {
			t.Fatal(err)
		}
		srv.Put(at, u)
	}
	kubeadm, err := manifests.KubeadmConfigMap(c, n)
	if err != nil {
		t.Fatal(err)
	}
	kubelet, err := manifests.KubeletConfigMap(c)
	if err != nil {
		t.Fatal(err)
	}
	put(kubeSystem+"configmaps/kubeadm-config", kubeadm)
	put(kubeSystem+"configmaps/kubelet-config", kubelet)
	dns, err := manifests.DNS(c, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range dns {
		switch o := o.(type) {
		case *corev1.ConfigMap:
			put(kubeSystem+"configmaps/coredns", o)
		default:
			if o.GetObjectKind().GroupVersionKind().Kind == "Deployment" {
				put("/apis/apps/v1/namespaces/kube-system/deployments/coredns", o)
			}
		}
	}
	for _, comp := range append(components(), "etcd") {
		f, err := manifests.StaticPod(c, n, comp)
		if err != nil {
			t.Fatal(err)
		}
		pod, err := parsePod(comp, f.Data)
		if err != nil {
			t.Fatal(err)
		}
		pod.Name, pod.Spec.NodeName = comp+"-node1", "node1"
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, corev1.MirrorPodAnnotationKey, "x")
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: comp, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
		put(kubeSystem+"pods/"+pod.Name, pod)
	}
	addNode(t, srv, "node1", testVersion)
	return m, srv
}

func addNode(t *testing.T, srv *clustertest.Server, name, kubelet string, images ...string) {
	t.Helper()
	srv.Put("/api/v1/nodes/"+name, clustertest.Object{
		"apiVersion": "v1", "kind": "Node", "metadata": clustertest.Object{"name": name}, "spec": clustertest.Object{},
		"status": clustertest.Object{
			"nodeInfo":   clustertest.Object{"kubeletVersion": kubelet},
			"conditions": []any{clustertest.Object{"type": "Ready", "status": "True"}},
			"images":     []any{clustertest.Object{"names": toAny(images)}},
		},
	})
}

func toAny(list []string) []any {
	out := []any{}
	for _, s := range list {
		out = append(out, s)
	}
	return out
}

// upgradeState is an upgrade with a bundle of a version.
func upgradeState(t *testing.T, srv *clustertest.Server, v string) *State {
	t.Helper()
	rt := goodRuntime()
	api := srv.Client(t)
	return &State{
		Contract: testContract(t, v), Release: testRelease(t, v), Now: testNow(),
		Runtime: func(context.Context) (cruntime.Runtime, error) { return rt, rt.err },
		Upgrade: &Upgrade{
			Etcd: true, Certificates: true, DrainTimeout: time.Minute, CRISocket: "unix:///run/containerd/containerd.sock",
			API: func(context.Context) (*cluster.Client, error) { return api, nil },
		},
	}
}

func TestUpgradePlan(t *testing.T) {
	m, srv := upgradable(t)
	addNode(t, srv, "w1", testVersion, "registry.k8s.io/kube-proxy:v1.35.4", "registry.k8s.io/coredns/coredns:v1.13.1")
	_, text := planAll(t, UpgradePhases(), upgradeState(t, srv, upgradeTo), m)
	golden(t, "upgrade-v1.34.4-v1.35.4.txt", text)
}

// TestUpgradeOfOneOfSeveral: with other control planes the kubelet comes last, since it may meet an API server of the old version until then; and it
// starts the static pods anew once more.
func TestUpgradeOfOneOfSeveral(t *testing.T) {
	m, srv := upgradable(t)
	other := srv.Get(kubeSystem + "pods/kube-apiserver-node1")
	other["metadata"].(clustertest.Object)["name"] = "kube-apiserver-node2"
	srv.Put(kubeSystem+"pods/kube-apiserver-node2", other)
	addNode(t, srv, "node2", testVersion, "registry.k8s.io/kube-proxy:v1.35.4", "registry.k8s.io/coredns/coredns:v1.13.1")
	_, text := planAll(t, UpgradePhases(), upgradeState(t, srv, upgradeTo), m)
	golden(t, "upgrade-ha-v1.34.4-v1.35.4.txt", text)
}

// TestUpgradeCutOffInTheExchange: the API may be away then, so it is not asked before the static pods are exchanged; and what was left is ended, though
// all files are the new ones.
func TestUpgradeCutOffInTheExchange(t *testing.T) {
	m, srv := upgradable(t)
	applyUpgrade(t, m, srv, 1000)
	s := upgradeState(t, srv, upgradeTo)
	write(t, m, pendingFile, `{"from":"v1.34.4","to":"v1.35.4","node":"node1","controlPlane":true,"onlyControlPlane":true,"schedulable":true}`)
	if err := m.Stop(t.Context(), kubeletUnit); err != nil {
		t.Fatal(err)
	}
	srv.Close()
	for _, p := range UpgradePhases() {
		steps, err := p.Plan(t.Context(), s, m)
		if err != nil {
			t.Fatalf("%s: %v", p.Name(), err)
		}
		if p.Name() != (UpgradeControlPlane{}).Name() {
			continue
		}
		ex, ok := steps[0].(step.Exchange)
		if !ok {
			t.Fatalf("the first step is %s", steps[0])
		}
		if done, err := ex.Satisfied(t.Context(), &step.Target{Host: m}); err != nil || done {
			t.Errorf("satisfied: %v, %v", done, err)
		}
		var ended []string
		target := &step.Target{Host: m, CRI: func(context.Context, string) (step.CRI, error) { return podEnder{ended: &ended}, nil }}
		for _, st := range ex.End {
			applyStep(t, target, st)
		}
		if len(ended) != 4 || ended[3] != "etcd-node1" {
			t.Errorf("ended: %v", ended)
		}
		return
	}
}

func TestUpgradeOfASingleNodeDoesNotDrain(t *testing.T) {
	m, srv := upgradable(t)
	_, text := planAll(t, UpgradePhases(), upgradeState(t, srv, upgradeTo), m)
	for _, not := range []string{"drain: cordon", "drain: drain"} {
		if strings.Contains(text, not) {
			t.Errorf("the only node is to %s:\n%s", not, text)
		}
	}
}

func TestUpgradeRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, to string
		prepare  func(t *testing.T, m *host.Memory, srv *clustertest.Server, s *State)
		want     string // in the error
	}{
		{"skip", "v1.36.3", nil, "skip v1.35"},
		{"downgrade", "v1.34.3", nil, "a downgrade"},
		{"old kubelet", upgradeTo, func(t *testing.T, _ *host.Memory, srv *clustertest.Server, _ *State) {
			t.Helper()
			addNode(t, srv, "w1", "v1.31.0", "registry.k8s.io/kube-proxy:v1.35.4", "registry.k8s.io/coredns/coredns:v1.13.1")
		}, "[KubeletVersion] the kubelet of node w1 is v1.31.0"},
		{"images", upgradeTo, func(t *testing.T, _ *host.Memory, srv *clustertest.Server, _ *State) {
			t.Helper()
			addNode(t, srv, "w1", testVersion)
		}, "[NodeImages] node w1 lacks registry.k8s.io/kube-proxy:v1.35.4 and registry.k8s.io/coredns/coredns:v1.13.1"},
		{"unhealthy", upgradeTo, func(t *testing.T, _ *host.Memory, srv *clustertest.Server, _ *State) {
			t.Helper()
			pod := srv.Get(kubeSystem + "pods/kube-scheduler-node1")
			delete(pod, "status")
			srv.Put(kubeSystem+"pods/kube-scheduler-node1", pod)
		}, "[ControlPlaneHealth] kube-scheduler on node node1 is not Ready"},
		{"flag", upgradeTo, func(t *testing.T, _ *host.Memory, srv *clustertest.Server, _ *State) {
			t.Helper()
			cm := srv.Get(kubeSystem + "configmaps/kubeadm-config")
			data := cm["data"].(clustertest.Object)
			data["ClusterConfiguration"] = strings.Replace(data["ClusterConfiguration"].(string), "apiServer: {}", "apiServer:\n  extraArgs: [{name: nonsense, value: x}]", 1)
			srv.Put(kubeSystem+"configmaps/kubeadm-config", cm)
		}, "kube-apiserver flag --nonsense"},
		{"repository", upgradeTo, func(t *testing.T, _ *host.Memory, srv *clustertest.Server, _ *State) {
			t.Helper()
			cm := srv.Get(kubeSystem + "configmaps/kubeadm-config")
			data := cm["data"].(clustertest.Object)
			data["ClusterConfiguration"] = strings.Replace(data["ClusterConfiguration"].(string), "registry.k8s.io", "registry.site/k8s", 1)
			srv.Put(kubeSystem+"configmaps/kubeadm-config", cm)
		}, "image repository registry.site/k8s: the bundle has registry.k8s.io"},
		{"pods", upgradeTo, func(t *testing.T, _ *host.Memory, srv *clustertest.Server, _ *State) {
			t.Helper()
			addNode(t, srv, "w1", testVersion, "registry.k8s.io/kube-proxy:v1.35.4", "registry.k8s.io/coredns/coredns:v1.13.1")
			srv.Put("/api/v1/namespaces/default/pods/alone", clustertest.Object{
				"apiVersion": "v1", "kind": "Pod", "metadata": clustertest.Object{"name": "alone", "namespace": "default"}, "spec": clustertest.Object{"nodeName": "node1"},
			})
		}, "[Drain] pods on node node1 cannot be moved: default/alone (nobody would make it anew)"},
		{"begun", "v1.34.5", func(t *testing.T, m *host.Memory, _ *clustertest.Server, _ *State) {
			t.Helper()
			write(t, m, pendingFile, `{"from":"v1.34.4","to":"v1.35.4"}`)
		}, "has begun and not ended"},
		{"follower first", upgradeTo, func(_ *testing.T, _ *host.Memory, _ *clustertest.Server, s *State) { s.Upgrade.Node = true }, "the cluster is of v1.34.4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, srv := upgradable(t)
			before := m.Snapshot()
			s := upgradeState(t, srv, tt.to)
			if tt.prepare != nil {
				tt.prepare(t, m, srv, s)
				before = m.Snapshot()
			}
			_, err := UpgradePreflight{}.Plan(t.Context(), s, m)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("it says %v, want %q", err, tt.want)
			}
			if diff := cmp.Diff(before, m.Snapshot()); diff != "" || len(srv.Writes()) > 0 {
				t.Errorf("a refusal has changed something: %v\n%s", srv.Writes(), diff)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	m, srv := upgradable(t)
	s := upgradeState(t, srv, upgradeTo)
	srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := (UpgradePreflight{}).Plan(ctx, s, m); err == nil || !strings.Contains(err.Error(), "reach the cluster") {
		t.Errorf("it says %v", err)
	}
}

// TestUpgradeKeepsTheDNS: a Corefile that somebody has changed, and the number of its pods, are kept; one that an installer wrote follows the version.
func TestUpgradeKeepsTheDNS(t *testing.T) {
	for _, changed := range []bool{false, true} {
		m, srv := upgradable(t)
		if changed {
			cm := srv.Get(kubeSystem + "configmaps/coredns")
			cm["data"] = clustertest.Object{"Corefile": ".:53 { forward . 10.0.0.1 }\n"}
			srv.Put(kubeSystem+"configmaps/coredns", cm)
		}
		d := srv.Get("/apis/apps/v1/namespaces/kube-system/deployments/coredns")
		d["spec"].(clustertest.Object)["replicas"] = 5
		srv.Put("/apis/apps/v1/namespaces/kube-system/deployments/coredns", d)
		s := upgradeState(t, srv, upgradeTo)
		steps, _ := planAll(t, []Phase{upgradeAddon{CoreDNS{}}}, s, m)
		data, err := json.Marshal(steps[0].(step.Objects).List)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "forward . 10.0.0.1") != changed {
			t.Errorf("changed: %v, and the Corefile is %s", changed, data)
		}
		if !strings.Contains(string(data), `"replicas":5`) {
			t.Errorf("the number of pods is not kept: %s", data)
		}
	}
}

// TestUpgradeAddonsWaitForTheLastServer: kube-proxy must not be newer than any API server.
func TestUpgradeAddonsWaitForTheLastServer(t *testing.T) {
	m, srv := upgradable(t)
	other := srv.Get(kubeSystem + "pods/kube-apiserver-node1")
	other["metadata"].(clustertest.Object)["name"] = "kube-apiserver-node2"
	srv.Put(kubeSystem+"pods/kube-apiserver-node2", other)
	if steps, _ := planAll(t, []Phase{upgradeAddon{KubeProxy{}}}, upgradeState(t, srv, upgradeTo), m); len(steps) > 0 {
		t.Errorf("%v although node2 is old", steps)
	}
}

// applyUpgrade applies the first n steps of an upgrade that need only the host, and gives their number.
func applyUpgrade(t *testing.T, m *host.Memory, srv *clustertest.Server, most int) int {
	t.Helper()
	s := upgradeState(t, srv, upgradeTo)
	api := srv.Client(t)
	target := &step.Target{Host: m, Cluster: func(context.Context) (*cluster.Client, error) { return api, nil }, CRI: noRuntime}
	n := 0
	for _, p := range UpgradePhases() {
		steps, err := p.Plan(t.Context(), s, m)
		if err != nil {
			t.Fatalf("after %d steps: %s: %v", n, p.Name(), err)
		}
		for _, st := range parts(steps) {
			if tended, ok := st.(step.Tended); ok {
				st = tended.Step
			}
			switch st := st.(type) {
			case step.Binaries:
				if st.Staging {
					continue
				}
				if n < most { // the payload is not there
					write(t, m, "/usr/bin/kubelet", "new kubelet")
				}
			case step.File, step.Dir, step.Remove, step.Copies, step.KeepObjects, step.Schedulable, step.Unit, step.StopUnit, step.EndPods, step.Objects:
				if n < most {
					applyStep(t, target, st)
				}
			default:
				continue
			}
			if n++; n >= most {
				return n
			}
		}
	}
	return n
}

// parts takes exchanges apart: a run may be cut off between any two of their steps.
func parts(steps []step.Step) []step.Step {
	var out []step.Step
	for _, st := range steps {
		if ex, ok := st.(step.Exchange); ok {
			out = append(out, ex.Steps()...)
		} else {
			out = append(out, st)
		}
	}
	return out
}

// podEnder is a runtime that only ends pods, and remembers which.
type podEnder struct {
	step.CRI

	ended *[]string
}

func (p podEnder) EndPod(_ context.Context, _, name string, _ time.Duration) error {
	if p.ended != nil {
		*p.ended = append(*p.ended, name)
	}
	return nil
}

func (podEnder) Close() error { return nil }

func noRuntime(context.Context, string) (step.CRI, error) { return podEnder{}, nil }

// applyStep does what the engine does with a step.
func applyStep(t *testing.T, target *step.Target, st step.Step) {
	t.Helper()
	ok, err := st.Satisfied(t.Context(), target)
	if err == nil && !ok {
		err = st.Apply(t.Context(), target)
	}
	if err != nil {
		t.Fatalf("%s: %v", st, err)
	}
}

// TestUpgradeBack: from wherever an upgrade stopped, the way back makes every file and every object what it was.
func TestUpgradeBack(t *testing.T) {
	for most := 1; ; most++ {
		m, srv := upgradable(t)
		before, config := m.Snapshot(), srv.Get(kubeSystem+"configmaps/kubeadm-config")
		applyUpgrade(t, m, srv, most)
		from, to, err := PendingUpgrade(m)
		if err != nil {
			t.Fatal(err)
		}
		if from != "" {
			if from != testVersion || to != upgradeTo {
				t.Errorf("after %d steps an upgrade from %s to %s is noted", most, from, to)
			}
			goBack(t, m, srv)
		}
		after := m.Snapshot()
		for p := range after {
			if strings.HasPrefix(p, "/var/lib/kubebundle") {
				delete(after, p)
			}
		}
		if from == "" && strings.HasSuffix(after["/usr/bin/kubelet"], "new kubelet") {
			return // it came to its end, from where no way leads back
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatalf("after %d steps and the way back (-before +after):\n%s", most, diff)
		}
		now := srv.Get(kubeSystem + "configmaps/kubeadm-config")
		if diff := cmp.Diff(config["data"], now["data"]); diff != "" {
			t.Fatalf("after %d steps and the way back, kubeadm-config (-before +after):\n%s", most, diff)
		}
	}
}

func goBack(t *testing.T, m *host.Memory, srv *clustertest.Server) {
	t.Helper()
	api := srv.Client(t)
	target := &step.Target{Host: m, Cluster: func(context.Context) (*cluster.Client, error) { return api, nil }, CRI: noRuntime}
	for _, p := range UpgradeBackPhases() {
		steps, err := p.Plan(t.Context(), &State{}, m)
		if err != nil {
			t.Fatalf("%s: %v", p.Name(), err)
		}
		for _, st := range steps {
			if _, ok := st.(step.Await); ok {
				continue
			}
			applyStep(t, target, st)
		}
	}
	if exists(m, pendingFile) {
		t.Error("after the way back the note is still there")
	}
}

// TestUpgradeGoesOn: wherever an upgrade stopped, the same command brings it to the same end.
func TestUpgradeGoesOn(t *testing.T) {
	whole, srv := upgradable(t)
	total := applyUpgrade(t, whole, srv, 1000)
	want := significant(whole)
	for most := 1; most < total; most++ {
		m, srv := upgradable(t)
		applyUpgrade(t, m, srv, most)
		applyUpgrade(t, m, srv, 1000)
		if diff := cmp.Diff(want, significant(m)); diff != "" {
			t.Fatalf("after %d steps and another run (-undisturbed +this):\n%s", most, diff)
		}
	}
}

// significant is what an upgrade makes of a host.
func significant(m *host.Memory) map[string]string {
	out := map[string]string{}
	for p, text := range m.Snapshot() {
		if strings.HasPrefix(p, manifestsDir) || strings.HasPrefix(p, kubeletDir+"/") || p == "/usr/bin/kubelet" || p == pendingFile {
			out[p] = text
		}
	}
	return out
}

// The same command once more keeps the snapshot from before the upgrade; the next upgrade does not keep that of the last one.
func TestUpgradeAgainKeepsTheSnapshot(t *testing.T) {
	m, srv := upgradable(t)
	write(t, m, etcdSnapshot, "of an earlier upgrade")
	applyUpgrade(t, m, srv, 1000)
	if exists(m, etcdSnapshot) {
		t.Error("the snapshot of an earlier upgrade is still there")
	}
	write(t, m, etcdSnapshot, "from before") // the test's etcd cannot save
	applyUpgrade(t, m, srv, 1000)
	if got, err := m.ReadFile(etcdSnapshot); err != nil || string(got) != "from before" {
		t.Errorf("the snapshot is %q, %v", got, err)
	}
}

func TestGateGivesUpOnAProgramThatEndsAgainAndAgain(t *testing.T) {
	m := host.NewMemory()
	log := func(uid string, n int, text string) {
		write(t, m, fmt.Sprintf("%s/kube-system_kube-apiserver-node1_%s/kube-apiserver/%d.log", podLogs, uid, n), text)
	}
	log("old", 7, "") // has been started seven times again in its life
	g := &gate{node: "node1", component: "kube-apiserver"}
	steps := []func(){
		func() {},
		func() { log("new", 0, "") },
		func() { log("new", 1, "2026-01-01T00:00:00Z stderr F Error: unknown flag: --nonsense\n") },
	}
	for i, next := range steps {
		next()
		if err := g.ending(m); err != nil {
			t.Errorf("look %d: %v", i, err)
		}
	}
	// It runs, so it may still come up; then it does not run any more, and is not started again at once.
	now := time.Now()
	g.now = func() time.Time { return now }
	write(t, m, "/proc/17/cmdline", "kube-apiserver\x00--advertise-address=10.0.0.10\x00")
	now = now.Add(time.Minute)
	if err := g.ending(m); err != nil {
		t.Errorf("it runs, and the gate says %v", err)
	}
	if err := m.Remove("/proc/17/cmdline"); err != nil {
		t.Fatal(err)
	}
	if err := g.ending(m); err != nil {
		t.Errorf("it has just ended, and the gate says %v", err)
	}
	now = now.Add(time.Minute)
	for _, why := range []string{"it has ended twice", "it was started a third time"} {
		var hopeless *step.HopelessError
		if err := g.ending(m); !errors.As(err, &hopeless) || !strings.Contains(err.Error(), "  Error: unknown flag: --nonsense") {
			t.Errorf("%s, and the gate says %v", why, err)
		}
		g.gone = time.Time{}
		log("new", 2, "") // of a third start, which says nothing yet
	}
	g.patient = true
	if err := g.ending(m); err != nil {
		t.Errorf("on the way back: %v", err)
	}
}

func TestRuns(t *testing.T) {
	m := host.NewMemory()
	write(t, m, "/proc/self/cmdline", "kube-apiserver\x00")
	if runs(m, "kube-apiserver") {
		t.Error("/proc/self is no process")
	}
	write(t, m, "/proc/9/cmdline", "/usr/local/bin/kube-apiserver\x00--v=2\x00")
	if !runs(m, "kube-apiserver") {
		t.Error("it does not run")
	}
	if runs(m, "etcd") {
		t.Error("there is no etcd")
	}
}

func TestKubeletArgs(t *testing.T) {
	got := fmt.Sprint(kubeletArgs(`KUBELET_KUBEADM_ARGS="--node-ip=10.0.0.1 --v 4 --fail-swap-on=false --seccomp-default"` + "\n"))
	if want := "[{node-ip 10.0.0.1} {v 4} {fail-swap-on false} {seccomp-default true}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestUpgradeNodeKnowsWhatItWas: the cluster's configuration is of the new version already when a further control plane follows.
func TestUpgradeNodeKnowsWhatItWas(t *testing.T) {
	m, srv := upgradable(t)
	cm := srv.Get(kubeSystem + "configmaps/kubeadm-config")
	data := cm["data"].(clustertest.Object)
	data["ClusterConfiguration"] = strings.Replace(data["ClusterConfiguration"].(string), testVersion, upgradeTo, 1)
	srv.Put(kubeSystem+"configmaps/kubeadm-config", cm)
	s := upgradeState(t, srv, upgradeTo)
	s.Upgrade.Node = true
	steps, text := planAll(t, UpgradePhases(), s, m)
	for _, not := range []string{"kubeadm-config", "RBAC for joining"} {
		if strings.Contains(text, not) {
			t.Errorf("a node that follows would write %s", not)
		}
	}
	for _, st := range steps {
		if f, ok := st.(step.File); ok && f.Path == pendingFile && !strings.Contains(string(f.Data), `"from": "`+testVersion+`"`) {
			t.Errorf("it notes\n%s", f.Data)
		}
	}
}
