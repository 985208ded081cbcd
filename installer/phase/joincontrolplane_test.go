package phase

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"kubebundle/installer/cluster"
	"kubebundle/installer/etcd"
	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

// uploadingCluster is a cluster whose first control plane has uploaded its certificates.
type uploadingCluster struct {
	*fakeCluster

	sealed map[string][]byte
	key    string
	ca     *pki.Pair
}

func (u *uploadingCluster) Certs(context.Context, *cluster.ClusterInfo) (map[string][]byte, error) {
	if u.sealed == nil {
		return nil, cluster.ErrNoCerts
	}
	return u.sealed, nil
}

func newUploadingCluster(t *testing.T, args ...string) *uploadingCluster {
	t.Helper()
	m := goodHost(t)
	s := initState(t, m, goodRuntime(), append([]string{"--upload-certs"}, args...)...)
	steps, _ := planAll(t, []Phase{Certs{}, Kubeconfig{}}, s, m)
	applyFiles(t, m, steps, countSteps(steps))
	upload, _ := planAll(t, []Phase{UploadCerts{}}, s, m)
	u := &uploadingCluster{fakeCluster: newFakeCluster(t, s.Certs["ca"]), key: s.CertificateKey, ca: s.Certs["ca"]}
	for _, st := range upload {
		if up, ok := st.(step.UploadCerts); ok {
			u.sealed = up.Sealed
		}
	}
	var err error
	if u.kubeadm, err = manifests.KubeadmConfigMap(s.Cluster, s.Node); err != nil {
		t.Fatal(err)
	}
	return u
}

func secondHost(t *testing.T) *host.Memory {
	t.Helper()
	m := goodHost(t)
	m.FactsValue.Hostname = "cp2"
	return m
}

const sharedEndpoint = "--control-plane-endpoint=10.0.0.1:6443"

func TestJoinControlPlanePlan(t *testing.T) {
	u, m := newUploadingCluster(t, sharedEndpoint), secondHost(t)
	before := m.Snapshot()
	steps, text := planAll(t, JoinControlPlanePhases(), joinState(t, m, u.fakeCluster, u.ca, "--control-plane", "--certificate-key", u.key).with(u), m)
	golden(t, "join-control-plane-v1.34.4.txt", text)
	if len(m.Snapshot()) != len(before) {
		t.Error("planning changed the host")
	}
	for _, st := range steps {
		f, ok := st.(step.File)
		if !ok {
			continue
		}
		if strings.HasSuffix(f.Path, ".key") && !f.Secret {
			t.Errorf("a dry run would show %s", f.Path)
		}
		if f.Path == bootstrapConf && !strings.Contains(string(f.Data), "https://10.0.0.10:6443") {
			t.Errorf("the kubelet is not given its own API server:\n%s", f.Data)
		}
	}
}

// with lets a join state discover another way.
func (s *State) with(d Discoverer) *State {
	s.Discovery = d
	return s
}

func TestJoinControlPlaneHasTheSharedCertificates(t *testing.T) {
	u, m := newUploadingCluster(t, sharedEndpoint), secondHost(t)
	s := joinState(t, m, u.fakeCluster, u.ca, "--control-plane", "--certificate-key", u.key).with(u)
	for _, p := range JoinControlPlanePhases()[1:8] {
		steps, err := p.Plan(t.Context(), s, m)
		if err != nil {
			t.Fatalf("%s: %v", p.Name(), err)
		}
		applyFiles(t, m, steps, countSteps(steps))
	}
	for _, name := range []string{"ca", "etcd/ca", "front-proxy-ca"} {
		data, err := m.ReadFile(testPKI + "/" + name + ".crt")
		if err != nil {
			t.Fatal(err)
		}
		if name == "ca" && string(data) != string(u.ca.CertPEM) {
			t.Error("it has another CA than the cluster")
		}
	}
	leaf := certificate(t, m, "apiserver")
	if err := leaf.CheckSignatureFrom(u.ca.Cert); err != nil {
		t.Error(err)
	}
	if !strings.Contains(strings.Join(leaf.DNSNames, " "), "cp2") {
		t.Errorf("its API server is called %v", leaf.DNSNames)
	}
	for _, conf := range []string{"/etc/kubernetes/super-admin.conf", kubeletConf} {
		if exists(m, conf) {
			t.Errorf("%s was made", conf)
		}
	}
}

