package phase

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
)

func TestInitPlan(t *testing.T) {
	m := goodHost(t)
	before := m.Snapshot()
	s := initState(t, m, goodRuntime(), "--pod-network-cidr", "10.244.0.0/16", "--token", "abcdef.0123456789abcdef")
	s.manifests = []manifest{{manifestFile().Path, []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: kube-flannel}\n")}}
	s.Contract.Files = append(s.Contract.Files, manifestFile())
	_, text := planAll(t, InitPhases(), s, m)
	golden(t, "init-v1.34.4.txt", text)
	if strings.Contains(text, "0123456789abcdef") {
		t.Error("a plan shows the secret of the token")
	}
	if diff := cmp.Diff(before, m.Snapshot()); diff != "" {
		t.Errorf("planning changed the host:\n%s", diff)
	}
	if len(m.Commands()) > 0 || len(m.UnitLog()) > 0 {
		t.Errorf("planning ran %v %v", m.Commands(), m.UnitLog())
	}
}

func TestInitPlanWithDefaultRouteHasNoServiceRoute(t *testing.T) {
	m := goodHost(t)
	m.FactsValue.DefaultRouteIP = m.FactsValue.Addresses[0].IP
	_, text := planAll(t, InitPhases(), initState(t, m, goodRuntime()), m)
	if strings.Contains(text, "service-route") {
		t.Errorf("a route is planned on a host that has a default route:\n%s", text)
	}
}

// A run that is cut off after any of its steps must be gone on with, and end with the very files that it began to write.
func TestInitGoesOnAfterEveryStep(t *testing.T) {
	rt := goodRuntime()
	whole, _ := planAll(t, InitPhases(), initState(t, goodHost(t), rt), goodHost(t))
	for n := range countSteps(whole) + 1 {
		m := goodHost(t)
		s := initState(t, m, rt)
		installUnits(t, m, s)
		steps, _ := planAll(t, InitPhases(), s, m)
		applyFiles(t, m, steps, n)
		grown := m.Snapshot()
		rotate(t, m, s)

		again := initState(t, m, rt)
		steps, _ = planAll(t, InitPhases(), again, m)
		applyFiles(t, m, steps, -1)
		now := m.Snapshot()
		for p, was := range grown {
			if strings.HasSuffix(p, "ca.key") && now[p] != was {
				t.Errorf("after %d steps: the second run replaced %s", n, p)
			}
		}
		rotate(t, m, again)

		third := initState(t, m, rt)
		steps, _ = planAll(t, InitPhases(), third, m)
		if left := unsatisfied(t, m, steps); len(left) > 0 {
			t.Errorf("after %d steps and a second run, a third would still: %v", n, left)
		}
	}
}

// rotate does what the kubelet does with its first certificate.
func rotate(t *testing.T, m *host.Memory, s *State) {
	t.Helper()
	spec := pki.Spec{CommonName: "system:node:node1", Organization: []string{"system:nodes"}, Usages: clientAuth(), NotBefore: testNow()}
	p, err := pki.NewLeaf(s.Certs["ca"], spec)
	if err != nil {
		t.Fatal(err)
	}
	write(t, m, kubeletClient, string(p.CertPEM)+string(p.KeyPEM))
}

func TestInitAgainAfterUpKeepsEverything(t *testing.T) {
	m := goodHost(t)
	rt := goodRuntime()
	first := initState(t, m, rt)
	installUnits(t, m, first)
	steps, _ := planAll(t, InitPhases(), first, m)
	applyFiles(t, m, steps, -1)
	rotate(t, m, first)
	for _, p := range []int{6443, 10250, 10257, 10259, 2379, 2380} {
		m.BusyPorts[p] = true
	}
	rt.loaded = true
	write(t, m, "/var/lib/etcd/member/snap/db", "data")

	second := initState(t, m, rt)
	steps, _ = planAll(t, InitPhases(), second, m)
	if left := unsatisfied(t, m, steps); len(left) > 0 {
		t.Errorf("a second run would: %v", left)
	}
	if len(second.Problems) > 0 {
		t.Errorf("preflight complains about our own work: %v", second.Problems)
	}
	if !bytes.Equal(first.Certs["ca"].CertPEM, second.Certs["ca"].CertPEM) || !bytes.Equal(first.SAKey, second.SAKey) {
		t.Error("the second run has another CA or service account key")
	}
}

func TestCertsUseTheUsersCA(t *testing.T) {
	m := goodHost(t)
	ca, err := pki.NewCA(pki.Spec{CommonName: "Company Root", Algorithm: pki.ECDSAP256, NotBefore: testNow()})
	if err != nil {
		t.Fatal(err)
	}
	write(t, m, "/etc/kubernetes/pki/ca.crt", string(ca.CertPEM))
	write(t, m, "/etc/kubernetes/pki/ca.key", string(ca.KeyPEM))
	s := initState(t, m, goodRuntime())
	steps, err := Certs{}.Plan(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Certs["apiserver"].Cert.CheckSignatureFrom(ca.Cert); err != nil {
		t.Errorf("apiserver.crt: %v", err)
	}
	for _, st := range steps[:2] {
		if ok, err := st.Satisfied(t.Context(), &step.Target{Host: m}); err != nil || !ok {
			t.Errorf("%s would change the user's CA (%v)", st, err)
		}
	}
}

func TestCertsRefuseWhatDoesNotFit(t *testing.T) {
	ca, err := pki.NewCA(pki.Spec{CommonName: "kubernetes", Algorithm: pki.ECDSAP256, NotBefore: testNow()})
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.NewCA(pki.Spec{CommonName: "other", Algorithm: pki.ECDSAP256, NotBefore: testNow()})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := pki.NewLeaf(other, pki.Spec{CommonName: "kube-apiserver", Usages: clientAuth(), NotBefore: testNow(), Algorithm: pki.ECDSAP256})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files map[string][]byte
		path  string
		says  string
	}{
		"foreign leaf": {
			map[string][]byte{"ca.crt": ca.CertPEM, "ca.key": ca.KeyPEM, "apiserver.crt": leaf.CertPEM, "apiserver.key": leaf.KeyPEM},
			"/etc/kubernetes/pki/apiserver.crt", "not signed by CA",
		},
		"key of another": {map[string][]byte{"ca.crt": ca.CertPEM, "ca.key": other.KeyPEM}, "/etc/kubernetes/pki/ca.crt", "does not belong"},
		"leaf alone":     {map[string][]byte{"ca.crt": ca.CertPEM, "ca.key": ca.KeyPEM, "apiserver.crt": leaf.CertPEM}, "/etc/kubernetes/pki/apiserver.crt", "key"},
		"leaf, no CA":    {map[string][]byte{"apiserver.crt": leaf.CertPEM, "apiserver.key": leaf.KeyPEM}, "/etc/kubernetes/pki/apiserver.crt", "CA"},
		"sa.pub alone":   {map[string][]byte{"sa.pub": []byte("x")}, "/etc/kubernetes/pki/sa.pub", "sa.key is missing"},
		"no PEM":         {map[string][]byte{"ca.crt": []byte("x"), "ca.key": []byte("y")}, "/etc/kubernetes/pki/ca.crt", "PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			m := goodHost(t)
			for p, data := range c.files {
				write(t, m, "/etc/kubernetes/pki/"+p, string(data))
			}
			before := m.Snapshot()
			_, err := Certs{}.Plan(t.Context(), initState(t, m, goodRuntime()), m)
			var misfit *MisfitError
			if !errors.As(err, &misfit) {
				t.Fatalf("got %v, want a MisfitError", err)
			}
			if misfit.Path != c.path || !strings.Contains(err.Error(), c.says) || misfit.Hint() == "" {
				t.Errorf("got %v (hint %q), want %s … %q", err, misfit.Hint(), c.path, c.says)
			}
			if !maps.Equal(before, m.Snapshot()) {
				t.Error("the host changed")
			}
			// Preflight says the same, under kubeadm's name of the check.
			problems, err := CheckHost(t.Context(), initState(t, m, goodRuntime()), m)
			if err != nil {
				t.Fatal(err)
			}
			if !hasCheck(problems, "FileAvailable-"+strings.ReplaceAll(c.path, "/", "-")) {
				t.Errorf("preflight does not report %s: %v", c.path, problems)
			}
		})
	}
}

