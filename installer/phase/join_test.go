package phase

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"

	"kubebundle/installer/cluster"
	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

const joinToken = "abcdef.0123456789abcdef"

// fakeCluster is a cluster that an init of ours made.
type fakeCluster struct {
	info             *cluster.ClusterInfo
	kubeadm, kubelet *corev1.ConfigMap
	err              error
	taken            bool
}

func (f *fakeCluster) NodeTaken(context.Context, *cluster.ClusterInfo, string) (bool, error) {
	return f.taken, nil
}

func (f *fakeCluster) ClusterInfo(context.Context) (*cluster.ClusterInfo, error) {
	return f.info, f.err
}

func (f *fakeCluster) ConfigMaps(context.Context, *cluster.ClusterInfo) (kubeadm, kubelet *corev1.ConfigMap, err error) {
	return f.kubeadm, f.kubelet, f.err
}

// newFakeCluster renders what an init leaves in the cluster. Its cluster-info names another address than join is given.
func newFakeCluster(t *testing.T, ca *pki.Pair) *fakeCluster {
	t.Helper()
	m := goodHost(t)
	s := initState(t, m, goodRuntime())
	c, n, err := s.initCluster(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeCluster{info: &cluster.ClusterInfo{Server: "https://internal.example:6443", CAPEM: ca.CertPEM}}
	if f.kubeadm, err = manifests.KubeadmConfigMap(c, n); err != nil {
		t.Fatal(err)
	}
	if f.kubelet, err = manifests.KubeletConfigMap(c); err != nil {
		t.Fatal(err)
	}
	return f
}

func joinState(t *testing.T, m *host.Memory, f *fakeCluster, ca *pki.Pair, args ...string) *State {
	t.Helper()
	var flags config.JoinFlags
	fs := pflag.NewFlagSet("join", pflag.ContinueOnError)
	flags.AddFlags(fs)
	if err := fs.Parse(append([]string{"--token", joinToken, "--discovery-token-ca-cert-hash", pki.Pin(ca.Cert)}, args...)); err != nil {
		t.Fatal(err)
	}
	env := testEnvironment(m)
	env.KubernetesVersion = ""
	cfg, err := config.LoadJoin(&flags, []string{"10.0.0.1:6443"}, m.ReadFile, env)
	if err != nil {
		t.Fatal(err)
	}
	s := testState(t, goodRuntime())
	s.Join, s.Discovery = cfg, f
	return s
}

func workerHost(t *testing.T) *host.Memory {
	t.Helper()
	m := goodHost(t)
	m.FactsValue.Hostname = "worker1"
	return m
}

func TestJoinPlan(t *testing.T) {
	m, ca := workerHost(t), newCA(t)
	m.FactsValue.CPUs = 1 // enough for a worker
	before := m.Snapshot()
	steps, text := planAll(t, JoinPhases(), joinState(t, m, newFakeCluster(t, ca), ca), m)
	golden(t, "join-v1.34.4.txt", text)
	if strings.Contains(text, "0123456789abcdef") {
		t.Error("a plan shows the token")
	}
	if diff := cmp.Diff(before, m.Snapshot()); diff != "" {
		t.Errorf("planning changed the host:\n%s", diff)
	}
	for _, st := range steps {
		if f, ok := st.(step.File); ok && f.Path == bootstrapConf {
			if !strings.Contains(string(f.Data), "https://10.0.0.1:6443") || !f.Secret {
				t.Errorf("the bootstrap kubeconfig does not name the address that was given:\n%s", f.Data)
			}
			return
		}
	}
	t.Error("no bootstrap kubeconfig is planned")
}

func TestJoinAgainChangesNothing(t *testing.T) {
	m, ca := workerHost(t), newCA(t)
	f := newFakeCluster(t, ca)
	first := joinState(t, m, f, ca)
	installUnits(t, m, first)
	steps, _ := planAll(t, JoinPhases(), first, m)
	applyFiles(t, m, steps, -1)
	if exists(m, bootstrapConf) {
		t.Error("the token stays on the host")
	}
	joined(t, m, ca)
	m.BusyPorts[10250] = true
	f.taken = true // by this very host

	second := joinState(t, m, f, ca)
	steps, _ = planAll(t, JoinPhases(), second, m)
	if left := unsatisfied(t, m, steps); len(left) > 0 {
		t.Errorf("a second join would: %v", left)
	}
	if len(second.Problems) > 0 {
		t.Errorf("preflight complains about our own work: %v", second.Problems)
	}
	for _, st := range steps {
		if strings.Contains(st.String(), "write "+bootstrapConf) {
			t.Error("a second join would bring the token back")
		}
	}
}

// A host that has joined needs neither the cluster nor a token that is still valid; one that is not quite there does.
func TestJoinedHostAsksNobody(t *testing.T) {
	ca := newCA(t)
	for _, c := range []struct {
		name   string
		change func(m *host.Memory, s *State)
		asks   bool
	}{
		{"joined", func(*host.Memory, *State) {}, false},
		{"no default route", func(m *host.Memory, s *State) { m.FactsValue.DefaultRouteIP, s.Facts.DefaultRouteIP = nil, nil }, false},
		{"not ended", func(_ *host.Memory, s *State) { s.JoinEnded = false }, true},
		{"kubelet does not run", func(m *host.Memory, _ *State) { m.AddUnit(kubeletUnit, host.UnitState{Enabled: true}) }, true},
		{"certificate expired", func(_ *host.Memory, s *State) { s.Now = testNow().AddDate(20, 0, 0) }, true},
		{"certificate gone", func(m *host.Memory, _ *State) { _ = m.Remove(kubeletClient) }, true},
		{"certificate damaged", func(m *host.Memory, _ *State) { write(t, m, kubeletClient, "x") }, true},
		{"another name", func(_ *host.Memory, s *State) { s.Join.NodeRegistration.Name = "worker2" }, true},
		{"another pin", func(_ *host.Memory, s *State) {
			s.Join.Discovery.BootstrapToken.CACertHashes = []string{pki.Pin(newCA(t).Cert)}
		}, true},
		{"token still there", func(m *host.Memory, _ *State) { write(t, m, bootstrapConf, "x") }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, f := workerHost(t), newFakeCluster(t, ca)
			first := joinState(t, m, f, ca)
			installUnits(t, m, first)
			steps, _ := planAll(t, JoinPhases(), first, m)
			applyFiles(t, m, steps, -1)
			joined(t, m, ca)
			m.AddUnit(kubeletUnit, host.UnitState{Enabled: true, Active: true})
			m.BusyPorts[10250] = true

			expired := errors.New("the token is not known")
			f.err = expired
			s := joinState(t, m, f, ca)
			s.JoinEnded = true
			c.change(m, s)
			if c.asks {
				if _, err := (Discovery{}).Plan(t.Context(), s, m); !errors.Is(err, expired) {
					t.Errorf("the cluster is not asked: %v", err)
				}
				return
			}
			steps, _ = planAll(t, JoinPhases(), s, m)
			if left := unsatisfied(t, m, steps); len(left) > 0 {
				t.Errorf("another join would: %v", left)
			}
		})
	}
}

