package pki

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"strings"
)

const pinPrefix = "sha256:"

// Pin is kubeadm's public key pin of a certificate: "sha256:<hex of the SubjectPublicKeyInfo>".
func Pin(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return pinPrefix + hex.EncodeToString(sum[:])
}

// decodePin gives the hash that a pin names.
func decodePin(pin string) ([]byte, bool) {
	digits, ok := strings.CutPrefix(pin, pinPrefix)
	if !ok {
		return nil, false
	}
	sum, err := hex.DecodeString(digits)
	return sum, err == nil && len(sum) == sha256.Size
}

// MatchPins reports (constant time) whether the certificate has one of the pins. Pins of a wrong form match nothing.
func MatchPins(c *x509.Certificate, pins []string) bool {
	have := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	found := 0
	for _, p := range pins {
		if want, ok := decodePin(p); ok {
			found |= subtle.ConstantTimeCompare(have[:], want)
		}
	}
	return found == 1
}
