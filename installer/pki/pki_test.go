package pki_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"kubebundle/installer/pki"
)

func now() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

func newCA(t *testing.T, name string) *pki.Pair {
	t.Helper()
	ca, err := pki.NewCA(pki.Spec{CommonName: name, Algorithm: pki.ECDSAP256, NotBefore: now()})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func serverSpec() pki.Spec {
	return pki.Spec{
		CommonName: "kube-apiserver", DNSNames: []string{"cp1", "kubernetes"}, IPAddresses: []net.IP{net.IPv4(10, 96, 0, 1)},
		Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, Algorithm: pki.ECDSAP256, NotBefore: now(),
	}
}

func TestCA(t *testing.T) {
	ca := newCA(t, "kubernetes")
	c := ca.Cert
	if !c.IsCA || !c.BasicConstraintsValid || c.Subject.CommonName != "kubernetes" || c.DNSNames[0] != "kubernetes" {
		t.Errorf("not the CA that was asked for: %+v", c)
	}
	if want := x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign; c.KeyUsage != want {
		t.Errorf("key usage %b, want %b", c.KeyUsage, want)
	}
	if !c.NotBefore.Equal(now().Add(-5*time.Minute)) || c.NotAfter.Sub(c.NotBefore) != 10*365*24*time.Hour {
		t.Errorf("valid from %s to %s", c.NotBefore, c.NotAfter)
	}
	if c.SerialNumber.Sign() <= 0 || c.SerialNumber.BitLen() > 63 {
		t.Errorf("serial %x", c.SerialNumber)
	}
	if len(c.SubjectKeyId) != 20 {
		t.Errorf("subject key id %x", c.SubjectKeyId)
	}
	if err := pki.Check(ca, nil, pki.Spec{}, now()); err != nil {
		t.Error(err)
	}
}

func TestLeafIsAcceptedByTLSRules(t *testing.T) {
	ca := newCA(t, "kubernetes")
	leaf, err := pki.NewLeaf(ca, serverSpec())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	for _, name := range []string{"kubernetes", "10.96.0.1"} {
		if _, err := leaf.Cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now()}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := leaf.Cert.NotAfter.Sub(leaf.Cert.NotBefore); got != 365*24*time.Hour {
		t.Errorf("validity %s", got)
	}
	if string(leaf.Cert.AuthorityKeyId) != string(ca.Cert.SubjectKeyId) {
		t.Error("the leaf does not name its CA's key")
	}
}

func TestLeafDoesNotOutliveCA(t *testing.T) {
	ca, err := pki.NewCA(pki.Spec{CommonName: "short", Algorithm: pki.ECDSAP256, NotBefore: now(), Validity: 48 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := pki.NewLeaf(ca, serverSpec())
	if err != nil {
		t.Fatal(err)
	}
	if !leaf.Cert.NotAfter.Equal(ca.Cert.NotAfter) {
		t.Errorf("leaf ends %s, its CA %s", leaf.Cert.NotAfter, ca.Cert.NotAfter)
	}
	late := serverSpec()
	late.NotBefore = now().Add(72 * time.Hour)
	if _, err := pki.NewLeaf(ca, late); err == nil || !strings.Contains(err.Error(), "is not valid at") {
		t.Errorf("a CA that has expired signed: %v", err)
	}
}

func TestKeyForms(t *testing.T) {
	for algorithm, want := range map[pki.Algorithm]string{pki.RSA2048: "RSA PRIVATE KEY", pki.ECDSAP256: "EC PRIVATE KEY", pki.ECDSAP384: "EC PRIVATE KEY", "": "RSA PRIVATE KEY"} {
		keyPEM, pubPEM, err := pki.NewServiceAccountKey(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		if block, _ := pem.Decode(keyPEM); block.Type != want {
			t.Errorf("%s: key is a %s", algorithm, block.Type)
		}
		block, _ := pem.Decode(pubPEM)
		if _, err := x509.ParsePKIXPublicKey(block.Bytes); block.Type != "PUBLIC KEY" || err != nil {
			t.Errorf("%s: public key is a %s: %v", algorithm, block.Type, err)
		}
		again, err := pki.ServiceAccountPublicKey(keyPEM)
		if err != nil || string(again) != string(pubPEM) {
			t.Errorf("%s: public key of the key: %v", algorithm, err)
		}
	}
	if _, _, err := pki.NewServiceAccountKey("DSA-1024"); err == nil || !strings.Contains(err.Error(), "ECDSA-P384") {
		t.Errorf("unknown algorithm: %v", err)
	}
}

func TestParse(t *testing.T) {
	ca, other := newCA(t, "kubernetes"), newCA(t, "other")
	p, err := pki.Parse(ca.CertPEM, ca.KeyPEM)
	if err != nil || !p.Cert.Equal(ca.Cert) || p.Key == nil {
		t.Fatalf("own pair: %v", err)
	}
	if p, err = pki.Parse(ca.CertPEM, nil); err != nil || p.Key != nil {
		t.Errorf("without key: %v", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pki.Parse(ca.CertPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})); err != nil {
		t.Errorf("PKCS#8 key: %v", err)
	}
	for name, c := range map[string]struct {
		cert, key []byte
		want      string
	}{
		"foreign key":   {ca.CertPEM, other.KeyPEM, "does not belong"},
		"no cert":       {[]byte("hello"), nil, "no PEM block"},
		"no key":        {ca.CertPEM, []byte{}, "no PEM block with a private key"},
		"truncated":     {ca.CertPEM[:len(ca.CertPEM)/2], nil, "no PEM block"},
		"encrypted key": {ca.CertPEM, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}}), "openssl"},
		"key for cert":  {ca.KeyPEM, nil, "no PEM block of type CERTIFICATE"},
	} {
		if _, err := pki.Parse(c.cert, c.key); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
}

func TestExternalCASignsNothing(t *testing.T) {
	ca := newCA(t, "kubernetes")
	ca.Key = nil
	if _, err := pki.NewLeaf(ca, serverSpec()); err == nil || !strings.Contains(err.Error(), "not on this machine") {
		t.Errorf("signed without a key: %v", err)
	}
}

func TestCheck(t *testing.T) {
	ca, impostor := newCA(t, "kubernetes"), newCA(t, "kubernetes")
	leaf, err := pki.NewLeaf(ca, serverSpec())
	if err != nil {
		t.Fatal(err)
	}
	client := pki.Spec{CommonName: "kubernetes-admin", Organization: []string{"system:masters"}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, Algorithm: pki.ECDSAP256, NotBefore: now()}
	clientPair, err := pki.NewLeaf(ca, client)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		p, ca  *pki.Pair
		change func(s *pki.Spec)
		spec   pki.Spec
		at     time.Time
		want   string
	}{
		"good":              {leaf, ca, nil, serverSpec(), now(), ""},
		"fewer names":       {leaf, ca, func(s *pki.Spec) { s.DNSNames = s.DNSNames[:1] }, serverSpec(), now(), ""},
		"server's name":     {leaf, ca, func(s *pki.Spec) { s.CommonName = "api" }, serverSpec(), now(), ""},
		"clock behind 4m":   {leaf, ca, nil, serverSpec(), now().Add(-4 * time.Minute), ""},
		"too early":         {leaf, ca, nil, serverSpec(), now().Add(-time.Hour), "is the clock right?"},
		"expired":           {leaf, ca, nil, serverSpec(), now().Add(366 * 24 * time.Hour), "expired 2027-11-21T11:55:00Z"},
		"CA of same name":   {leaf, impostor, nil, serverSpec(), now(), "not signed by CA"},
		"another name":      {leaf, ca, func(s *pki.Spec) { s.DNSNames = []string{"cp2"} }, serverSpec(), now(), "lacks the DNS name cp2"},
		"another address":   {leaf, ca, func(s *pki.Spec) { s.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }, serverSpec(), now(), "lacks the IP address 10.0.0.1"},
		"another usage":     {leaf, ca, func(s *pki.Spec) { s.Usages = append(s.Usages, x509.ExtKeyUsageClientAuth) }, serverSpec(), now(), "clientAuth"},
		"client":            {clientPair, ca, nil, client, now(), ""},
		"client, no group":  {clientPair, ca, func(s *pki.Spec) { s.Organization = nil }, client, now(), "organizations are system:masters, wanted none"},
		"client, user":      {clientPair, ca, func(s *pki.Spec) { s.CommonName = "bob" }, client, now(), `common name should be "bob"`},
		"leaf as CA":        {leaf, nil, nil, serverSpec(), now(), "not a CA"},
		"nothing was found": {nil, ca, nil, serverSpec(), now(), "missing"},
	} {
		if c.change != nil {
			c.change(&c.spec)
		}
		err := pki.Check(c.p, c.ca, c.spec, c.at)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
}

// A CA of a site is often one below its root: the root is trusted, and the file of a certificate brings along what stands between.
func TestCheckChain(t *testing.T) {
	root, other := newCA(t, "root"), newCA(t, "other")
	between := below(t, root)
	leaf, err := pki.NewLeaf(between, serverSpec())
	if err != nil {
		t.Fatal(err)
	}
	chain, err := pki.Parse(slices.Concat(leaf.CertPEM, between.CertPEM), leaf.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		p, ca *pki.Pair
		want  string
	}{
		"directly":         {leaf, between, ""},
		"with the chain":   {chain, root, ""},
		"without it":       {leaf, root, `not signed by CA "root"`},
		"of another":       {chain, other, `not signed by CA "other"`},
		"the chain's leaf": {chain, between, ""},
	} {
		err := pki.Check(c.p, c.ca, serverSpec(), now())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// below makes a CA of a day that another one has signed.
func below(t *testing.T, root *pki.Pair) *pki.Pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "between"}, NotBefore: now().Add(-time.Hour), NotAfter: now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, root.Cert, key.Public(), root.Key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pki.Parse(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The certificate and its pin were made with openssl, as kubeadm's documentation tells:
// openssl x509 -pubkey -in ca.crt | openssl pkey -pubin -outform der | openssl dgst -sha256 -hex
const (
	opensslCert = `-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUcP8+fVo82fv8QaGnX4GxqSBL2dIwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKa3ViZXJuZXRlczAeFw0yNjExMjEwMjQ4MjlaFw0zNjExMTgw
MjQ4MjlaMBUxEzARBgNVBAMMCmt1YmVybmV0ZXMwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQSTM1Cv3js0KYIH39G/VUQwuGJbyhn3Tu1/mQ1gu/btTjubXGe0/LE
fCVI47yvPikcD5yf5nC5j1XdF9jQ1P1To1MwUTAdBgNVHQ4EFgQUn2K3EkFYtscJ
+XJYInqvZuyeCyowHwYDVR0jBBgwFoAUn2K3EkFYtscJ+XJYInqvZuyeCyowDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiAD/CVjaeY+BysnL22J/RPF
evMQywHXKLLsIh/nP5etjwIhAKZTsWy9Sn1hoo4GCzSeuPtuTeqbnryLxbXTJgoL
jMqk
-----END CERTIFICATE-----
`
	opensslPin = "sha256:ea413cfea7ec88d8589900a92893242dbe9822b788539d8c749698b9f5c3e7c0"
)

func TestPin(t *testing.T) {
	p, err := pki.Parse([]byte(opensslCert), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := pki.Pin(p.Cert); got != opensslPin {
		t.Errorf("pin %s, openssl says %s", got, opensslPin)
	}
	other := pki.Pin(newCA(t, "x").Cert)
	if !pki.MatchPins(p.Cert, []string{other, opensslPin}) || !pki.MatchPins(p.Cert, []string{"sha256:" + strings.ToUpper(opensslPin[7:])}) {
		t.Error("a right pin does not match")
	}
	if pki.MatchPins(p.Cert, []string{other}) || pki.MatchPins(p.Cert, nil) || pki.MatchPins(p.Cert, []string{"sha256:", opensslPin[:20]}) {
		t.Error("a wrong pin matches")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(opensslCert), []byte("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		if p, err := pki.Parse(cert, key); err == nil && p.Cert == nil {
			t.Error("neither certificate nor error")
		}
	})
}