// A join that was cut off anywhere goes on.
func TestJoinGoesOnAfterEveryStep(t *testing.T) {
	ca := newCA(t)
	f := newFakeCluster(t, ca)
	m := workerHost(t)
	whole, _ := planAll(t, JoinPhases(), joinState(t, m, f, ca), m)
	for n := range countSteps(whole) + 1 {
		m := workerHost(t)
		s := joinState(t, m, f, ca)
		installUnits(t, m, s)
		steps, _ := planAll(t, JoinPhases(), s, m)
		applyFiles(t, m, steps, n)
		switch n {
		case countSteps(whole) - 1: // the kubelet runs, and the token is still there
			m.BusyPorts[10250] = true
		case countSteps(whole): // the token is taken away only from a kubelet that does not need it any more
			m.BusyPorts[10250] = true
			joined(t, m, ca)
		}
		steps, _ = planAll(t, JoinPhases(), joinState(t, m, f, ca), m)
		applyFiles(t, m, steps, -1)
		joined(t, m, ca)
		steps, _ = planAll(t, JoinPhases(), joinState(t, m, f, ca), m)
		if left := unsatisfied(t, m, steps); len(left) > 0 {
			t.Errorf("after %d steps: a third join would: %v", n, left)
		}
	}
}

// joined does what the kubelet does at the end of its TLS bootstrap.
func joined(t *testing.T, m *host.Memory, ca *pki.Pair) {
	t.Helper()
	spec := pki.Spec{CommonName: "system:node:worker1", Organization: []string{"system:nodes"}, Usages: clientAuth(), NotBefore: testNow(), Algorithm: pki.ECDSAP256}
	p, err := pki.NewLeaf(ca, spec)
	if err != nil {
		t.Fatal(err)
	}
	write(t, m, kubeletClient, string(p.CertPEM)+string(p.KeyPEM))
	write(t, m, kubeletConf, kubeconfigText(t, "https://10.0.0.1:6443", ca))
}

