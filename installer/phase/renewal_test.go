package phase

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

const testPKI = "/etc/kubernetes/pki"

// initialised is a host with the files of an init: certificates, kubeconfigs, static pods.
func initialised(t *testing.T) *host.Memory {
	t.Helper()
	m := goodHost(t)
	s := initState(t, m, goodRuntime())
	steps, _ := planAll(t, []Phase{Certs{}, Kubeconfig{}, Etcd{}, ControlPlane{}}, s, m)
	applyFiles(t, m, steps, countSteps(steps))
	installUnits(t, m, s)
	return m
}

// renew plans and applies a renewal; the steps that wait for pods are left out, since nothing runs here.
func renew(t *testing.T, m *host.Memory, now time.Time, p RenewCerts, most int) (steps []step.Step) {
	t.Helper()
	s := &State{Now: now}
	p.CertDir = testPKI
	steps, err := p.Plan(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	applyFiles(t, m, steps, min(most, countSteps(steps)))
	if most <= countSteps(steps) {
		return steps
	}
	restart, err := RestartStaticPods{CertDir: testPKI}.Plan(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	restart = parts(restart)
	for i, st := range restart {
		if tended, ok := st.(step.Tended); ok {
			restart[i] = tended.Step
		}
	}
	applyFiles(t, m, restart, most-countSteps(steps))
	return append(steps, restart...)
}

func certificate(t *testing.T, m *host.Memory, name string) *x509.Certificate {
	t.Helper()
	i := slices.IndexFunc(manifests.RenewableCertificates(), func(r manifests.Renewable) bool { return r.Name == name })
	e, found, err := readRenewable(m, testPKI, manifests.RenewableCertificates()[i], true)
	if err != nil || e.Broken != nil {
		t.Fatal(err, e.Broken)
	}
	certs, err := pki.ParseCertificates(found.cert)
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}

const everything = 1000

func TestRenewAll(t *testing.T) {
	m := initialised(t)
	before := map[string]*x509.Certificate{}
	for _, name := range RenewableNames() {
		before[name] = certificate(t, m, name)
	}
	later := testNow().Add(200 * 24 * time.Hour)
	renew(t, m, later, RenewCerts{Names: []string{"all"}}, everything)
	for _, name := range RenewableNames() {
		after := certificate(t, m, name)
		if !after.NotAfter.After(before[name].NotAfter) {
			t.Errorf("%s ends %s, as before", name, after.NotAfter)
		}
		if diff := cmp.Diff(pki.SpecOf(before[name]), pki.SpecOf(after)); diff != "" {
			t.Errorf("%s (-before +after):\n%s", name, diff)
		}
	}
	// An init that is run again takes everything as it is, the annotation of the static pods included.
	s := initState(t, m, goodRuntime())
	s.Now = later
	steps, _ := planAll(t, []Phase{Certs{}, Kubeconfig{}, Etcd{}, ControlPlane{}}, s, m)
	if left := unsatisfied(t, m, steps); len(left) > 0 {
		t.Errorf("init would change:\n%s", strings.Join(left, "\n"))
	}
	if exists(m, pendingRenewal) {
		t.Error("the list of pods to start anew is still there")
	}
}

func TestRenewRestartsWhatReads(t *testing.T) {
	for _, tt := range []struct {
		names []string
		want  []string
	}{
		{[]string{"admin.conf"}, nil},
		{[]string{"apiserver"}, []string{"kube-apiserver"}},
		{[]string{"etcd-peer", "scheduler.conf"}, []string{"etcd", "kube-scheduler"}},
		{[]string{"all"}, []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}},
	} {
		m := initialised(t)
		var got []string
		for _, st := range renew(t, m, testNow(), RenewCerts{Names: tt.names}, everything) {
			if w, ok := st.(step.Await); ok {
				got = append(got, strings.TrimSuffix(strings.Fields(w.What)[0], "-node1"))
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v starts anew (-want +got):\n%s", tt.names, diff)
		}
	}
}

func TestRenewWithin(t *testing.T) {
	m := initialised(t)
	if steps := renew(t, m, testNow(), RenewCerts{Names: []string{"all"}, Within: 720 * time.Hour}, everything); len(steps) > 0 {
		t.Errorf("certificates of a year were renewed: %v", steps)
	}
	soon := testNow().Add(pki.DefaultValidity - 24*time.Hour)
	renew(t, m, soon, RenewCerts{Names: []string{"apiserver"}, Within: 720 * time.Hour}, everything)
	if c := certificate(t, m, "apiserver"); !c.NotAfter.After(testNow().Add(pki.DefaultValidity)) {
		t.Errorf("the certificate still ends %s", c.NotAfter)
	}
}

// TestRenewGoesOnAfterEveryStep: whatever was done when the power went, the same command (with --within, which finds new certificates)
// brings it to an end: every certificate has its key, and every pod that reads a renewed one was started anew.
func TestRenewGoesOnAfterEveryStep(t *testing.T) {
	for n := 0; ; n++ {
		m := initialised(t)
		soon := testNow().Add(pki.DefaultValidity - 24*time.Hour)
		p := RenewCerts{Names: []string{"apiserver", "etcd-server"}, Within: 720 * time.Hour}
		steps := renew(t, m, soon, p, n)
		renew(t, m, soon, p, everything)
		for _, name := range p.Names {
			if c := certificate(t, m, name); !c.NotAfter.After(testNow().Add(pki.DefaultValidity)) {
				t.Errorf("after %d steps: %s still ends %s", n, name, c.NotAfter)
			}
		}
		for _, comp := range []string{"etcd", "kube-apiserver"} {
			sum, err := RestartStaticPods{CertDir: testPKI}.digest(comp, m)
			if err != nil {
				t.Fatal(err)
			}
			data, err := m.ReadFile(manifestsDir + "/" + comp + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(data), sum) {
				t.Errorf("after %d steps: %s was not started anew", n, comp)
			}
		}
		if exists(m, pendingRenewal) {
			t.Errorf("after %d steps: the list of pods is still there", n)
		}
		if n > 8 && countSteps(steps) < n {
			return
		}
	}
}

func TestRenewRefuses(t *testing.T) {
	plan := func(m *host.Memory, names ...string) error {
		_, err := RenewCerts{CertDir: testPKI, Names: names}.Plan(t.Context(), &State{Now: testNow()}, m)
		return err
	}
	m := initialised(t)
	if err := plan(m, "nonsense"); err == nil || !strings.Contains(err.Error(), "known are all, admin.conf") {
		t.Errorf("unknown name: %v", err)
	}
	if err := m.Remove(testPKI + "/front-proxy-client.crt"); err != nil {
		t.Fatal(err)
	}
	if err := plan(m, "front-proxy-client"); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("missing certificate: %v", err)
	}
	if err := plan(m, "all"); err != nil {
		t.Errorf("all of those that are there: %v", err)
	}
	if err := m.Remove(testPKI + "/ca.key"); err != nil {
		t.Fatal(err)
	}
	var external *ExternalCAError
	if err := plan(m, "apiserver"); !errors.As(err, &external) || !strings.Contains(external.Hint(), "generate-csr") {
		t.Errorf("external CA: %v", err)
	}
	m = initialised(t)
	other, err := pki.NewCA(pki.Spec{CommonName: "kubernetes", Algorithm: pki.ECDSAP256, NotBefore: testNow()})
	if err != nil {
		t.Fatal(err)
	}
	write(t, m, testPKI+"/ca.crt", string(other.CertPEM))
	write(t, m, testPKI+"/ca.key", string(other.KeyPEM))
	var misfit *MisfitError
	if err := plan(m, "apiserver"); !errors.As(err, &misfit) || !strings.Contains(err.Error(), "not signed by the CA beside it") {
		t.Errorf("another CA: %v", err)
	}
}

func TestExpirations(t *testing.T) {
	m := initialised(t)
	for _, p := range []string{testPKI + "/etcd/ca.key", "/etc/kubernetes/super-admin.conf", testPKI + "/apiserver.key"} {
		if err := m.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
	leaves, cas, err := Expirations(m, testPKI)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]Expiration{}
	for _, e := range append(leaves, cas...) {
		by[e.Name] = e
	}
	if !by["super-admin.conf"].Missing || by["admin.conf"].Missing {
		t.Error("what is missing is not what was removed")
	}
	if by["apiserver"].Broken == nil || by["scheduler.conf"].Broken != nil {
		t.Error("what does not work is not the one without its key")
	}
	if !by["etcd-server"].External || !by["etcd-ca"].External || by["apiserver"].External {
		t.Error("externally managed should be etcd's, and nothing else")
	}
	if want := testNow().Add(-pki.Backdate + pki.DefaultValidity); !by["admin.conf"].NotAfter.Equal(want) {
		t.Errorf("admin.conf ends %s, want %s", by["admin.conf"].NotAfter, want)
	}
}

func TestGenerateCSR(t *testing.T) {
	m := goodHost(t)
	s := initState(t, m, goodRuntime())
	p := GenerateCSR{CertDir: testPKI, KubeconfigDir: "/etc/kubernetes"}
	steps, err := p.Plan(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	applyFiles(t, m, steps, everything)
	for _, name := range []string{testPKI + "/apiserver.csr", testPKI + "/etcd/server.key", "/etc/kubernetes/admin.conf", "/etc/kubernetes/admin.conf.csr"} {
		if !exists(m, name) {
			t.Errorf("%s is missing", name)
		}
	}
	if exists(m, testPKI+"/ca.key") {
		t.Error("a CA was made, which is somebody else's to have")
	}
	if _, err := p.Plan(t.Context(), s, m); err == nil || !strings.Contains(err.Error(), "every key is there already") {
		t.Errorf("again: %v", err)
	}
}
