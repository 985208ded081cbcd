package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"slices"
	"time"
)

// SpecOf describes a certificate that is to have a successor: name, organizations, SANs, usages and the algorithm of its key. Of its
// subject only common name and organizations count, as for kubeadm's renewal; Kubernetes looks at nothing else.
func SpecOf(c *x509.Certificate) Spec {
	return Spec{
		CommonName: c.Subject.CommonName, Organization: slices.Clone(c.Subject.Organization), DNSNames: slices.Clone(c.DNSNames),
		IPAddresses: slices.Clone(c.IPAddresses), Usages: slices.Clone(c.ExtKeyUsage), Algorithm: algorithmOf(c),
	}
}

// algorithmOf is the nearest of the known algorithms: a key that somebody else made is not made weaker.
func algorithmOf(c *x509.Certificate) Algorithm {
	switch k := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return ECDSAP256
		}
		return ECDSAP384
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); {
		case bits > 3072:
			return RSA4096
		case bits > 2048:
			return RSA3072
		}
	}
	return RSA2048
}

// Renew makes the successor of a certificate with a new key. Validity 0 means as long as the old one: whoever chose how long certificates
// live chose it for their successors too.
func Renew(ca *Pair, old *x509.Certificate, now time.Time, validity time.Duration) (*Pair, error) {
	if validity == 0 {
		validity = lifetime(ca, old)
	}
	s := SpecOf(old)
	s.NotBefore, s.Validity = now, validity
	return NewLeaf(ca, s)
}

// lifetime is how long a certificate was made to live. One that ends with its CA was cut short by it, so what was meant is not known.
func lifetime(ca *Pair, old *x509.Certificate) time.Duration {
	d := old.NotAfter.Sub(old.NotBefore)
	if !old.NotAfter.Before(ca.Cert.NotAfter) {
		d = max(d, DefaultValidity)
	}
	return d
}

// Request is a certificate signing request with the key that it was made for.
type Request struct {
	CSRPEM, KeyPEM []byte
}

// NewRequest makes a key and a request for a certificate that a CA elsewhere signs. As kubeadm's it names subject and SANs; the usages are
// for the signer to set.
func NewRequest(s Spec) (*Request, error) {
	key, err := newKey(s.Algorithm)
	if err != nil {
		return nil, fmt.Errorf("make request %q: %w", s.CommonName, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("make request %q: %w", s.CommonName, err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: s.CommonName, Organization: s.Organization}, DNSNames: s.DNSNames, IPAddresses: s.IPAddresses,
	}, key)
	if err != nil {
		return nil, fmt.Errorf("make request %q: %w", s.CommonName, err)
	}
	return &Request{CSRPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), KeyPEM: keyPEM}, nil
}
