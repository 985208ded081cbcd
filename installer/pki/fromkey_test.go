package pki

import (
	"bytes"
	"testing"
	"time"
)

func TestNewCAFromKeyKeepsTheKey(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	first, err := NewCA(Spec{CommonName: "kubernetes", Algorithm: ECDSAP256, NotBefore: now})
	if err != nil {
		t.Fatal(err)
	}
	second, err := NewCAFromKey(first.KeyPEM, Spec{CommonName: "kubernetes", NotBefore: now})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.KeyPEM, second.KeyPEM) {
		t.Error("the key changed")
	}
	if Pin(first.Cert) != Pin(second.Cert) {
		t.Error("the pin changed")
	}
	if err := Check(second, nil, Spec{CommonName: "kubernetes"}, now); err != nil {
		t.Error(err)
	}
	if _, err := NewCAFromKey([]byte("nonsense"), Spec{CommonName: "kubernetes", NotBefore: now}); err == nil {
		t.Error("nonsense was taken for a key")
	}
}
