package pki_test

import (
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer/pki"
)

func TestRenewKeepsWhatOthersSee(t *testing.T) {
	ca := newCA(t, "kubernetes")
	old, err := pki.NewLeaf(ca, serverSpec())
	if err != nil {
		t.Fatal(err)
	}
	later := now().Add(300 * 24 * time.Hour)
	renewed, err := pki.Renew(ca, old.Cert, later, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pki.SpecOf(old.Cert), pki.SpecOf(renewed.Cert)); diff != "" {
		t.Errorf("the successor differs (-old +new):\n%s", diff)
	}
	if !renewed.Cert.NotAfter.Equal(later.Add(-pki.Backdate).Add(pki.DefaultValidity)) {
		t.Errorf("it ends %s", renewed.Cert.NotAfter)
	}
	if string(renewed.KeyPEM) == string(old.KeyPEM) {
		t.Error("the key was used again")
	}
	if err := pki.Check(renewed, ca, pki.SpecOf(old.Cert), later); err != nil {
		t.Error(err)
	}
}

func TestRequest(t *testing.T) {
	r, err := pki.NewRequest(serverSpec())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(r.CSRPEM)
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := csr.CheckSignature(); err != nil {
		t.Error(err)
	}
	if csr.Subject.CommonName != "kube-apiserver" || len(csr.DNSNames) != 2 || len(csr.IPAddresses) != 1 {
		t.Errorf("it asks for %s %v %v", csr.Subject, csr.DNSNames, csr.IPAddresses)
	}
	if key, _ := pem.Decode(r.KeyPEM); key == nil || key.Type != "EC PRIVATE KEY" {
		t.Errorf("key: %v", key)
	}
}

func TestRenewKeepsTheLife(t *testing.T) {
	ca := newCA(t, "kubernetes")
	for name, c := range map[string]struct{ made, asked, want time.Duration }{
		"two years":               {2 * pki.DefaultValidity, 0, 2 * pki.DefaultValidity},
		"a week":                  {168 * time.Hour, 0, 168 * time.Hour},
		"something else is asked": {168 * time.Hour, 24 * time.Hour, 24 * time.Hour},
	} {
		s := serverSpec()
		s.Validity = c.made
		old, err := pki.NewLeaf(ca, s)
		if err != nil {
			t.Fatal(err)
		}
		renewed, err := pki.Renew(ca, old.Cert, now(), c.asked)
		if err != nil {
			t.Fatal(err)
		}
		if got := renewed.Cert.NotAfter.Sub(renewed.Cert.NotBefore); got != c.want {
			t.Errorf("%s: the successor lives %s, want %s", name, got, c.want)
		}
	}
	// One that was cut short by the end of its CA says nothing about what was meant.
	s := serverSpec()
	s.NotBefore = ca.Cert.NotAfter.Add(-time.Hour)
	old, err := pki.NewLeaf(ca, s)
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := pki.Renew(ca, old.Cert, now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := renewed.Cert.NotAfter.Sub(renewed.Cert.NotBefore); got != pki.DefaultValidity {
		t.Errorf("the successor of one that ended with its CA lives %s", got)
	}
}