// kubeconfigText is a kubelet.conf as a kubelet writes it.
func kubeconfigText(t *testing.T, server string, ca *pki.Pair) string {
	t.Helper()
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: default-cluster, cluster: {server: %q, certificate-authority-data: %s}}]
contexts: [{name: default-context, context: {cluster: default-cluster, user: default-auth, namespace: default}}]
current-context: default-context
users: [{name: default-auth, user: {client-certificate: %s, client-key: %s}}]
`, server, base64.StdEncoding.EncodeToString(ca.CertPEM), kubeletClient, kubeletClient)
}

func TestJoinRefuses(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	for _, c := range []struct {
		name   string
		breaks func(t *testing.T, m *host.Memory, f *fakeCluster)
		says   string
	}{
		{"foreign CA file", func(t *testing.T, m *host.Memory, _ *fakeCluster) {
			write(t, m, "/etc/kubernetes/pki/ca.crt", string(other.CertPEM))
		}, "[FileAvailable--etc-kubernetes-pki-ca.crt]"},
		{"node of another cluster", func(t *testing.T, m *host.Memory, _ *fakeCluster) {
			joined(t, m, other)
		}, "node of another cluster"},
		{"other endpoint", func(t *testing.T, m *host.Memory, _ *fakeCluster) {
			joined(t, m, ca)
			write(t, m, kubeletConf, kubeconfigText(t, "https://10.0.0.2:6443", ca))
		}, "joined through 10.0.0.2:6443, not 10.0.0.1:6443"},
		{"control plane here", func(t *testing.T, m *host.Memory, _ *fakeCluster) {
			write(t, m, manifestsDir+"/etcd.yaml", "x")
		}, "[DirAvailable--etc-kubernetes-manifests]"},
		{"kubelet port", func(_ *testing.T, m *host.Memory, _ *fakeCluster) { m.BusyPorts[10250] = true }, "[Port-10250]"},
		{"older cluster", func(_ *testing.T, _ *host.Memory, f *fakeCluster) { setVersion(f, "v1.33.2") }, "must not be newer"},
		{"much newer cluster", func(_ *testing.T, _ *host.Memory, f *fakeCluster) { setVersion(f, "v1.38.0") }, "at most 3 minor versions"},
		{"swap", func(_ *testing.T, m *host.Memory, _ *fakeCluster) {
			m.FactsValue.SwapDevices = []string{"/swapfile"}
		}, "[Swap]"},
		{"gate of a later minor in the cluster", func(_ *testing.T, _ *host.Memory, f *fakeCluster) {
			f.kubelet.Data["kubelet"] += "featureGates: {DynamicKubeletConfig: true}\n"
		}, "[FeatureGates] ConfigMap kube-system/kubelet-config: feature gate DynamicKubeletConfig"},
		{"name of another", func(_ *testing.T, _ *host.Memory, f *fakeCluster) { f.taken = true }, "has a Ready node of this name"},
		{"unreachable", func(_ *testing.T, _ *host.Memory, f *fakeCluster) { f.err = errors.New("no route to host") }, "discover the cluster: no route to host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, f := workerHost(t), newFakeCluster(t, ca)
			c.breaks(t, m, f)
			before := m.Snapshot()
			s := joinState(t, m, f, ca)
			var err error
			for _, p := range JoinPhases() {
				if _, err = p.Plan(t.Context(), s, m); err != nil {
					break
				}
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if diff := cmp.Diff(before, m.Snapshot()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func setVersion(f *fakeCluster, v string) {
	for k, doc := range f.kubeadm.Data {
		f.kubeadm.Data[k] = strings.ReplaceAll(doc, testVersion, v)
	}
}

func TestJoinOlderBundleWithinSkew(t *testing.T) {
	m, ca := workerHost(t), newCA(t)
	f := newFakeCluster(t, ca)
	setVersion(f, "v1.36.3")
	s := joinState(t, m, f, ca)
	planAll(t, JoinPhases(), s, m)
	if s.Cluster.Version.String() != "1.34.4" {
		t.Errorf("this node's files would be rendered for %s, not for its own kubelet", s.Cluster.Version)
	}
}

// A kubelet of v1.10 keeps the certificate that it got for the token in a file of its own.
func TestJoinWaitsWhereTheKubeletWrites(t *testing.T) {
	for v, want := range map[string]string{
		"v1.10.6": "/var/lib/kubelet/pki/kubelet-client.crt", "v1.11.10": kubeletClient, testVersion: kubeletClient,
	} {
		m, ca := workerHost(t), newCA(t)
		s := joinState(t, m, newFakeCluster(t, ca), ca)
		s.Release = testRelease(t, v)
		steps, text := planAll(t, []Phase{KubeletWaitBootstrap{}}, s, m)
		if len(steps) == 0 || !strings.Contains(text, want+"\n") && !strings.Contains(text, want+" ") {
			t.Errorf("%s: join does not wait for %s:\n%s", v, want, text)
		}
		write(t, m, kubeletConf, kubeconfigText(t, "https://10.0.0.1:6443", ca))
		write(t, m, kubeletClient, "")
		write(t, m, want, "")
		if joined, err := s.joined(m, s.Node); err != nil || !joined {
			t.Errorf("%s: with %s the node has not joined: %v", v, want, err)
		}
	}
}
