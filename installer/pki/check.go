package pki

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Parse reads a pair. keyPEM may be nil. It checks that key and certificate belong together. Of several certificates (a leaf with its
// chain, a bundle of CAs) the first one counts.
func Parse(certPEM, keyPEM []byte) (*Pair, error) {
	certs, err := ParseCertificates(certPEM)
	if err != nil {
		return nil, err
	}
	p := &Pair{Cert: certs[0], CertPEM: certPEM}
	if keyPEM == nil {
		return p, nil
	}
	if p.Key, err = parseKey(keyPEM); err != nil {
		return nil, fmt.Errorf("read key of certificate %q: %w", p.Cert.Subject.CommonName, err)
	}
	p.KeyPEM = keyPEM
	public, ok := p.Cert.PublicKey.(interface{ Equal(x crypto.PublicKey) bool })
	if !ok || !public.Equal(p.Key.Public()) {
		return nil, fmt.Errorf("read certificate %q: the key does not belong to it", p.Cert.Subject.CommonName)
	}
	return p, nil
}

// ParseCertificates reads all certificates of PEM data; none is an error.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != pemCertificate {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, errors.New("read certificate: no PEM block of type CERTIFICATE")
	}
	return certs, nil
}

// Check says whether a found certificate serves for a spec: signed by ca or by an intermediate of it beside it, in its validity now, usages, and every SAN of the spec present
// (more are welcome). The error names the first thing that does not fit. Common name and organizations count only where the
// certificate identifies a client: a server is known by its SANs, and a company's own CA may call it as it likes. A nil ca means
// that p must be a CA itself; then only that and its validity count.
func Check(p, ca *Pair, s Spec, now time.Time) error {
	if p == nil || p.Cert == nil {
		return fmt.Errorf("certificate %q: missing", s.CommonName)
	}
	if err := check(p, ca, s, now); err != nil {
		return fmt.Errorf("certificate %q: %w", p.Cert.Subject.CommonName, err)
	}
	return nil
}

// ErrExpired is what an error is when a certificate has ended.
var ErrExpired = errors.New("expired")

// CheckClient says whether a certificate serves a client now, whoever signed it and whatever it is called.
func CheckClient(c *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(c.NotBefore):
		return fmt.Errorf("not valid before %s, and it is %s: is the clock right?", stamp(c.NotBefore), stamp(now))
	case now.After(c.NotAfter):
		return fmt.Errorf("%w %s", ErrExpired, stamp(c.NotAfter))
	case len(c.ExtKeyUsage) > 0 && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny):
		return fmt.Errorf("lacks the extended key usage %s", UsageName(x509.ExtKeyUsageClientAuth))
	}
	return nil
}

func check(p, ca *Pair, s Spec, now time.Time) error {
	c := p.Cert
	if now.Before(c.NotBefore) {
		return fmt.Errorf("not valid before %s, and it is %s: is the clock right?", stamp(c.NotBefore), stamp(now))
	}
	if now.After(c.NotAfter) {
		return fmt.Errorf("%w %s", ErrExpired, stamp(c.NotAfter))
	}
	if ca == nil {
		return checkCA(c)
	}
	if err := signedBy(p, ca, now); err != nil {
		return fmt.Errorf("not signed by CA %q: %w", ca.Cert.Subject.CommonName, err)
	}
	if slices.Contains(s.Usages, x509.ExtKeyUsageClientAuth) && !slices.Contains(s.Usages, x509.ExtKeyUsageServerAuth) {
		if err := checkIdentity(c, s); err != nil {
			return err
		}
	}
	for _, u := range s.Usages {
		if !slices.Contains(c.ExtKeyUsage, u) && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
			return fmt.Errorf("lacks the extended key usage %s", UsageName(u))
		}
	}
	for _, n := range s.DNSNames {
		if !slices.ContainsFunc(c.DNSNames, func(have string) bool { return strings.EqualFold(have, n) }) {
			return fmt.Errorf("lacks the DNS name %s among its subject alternative names", n)
		}
	}
	for _, want := range s.IPAddresses {
		if !slices.ContainsFunc(c.IPAddresses, want.Equal) {
			return fmt.Errorf("lacks the IP address %s among its subject alternative names", want)
		}
	}
	return nil
}

// signedBy accepts a certificate of the CA itself, and one of an intermediate CA of it that stands behind the certificate in its file: that is what is shown
// to the other side, as kubeadm has it too.
func signedBy(p, ca *Pair, now time.Time) error {
	direct := p.Cert.CheckSignatureFrom(ca.Cert)
	if direct == nil {
		return nil
	}
	chain, err := ParseCertificates(p.CertPEM)
	if err != nil || len(chain) == 1 {
		return direct
	}
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	o.Roots.AddCert(ca.Cert)
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err = p.Cert.Verify(o)
	return err
}

// checkIdentity looks at what the API server takes for user and groups.
func checkIdentity(c *x509.Certificate, s Spec) error {
	if c.Subject.CommonName != s.CommonName {
		return fmt.Errorf("its common name should be %q", s.CommonName)
	}
	if !sameSet(c.Subject.Organization, s.Organization) {
		return fmt.Errorf("its organizations are %s, wanted %s", list(c.Subject.Organization), list(s.Organization))
	}
	return nil
}

// checkCA leaves the name out: a company's own CA is called as the company likes.
func checkCA(c *x509.Certificate) error {
	if !c.IsCA || !c.BasicConstraintsValid {
		return errors.New("not a CA")
	}
	if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return errors.New("a CA whose key usage does not allow to sign certificates")
	}
	return nil
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

func list(s []string) string {
	if len(s) == 0 {
		return "none"
	}
	return strings.Join(s, ", ")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// UsageName is what RFC 5280 calls a usage.
func UsageName(u x509.ExtKeyUsage) string {
	names := map[x509.ExtKeyUsage]string{x509.ExtKeyUsageServerAuth: "serverAuth", x509.ExtKeyUsageClientAuth: "clientAuth"}
	if n, ok := names[u]; ok {
		return n
	}
	return fmt.Sprintf("number %d", int(u))
}
