package pki

import (
	"crypto"
	"crypto/x509"
	"net"
	"time"
)

// Algorithm is a key algorithm as kubeadm's v1beta4 names it: RSA-2048, RSA-3072, RSA-4096, ECDSA-P256, ECDSA-P384.
type Algorithm string

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
	Algorithm    Algorithm
	NotBefore    time.Time
	Validity     time.Duration
}

// NewCA makes a self-signed CA.
func NewCA(s Spec) (*Pair, error) { panic("stub") }

// NewLeaf makes a certificate signed by ca.
func NewLeaf(ca *Pair, s Spec) (*Pair, error) { panic("stub") }

// NewServiceAccountKey makes sa.key (PKCS#1 or EC) and sa.pub (PKIX).
func NewServiceAccountKey(a Algorithm) (keyPEM, pubPEM []byte, err error) { panic("stub") }

// Parse reads a pair. keyPEM may be nil. It checks that key and certificate belong together.
func Parse(certPEM, keyPEM []byte) (*Pair, error) { panic("stub") }

// Check says whether a found certificate serves for a spec: signed by ca, in its validity now, usages, and every SAN of the spec present.
// The error names the first thing that does not fit.
func Check(p *Pair, ca *Pair, s Spec, now time.Time) error { panic("stub") }

// Pin is kubeadm's public key pin of a certificate: "sha256:<hex of the SubjectPublicKeyInfo>".
func Pin(c *x509.Certificate) string { panic("stub") }

// ParsePins checks the form of pins.
func ParsePins(pins []string) error { panic("stub") }

// MatchPins reports (constant time) whether the certificate has one of the pins.
func MatchPins(c *x509.Certificate, pins []string) bool { panic("stub") }
