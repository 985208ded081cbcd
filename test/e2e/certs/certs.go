// Package certs: all certificates of a control plane have ended, and nothing works any more. They are renewed: every component starts anew with its new one,
// the API comes back, old and new administrators are served, and a second renewal finds nothing to do.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	"kubebundle/installer/pki"
	"kubebundle/manifests"
	"kubebundle/test/e2e/suite"
)

// Test is the behaviour.
func Test(t *testing.T, s *suite.Suite) {
	host := s.Server()
	before := map[string]*x509.Certificate{}
	servers := []string{"6443", "2379", "2380"} // the API server's, and etcd's two
	if s.Before("1.13.0") {                     // whose etcd listens to its own node
		servers = servers[:1]
	}
	for _, port := range servers {
		before[port] = served(t, host.IP.String(), port)
	}
	starts := restarts(t, s)

	outage(t, s)
	r := s.MustInstall(t, host, "certs", "renew", "all", "--cert-validity", "8760h") // else they live as long as those that have ended: a minute
	if !strings.Contains(r.Stderr, "certs renew: done") {
		t.Errorf("it says:\n%s", r.Stderr)
	}
	for _, port := range servers {
		after := served(t, host.IP.String(), port)
		if after.SerialNumber.Cmp(before[port].SerialNumber) == 0 {
			t.Errorf("port %s still serves the old certificate", port)
		}
	}
	for pod, id := range restarts(t, s) {
		if old, known := starts[pod]; known && old == id {
			t.Errorf("%s runs in the container that it had before", pod)
		}
	}
	// The machine's kubeconfig has the old certificate, which is as good as before; the host's has the new one.
	s.Kubectl(t, "get", "nodes")
	conf := filepath.Join(t.TempDir(), "admin.conf")
	data, err := os.ReadFile(filepath.Join(host.Root(), "etc/kubernetes/admin.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Kubectl(t, "--kubeconfig", conf, "get", "nodes")

	if r := s.MustInstall(t, host, "certs", "renew", "all", "--within", "720h"); !strings.Contains(r.Stderr, "nothing to do") {
		t.Errorf("again: it says:\n%s", r.Stderr)
	}
	// By itself: the timer's service runs the program that the node keeps, and finds nothing that is about to end. The reset behaviour wants it gone.
	s.MustInstall(t, host, "certs", "renew", "--timer")
	out, err := host.Output(t.Context(), "sh", "-c", "systemctl is-active kubebundle-certs.timer && systemctl start kubebundle-certs.service && journalctl -o cat -u kubebundle-certs.service")
	if err != nil || !strings.Contains(out, "nothing to do") {
		t.Errorf("the timer's service: %v\n%s", err, out)
	}
	if r := s.MustInstall(t, host, "certs", "check-expiration"); !strings.Contains(r.Stdout, "364d") {
		t.Errorf("check-expiration says:\n%s", r.Stdout)
	}
}

// outage lets every certificate end and starts etcd and the API server with them, as after a year in which nobody looked and a reboot.
func outage(t *testing.T, s *suite.Suite) {
	t.Helper()
	host := s.Server()
	const dir = "/etc/kubernetes/pki/"
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(host.Root(), name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, m := range manifests.RenewableCertificates() {
		base := dir + strings.Replace(m.CA, "etcd-ca", "etcd/ca", 1)
		ca, err := pki.Parse(read(base+".crt"), read(base+".key"))
		if err != nil {
			t.Fatal(err)
		}
		ended := func(certPEM []byte) *pki.Pair {
			old, err := pki.Parse(certPEM, nil)
			if err != nil {
				t.Fatal(err)
			}
			p, err := pki.Renew(ca, old.Cert, time.Now(), time.Minute) // it begins some minutes before
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		files := map[string][]byte{}
		if m.Path == "" {
			if _, err := os.Stat(filepath.Join(host.Root(), dir+m.BaseName+".crt")); os.IsNotExist(err) { // v1.10 has none for etcd's peers
				continue
			}
			p := ended(read(dir + m.BaseName + ".crt"))
			files[dir+m.BaseName+".crt"], files[dir+m.BaseName+".key"] = p.CertPEM, p.KeyPEM
		} else {
			if _, err := os.Stat(filepath.Join(host.Root(), m.Path)); os.IsNotExist(err) { // super-admin.conf came with v1.29
				continue
			}
			conf, err := clientcmd.Load(read(m.Path))
			if err != nil {
				t.Fatal(err)
			}
			for _, user := range conf.AuthInfos {
				p := ended(user.ClientCertificateData)
				user.ClientCertificateData, user.ClientKeyData = p.CertPEM, p.KeyPEM
			}
			if files[m.Path], err = clientcmd.Write(*conf); err != nil {
				t.Fatal(err)
			}
		}
		for name, data := range files {
			if err := host.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := host.Run(t.Context(), "pkill", "-x", "etcd|kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	suite.Eventually(t, time.Minute, func() error {
		if r := s.Bundle.Install(t.Context(), host, "status"); !strings.Contains(r.Stdout, "API:") || regexp.MustCompile(`(?m)^API: +ok$`).MatchString(r.Stdout) {
			return fmt.Errorf("status says %s%s", r.Stdout, r.Stderr)
		}
		return nil
	})
	if r := s.MustInstall(t, host, "certs", "check-expiration"); strings.Count(r.Stdout, "<expired>") < 8 {
		t.Errorf("check-expiration says:\n%s", r.Stdout)
	}
}

// served is the certificate that somebody sees who connects.
func served(t *testing.T, ip, port string) *x509.Certificate {
	t.Helper()
	var leaf *x509.Certificate
	d := tls.Dialer{Config: &tls.Config{
		InsecureSkipVerify: true, // the certificate is what the test asks about, and the connection ends here
		VerifyConnection: func(c tls.ConnectionState) error {
			leaf = c.PeerCertificates[0]
			return nil
		},
	}}
	c, err := d.DialContext(context.WithoutCancel(t.Context()), "tcp", net.JoinHostPort(ip, port))
	if c != nil {
		c.Close() //nolint:errcheck // nothing was said
	}
	if leaf == nil {
		t.Fatalf("connect to port %s: %v", port, err)
	}
	return leaf
}

// restarts tells which container each static pod has.
func restarts(t *testing.T, s *suite.Suite) map[string]string {
	t.Helper()
	ids := map[string]string{}
	for _, p := range suite.Get[corev1.PodList](t, s, "pods", "-n", "kube-system", "-l", "tier=control-plane").Items {
		for _, c := range p.Status.ContainerStatuses {
			ids[p.Name] = c.ContainerID
		}
	}
	if len(ids) != 4 {
		t.Fatalf("%d pods of the control plane, want 4: %v", len(ids), ids)
	}
	return ids
}
