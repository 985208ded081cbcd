package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	// DefaultCAValidity is kubeadm's: ten years of 365 days.
	DefaultCAValidity = 10 * 365 * 24 * time.Hour
	// DefaultValidity of a leaf is kubeadm's: one year of 365 days.
	DefaultValidity = 365 * 24 * time.Hour
	// Backdate is how long before Spec.NotBefore a certificate begins.
	Backdate = 5 * time.Minute

	pemCertificate = "CERTIFICATE"
)

// Pair is a certificate with its key (Key is nil in external CA mode) and both as PEM, exactly as on disk.
type Pair struct {
	Cert    *x509.Certificate
	Key     crypto.Signer
	CertPEM []byte
	KeyPEM  []byte
}

// Spec says what a certificate must be. For a CA only CommonName, Algorithm, NotBefore and Validity are used.
type Spec struct {
	CommonName   string
	Organization []string
	DNSNames     []string
	IPAddresses  []net.IP
	Usages       []x509.ExtKeyUsage
	Algorithm    Algorithm // "" means RSA-2048
	// NotBefore is the time of making; the certificate begins Backdate earlier, so that a node whose clock is behind accepts it.
	NotBefore time.Time
	// Validity counts from the certificate's beginning; 0 means DefaultCAValidity or DefaultValidity. A leaf never outlives its CA.
	Validity time.Duration
}

// NewCA makes a self-signed CA.
func NewCA(s Spec) (*Pair, error) {
	p, err := newCA(s)
	if err != nil {
		return nil, fmt.Errorf("make CA %q: %w", s.CommonName, err)
	}
	return p, nil
}

// NewCAFromKey makes a self-signed CA for a key that lies on disk without its certificate, as an installation that was cut off
// between the two leaves it. Spec.Algorithm does not count.
func NewCAFromKey(keyPEM []byte, s Spec) (*Pair, error) {
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("read key of CA %q: %w", s.CommonName, err)
	}
	t, err := templateCA(s)
	if err != nil {
		return nil, fmt.Errorf("make CA %q: %w", s.CommonName, err)
	}
	p, err := signFor(t, nil, key)
	if err != nil {
		return nil, fmt.Errorf("make CA %q: %w", s.CommonName, err)
	}
	p.KeyPEM = keyPEM
	return p, nil
}

func newCA(s Spec) (*Pair, error) {
	t, err := templateCA(s)
	if err != nil {
		return nil, err
	}
	return sign(t, nil, s.Algorithm)
}

func templateCA(s Spec) (*x509.Certificate, error) {
	t, err := template(s, DefaultCAValidity)
	if err != nil {
		return nil, err
	}
	t.Subject = pkix.Name{CommonName: s.CommonName}
	t.DNSNames = []string{s.CommonName} // current kubeadm does so; TLS libraries that look at SANs alone then have a name to show
	t.IPAddresses, t.ExtKeyUsage = nil, nil
	t.IsCA = true
	t.KeyUsage |= x509.KeyUsageCertSign
	return t, nil
}

// NewLeaf makes a certificate signed by ca.
func NewLeaf(ca *Pair, s Spec) (*Pair, error) {
	p, err := newLeaf(ca, s)
	if err != nil {
		return nil, fmt.Errorf("make certificate %q: %w", s.CommonName, err)
	}
	return p, nil
}

func newLeaf(ca *Pair, s Spec) (*Pair, error) {
	switch {
	case ca == nil || ca.Cert == nil:
		return nil, errors.New("there is no CA to sign it")
	case ca.Key == nil:
		return nil, fmt.Errorf("the key of CA %q is not on this machine: put the certificate and its key into place, signed elsewhere", ca.Cert.Subject.CommonName)
	case len(s.Usages) == 0:
		return nil, errors.New("it has no extended key usage: a certificate without one is good for everything")
	}
	t, err := template(s, DefaultValidity)
	if err != nil {
		return nil, err
	}
	// A leaf that begins before or ends after its CA is refused by some verifiers during exactly those times.
	if t.NotBefore.Before(ca.Cert.NotBefore) {
		t.NotBefore = ca.Cert.NotBefore
	}
	if t.NotAfter.After(ca.Cert.NotAfter) {
		t.NotAfter = ca.Cert.NotAfter
	}
	if !t.NotBefore.Before(t.NotAfter) {
		return nil, fmt.Errorf("CA %q is not valid at %s: it ends %s", ca.Cert.Subject.CommonName, s.NotBefore.UTC().Format(time.RFC3339), ca.Cert.NotAfter.Format(time.RFC3339))
	}
	return sign(t, ca, s.Algorithm)
}

func template(s Spec, validity time.Duration) (*x509.Certificate, error) {
	if s.CommonName == "" {
		return nil, errors.New("it has no common name")
	}
	if s.NotBefore.IsZero() {
		return nil, errors.New("it has no time of making")
	}
	if s.Validity < 0 {
		return nil, fmt.Errorf("a validity of %s is negative", s.Validity)
	}
	if s.Validity > 0 {
		validity = s.Validity
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	begin := s.NotBefore.UTC().Add(-Backdate)
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: s.CommonName, Organization: s.Organization},
		DNSNames:              s.DNSNames,
		IPAddresses:           s.IPAddresses,
		NotBefore:             begin,
		NotAfter:              begin.Add(validity),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           s.Usages,
		BasicConstraintsValid: true,
	}, nil
}

// newSerial gives a random serial number between 1 and 2^63-1, as kubeadm does: positive and within what every parser reads.
func newSerial() (*big.Int, error) {
	limit := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 63), big.NewInt(1))
	n, err := rand.Int(rand.Reader, limit)
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return n.Add(n, big.NewInt(1)), nil
}

func sign(t *x509.Certificate, ca *Pair, a Algorithm) (*Pair, error) {
	key, err := newKey(a)
	if err != nil {
		return nil, err
	}
	return signFor(t, ca, key)
}

// signFor makes a certificate for a key that exists.
func signFor(t *x509.Certificate, ca *Pair, key crypto.Signer) (*Pair, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	// RFC 7093, method 1: the leftmost 160 bits of SHA-256. Two CAs of one name (after a rotation) are told apart by it.
	id := sha256.Sum256(spki)
	t.SubjectKeyId = id[:20]
	parent, signer := t, key
	if ca != nil {
		parent, signer = ca.Cert, ca.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return &Pair{Cert: cert, Key: key, CertPEM: pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der}), KeyPEM: keyPEM}, nil
}
