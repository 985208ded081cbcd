package phase

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
)

func siteCA(t *testing.T, name string) *pki.Pair {
	t.Helper()
	ca, err := pki.NewCA(pki.Spec{CommonName: name, Algorithm: pki.ECDSAP256, NotBefore: testNow().Add(-100 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func siteCert(t *testing.T, ca *pki.Pair, usage x509.ExtKeyUsage, begin time.Time) *pki.Pair {
	t.Helper()
	p, err := pki.NewLeaf(ca, pki.Spec{CommonName: "k8s", Usages: []x509.ExtKeyUsage{usage}, Algorithm: pki.ECDSAP256, NotBefore: begin, Validity: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const externalEtcd = `apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
etcd:
  external:
    endpoints: ["https://10.0.0.20:2379", "https://10.0.0.21:2379"]
    caFile: /etc/etcd/ca.crt
    certFile: /etc/etcd/client.crt
    keyFile: /etc/etcd/client.key
`

func TestExternalEtcd(t *testing.T) {
	ca, other := siteCA(t, "etcd"), siteCA(t, "other")
	good := siteCert(t, ca, x509.ExtKeyUsageClientAuth, testNow())
	for name, c := range map[string]struct {
		ca, cert, key []byte
		level         Level
		says          string
	}{
		"good":            {ca.CertPEM, good.CertPEM, good.KeyPEM, "", ""},
		"no CA":           {nil, good.CertPEM, good.KeyPEM, LevelError, "etcd.external.caFile: "},
		"no key":          {ca.CertPEM, good.CertPEM, nil, LevelError, "etcd.external.keyFile: "},
		"key of another":  {ca.CertPEM, good.CertPEM, other.KeyPEM, LevelError, "the key does not belong to it"},
		"no certificate":  {ca.CertPEM, []byte("x"), good.KeyPEM, LevelError, "no PEM block of type CERTIFICATE"},
		"a server's":      {ca.CertPEM, nil, nil, LevelError, "lacks the extended key usage clientAuth"},
		"expired":         {ca.CertPEM, nil, nil, LevelError, "expired"},
		"of another's CA": {other.CertPEM, good.CertPEM, good.KeyPEM, LevelWarning, "is not signed by the CA in /etc/etcd/ca.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			m := goodHost(t)
			switch name {
			case "a server's":
				p := siteCert(t, ca, x509.ExtKeyUsageServerAuth, testNow())
				c.cert, c.key = p.CertPEM, p.KeyPEM
			case "expired":
				p := siteCert(t, ca, x509.ExtKeyUsageClientAuth, testNow().Add(-72*time.Hour))
				c.cert, c.key = p.CertPEM, p.KeyPEM
			}
			write(t, m, "/root/c.yaml", externalEtcd)
			for p, data := range map[string][]byte{"ca.crt": c.ca, "client.crt": c.cert, "client.key": c.key} {
				if data != nil {
					write(t, m, "/etc/etcd/"+p, string(data))
				}
			}
			problems, err := CheckHost(t.Context(), initState(t, m, goodRuntime(), "--config", "/root/c.yaml"), m)
			if err != nil {
				t.Fatal(err)
			}
			if c.level == "" {
				if hasCheck(problems, "ExternalEtcdClientCertificates") {
					t.Errorf("got %v", problems)
				}
				return
			}
			p := find(t, problems, "ExternalEtcdClientCertificates")
			if p.Level != c.level || !strings.Contains(p.Message, c.says) {
				t.Errorf("got %+v, want %s %q", p, c.level, c.says)
			}
		})
	}
}

// An etcd that nobody reaches is found before anything is changed; one that has lost a member serves.
func TestExternalEtcdAnswers(t *testing.T) {
	ca := siteCA(t, "etcd")
	client := siteCert(t, ca, x509.ExtKeyUsageClientAuth, testNow())
	for name, c := range map[string]struct {
		silent []string
		level  Level
		says   string
	}{
		"all":  {nil, "", ""},
		"one":  {[]string{"https://10.0.0.21:2379"}, LevelWarning, "1 of 2 endpoints of the external etcd do not answer: ask https://10.0.0.21:2379: refused"},
		"none": {[]string{"https://10.0.0.20:2379", "https://10.0.0.21:2379"}, LevelError, "no endpoint of the external etcd answers: ask https://10.0.0.20:2379: refused; ask"},
	} {
		t.Run(name, func(t *testing.T) {
			m := goodHost(t)
			write(t, m, "/root/c.yaml", externalEtcd)
			for p, data := range map[string][]byte{"ca.crt": ca.CertPEM, "client.crt": client.CertPEM, "client.key": client.KeyPEM} {
				write(t, m, "/etc/etcd/"+p, string(data))
			}
			s := initState(t, m, goodRuntime(), "--config", "/root/c.yaml")
			s.EtcdVersion = func(_ context.Context, endpoint string, caPEM, certPEM, keyPEM []byte) (string, error) {
				if !bytes.Equal(caPEM, ca.CertPEM) || !bytes.Equal(certPEM, client.CertPEM) || !bytes.Equal(keyPEM, client.KeyPEM) {
					t.Error("it is asked with other files than those that are named")
				}
				if slices.Contains(c.silent, endpoint) {
					return "", errors.New("ask " + endpoint + ": refused")
				}
				return "3.6.8", nil
			}
			problems, err := CheckHost(t.Context(), s, m)
			if err != nil {
				t.Fatal(err)
			}
			if c.level == "" {
				if hasCheck(problems, "ExternalEtcdVersion") {
					t.Errorf("got %v", problems)
				}
				return
			}
			if p := find(t, problems, "ExternalEtcdVersion"); p.Level != c.level || !strings.Contains(p.Message, c.says) || p.Advice == "" {
				t.Errorf("got %+v, want %s %q", p, c.level, c.says)
			}
		})
	}
}

func TestExternalEtcdPlan(t *testing.T) {
	ca := siteCA(t, "etcd")
	client := siteCert(t, ca, x509.ExtKeyUsageClientAuth, testNow())
	m := goodHost(t)
	write(t, m, "/root/c.yaml", externalEtcd)
	for p, data := range map[string][]byte{"ca.crt": ca.CertPEM, "client.crt": client.CertPEM, "client.key": client.KeyPEM} {
		write(t, m, "/etc/etcd/"+p, string(data))
	}
	s := initState(t, m, goodRuntime(), "--config", "/root/c.yaml", "--upload-certs")
	steps, text := planAll(t, InitPhases(), s, m)
	for _, gone := range []string{"etcd.yaml", "/var/lib/etcd", "pki/etcd", "apiserver-etcd-client"} {
		if strings.Contains(text, gone) {
			t.Errorf("%s is planned although others run the etcd", gone)
		}
	}
	var server string
	for _, st := range steps {
		switch st := st.(type) {
		case step.File:
			if strings.HasSuffix(st.Path, "kube-apiserver.yaml") {
				server = string(st.Data)
			}
		case step.UploadCerts:
			if len(st.Sealed["external-etcd.key"]) == 0 || st.Sealed["etcd-ca.key"] != nil {
				t.Errorf("uploaded are %v", maps.Keys(st.Sealed))
			}
		}
	}
	for _, want := range []string{
		"--etcd-servers=https://10.0.0.20:2379,https://10.0.0.21:2379", "--etcd-cafile=/etc/etcd/ca.crt", "--etcd-certfile=/etc/etcd/client.crt",
		"--etcd-keyfile=/etc/etcd/client.key", "path: /etc/etcd",
	} {
		if !strings.Contains(server, want) {
			t.Errorf("the API server lacks %s", want)
		}
	}
}

// An etcd without TLS has no files to share.
func TestExternalEtcdWithoutTLS(t *testing.T) {
	m := goodHost(t)
	write(t, m, "/root/c.yaml", "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\netcd:\n  external:\n    endpoints: [\"http://10.0.0.20:2379\"]\n")
	s := initState(t, m, goodRuntime(), "--config", "/root/c.yaml", "--upload-certs")
	steps, _ := planAll(t, InitPhases(), s, m)
	for _, st := range steps {
		if up, ok := st.(step.UploadCerts); ok && len(up.Sealed) != 6 {
			t.Errorf("%d files are uploaded, want 6", len(up.Sealed))
		}
	}
}

// What cannot be signed here is found before anything is changed, whichever of the three CAs has its key elsewhere.
func TestExternalCAsAreComplete(t *testing.T) {
	ready := func(t *testing.T) *host.Memory {
		m := goodHost(t)
		s := initState(t, m, goodRuntime())
		for _, p := range []Phase{Certs{}, Kubeconfig{}} {
			steps, err := p.Plan(t.Context(), s, m)
			if err != nil {
				t.Fatal(err)
			}
			applyFiles(t, m, steps, -1)
		}
		return m
	}
	for _, c := range []struct {
		key, gone, check, says string
	}{
		{"pki/ca.key", "", "", ""},
		{"pki/ca.key", "super-admin.conf", "", ""}, // put away by the administrator
		{"pki/ca.key", "scheduler.conf", "FileAvailable--etc-kubernetes-scheduler.conf", "the key of its CA (/etc/kubernetes/pki/ca.key) is not on this host"},
		{"pki/ca.key", "pki/apiserver-kubelet-client.crt", "FileAvailable--etc-kubernetes-pki-apiserver-kubelet-client.crt", "the key of its CA is not on this host"},
		{"pki/etcd/ca.key", "pki/etcd/peer.crt", "FileAvailable--etc-kubernetes-pki-etcd-peer.crt", "the key of its CA is not on this host"},
		{"pki/front-proxy-ca.key", "pki/front-proxy-client.crt", "FileAvailable--etc-kubernetes-pki-front-proxy-client.crt", "the key of its CA is not on this host"},
	} {
		m := ready(t)
		for _, p := range []string{c.key, c.gone} {
			if p == "" {
				continue
			}
			if err := m.Remove("/etc/kubernetes/" + p); err != nil {
				t.Fatal(err)
			}
		}
		problems, err := CheckHost(t.Context(), initState(t, m, goodRuntime()), m)
		if err != nil {
			t.Fatal(err)
		}
		if c.check == "" {
			if bad := refusing(problems); len(bad) > 0 {
				t.Errorf("without %s and %s: %v", c.key, c.gone, bad)
			}
			continue
		}
		if p := find(t, problems, c.check); !strings.Contains(p.Message, c.says) || p.Advice == "" {
			t.Errorf("without %s and %s: %+v", c.key, c.gone, p)
		}
	}
}