func TestExternalCANeedsEverything(t *testing.T) {
	m := goodHost(t)
	s := initState(t, m, goodRuntime())
	steps, err := Certs{}.Plan(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	applyFiles(t, m, steps, -1)
	steps, err = Kubeconfig{}.Plan(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	applyFiles(t, m, steps, -1)
	if err := m.Remove("/etc/kubernetes/pki/ca.key"); err != nil {
		t.Fatal(err)
	}
	ext := initState(t, m, goodRuntime())
	all, _ := planAll(t, InitPhases(), ext, m)
	for _, st := range all {
		if f, ok := st.(step.File); ok && strings.HasSuffix(f.Path, "pki/ca.key") {
			t.Error("the CA's key would be written")
		}
	}
	if !ext.Cluster.ExternalCA {
		t.Error("the external CA was not noticed")
	}
	if err := m.Remove("/etc/kubernetes/pki/apiserver.crt"); err != nil {
		t.Fatal(err)
	}
	if _, err := (Certs{}).Plan(t.Context(), initState(t, m, goodRuntime()), m); err == nil {
		t.Error("a certificate was made without its CA's key")
	}
	problems, err := CheckHost(t.Context(), initState(t, m, goodRuntime()), m)
	if err != nil {
		t.Fatal(err)
	}
	if !hasCheck(problems, "FileAvailable--etc-kubernetes-pki-apiserver.crt") {
		t.Errorf("preflight does not report it: %v", problems)
	}
}

func TestSuperAdminThatWasPutAwayStaysAway(t *testing.T) {
	m := goodHost(t)
	steps, _ := planAll(t, InitPhases()[:5], initState(t, m, goodRuntime()), m)
	applyFiles(t, m, steps, -1)
	if err := m.Remove("/etc/kubernetes/super-admin.conf"); err != nil {
		t.Fatal(err)
	}
	steps, _ = planAll(t, InitPhases()[:5], initState(t, m, goodRuntime()), m)
	if left := unsatisfied(t, m, steps); len(left) > 0 {
		t.Errorf("a second run would: %v", left)
	}
}

func hasCheck(problems []Problem, check string) bool {
	for _, p := range problems {
		if p.Check == check {
			return true
		}
	}
	return false
}
