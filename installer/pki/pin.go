package pki

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const pinPrefix = "sha256:"

// Pin is kubeadm's public key pin of a certificate: "sha256:<hex of the SubjectPublicKeyInfo>".
func Pin(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return pinPrefix + hex.EncodeToString(sum[:])
}

// ParsePins checks the form of pins.
func ParsePins(pins []string) error {
	var all []error
	for _, p := range pins {
		if _, err := decodePin(p); err != nil {
			all = append(all, fmt.Errorf("pin %q: %w", p, err))
		}
	}
	if len(all) > 0 {
		all = append(all, errors.New("the pin of a cluster's CA is printed on its control plane by `install token create --print-join-command`"))
	}
	return errors.Join(all...)
}

func decodePin(pin string) ([]byte, error) {
	kind, digits, ok := strings.Cut(pin, ":")
	if !ok {
		return nil, errors.New(`no hash type: write "sha256:" before the 64 hex digits`)
	}
	if kind+":" != pinPrefix {
		return nil, fmt.Errorf("unknown hash type %q: only sha256 is known", kind)
	}
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("a sha256 has %d hex digits, this has %d characters", 2*sha256.Size, len(digits))
	}
	return sum, nil
}

// MatchPins reports (constant time) whether the certificate has one of the pins. Pins of a wrong form match nothing.
func MatchPins(c *x509.Certificate, pins []string) bool {
	have := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	found := 0
	for _, p := range pins {
		want, err := decodePin(p)
		if err != nil {
			continue
		}
		found |= subtle.ConstantTimeCompare(have[:], want)
	}
	return found == 1
}