// unwhole is an etcd with a member that does not answer.
type unwhole struct{ step.Etcd }

var errNoMember = errors.New("member cp3 at https://10.0.0.3:2379: context deadline exceeded")

func (unwhole) Healthy(context.Context, ...string) error { return errNoMember }
func (unwhole) Close() error                             { return nil }

// TestJoinControlPlaneLooksFirst: discovery, before which nothing has been changed, finds what stands against a control plane.
func TestJoinControlPlaneLooksFirst(t *testing.T) {
	u, m := newUploadingCluster(t, sharedEndpoint), secondHost(t)
	s := joinState(t, m, u.fakeCluster, u.ca, "--control-plane", "--certificate-key", strings.Repeat("ab", pki.CertificateKeySize)).with(u)
	if _, err := (Discovery{}).Plan(t.Context(), s, m); !errors.Is(err, pki.ErrWrongKey) {
		t.Errorf("another key: %v", err)
	}
	s = joinState(t, m, u.fakeCluster, u.ca, "--control-plane", "--certificate-key", u.key).with(u)
	s.OpenEtcd = func(_ context.Context, kubeconfig []byte, cfg etcd.Config) (step.Etcd, error) {
		if !strings.Contains(string(kubeconfig), "https://10.0.0.1:6443") || len(cfg.Key) == 0 {
			t.Errorf("etcd is looked for with %s", kubeconfig)
		}
		return unwhole{}, nil
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var members *EtcdMembersError
	if _, err := (Discovery{}).Plan(short, s, m); !errors.As(err, &members) || !errors.Is(err, errNoMember) || !strings.Contains(members.Hint(), "etcdctl member remove") {
		t.Errorf("a member that is gone: %v", err)
	}
}

func TestJoinControlPlaneRefuses(t *testing.T) {
	plan := func(u *uploadingCluster, args ...string) error {
		m := secondHost(t)
		s := joinState(t, m, u.fakeCluster, u.ca, append([]string{"--control-plane"}, args...)...).with(u)
		for _, p := range JoinControlPlanePhases()[1:] {
			if _, err := p.Plan(t.Context(), s, m); err != nil {
				return err
			}
		}
		return nil
	}
	u := newUploadingCluster(t, sharedEndpoint)
	var missing *MissingCertsError
	if err := plan(u); !errors.As(err, &missing) || !strings.Contains(err.Error(), "no certificate key was given") || !strings.Contains(missing.Hint(), "upload-certs") {
		t.Errorf("no key: %v", err)
	}
	other, err := pki.NewCertificateKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := plan(u, "--certificate-key", other); !errors.Is(err, pki.ErrWrongKey) || strings.Contains(err.Error(), other) {
		t.Errorf("another key: %v", err)
	}
	expired := *u
	expired.sealed = nil
	if err := plan(&expired, "--certificate-key", u.key); !errors.Is(err, cluster.ErrNoCerts) {
		t.Errorf("expired upload: %v", err)
	}
	single := newUploadingCluster(t)
	var none *NoEndpointError
	if err := plan(single, "--certificate-key", single.key); !errors.As(err, &none) {
		t.Errorf("no shared address: %v", err)
	}
	older := newUploadingCluster(t, sharedEndpoint)
	older.kubeadm.Data["ClusterConfiguration"] = strings.Replace(older.kubeadm.Data["ClusterConfiguration"], testVersion, "v1.34.3", 1)
	var skew *SkewError
	if err := plan(older, "--certificate-key", older.key); !errors.As(err, &skew) {
		t.Errorf("another patch: %v", err)
	}
}
