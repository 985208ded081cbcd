package pki_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"kubebundle/installer/pki"
)

func TestSeal(t *testing.T) {
	key, err := pki.NewCertificateKey()
	if err != nil || len(key) != 64 {
		t.Fatalf("key of %d digits, %v", len(key), err)
	}
	for _, plain := range []string{"", "x", strings.Repeat("certificate ", 1000)} {
		sealed, err := pki.Seal(key, []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		if len(plain) > 1 && bytes.Contains(sealed, []byte(plain)) { // one byte is found in random ones by chance
			t.Error("it can be read")
		}
		got, err := pki.Open(key, sealed)
		if err != nil || string(got) != plain {
			t.Errorf("opened %q, %v", got, err)
		}
		other, _ := pki.NewCertificateKey()
		if _, err := pki.Open(other, sealed); !errors.Is(err, pki.ErrWrongKey) {
			t.Errorf("another key: %v", err)
		}
		sealed[len(sealed)-1] ^= 1
		if _, err := pki.Open(key, sealed); !errors.Is(err, pki.ErrWrongKey) {
			t.Errorf("altered: %v", err)
		}
	}
	if _, err := pki.Open(key, []byte("short")); !errors.Is(err, pki.ErrWrongKey) {
		t.Errorf("short: %v", err)
	}
	for _, bad := range []string{"", "zz", key[:62], key + "00"} {
		if _, err := pki.Seal(bad, nil); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("key %q: %v", bad, err)
		}
	}
}

// The form is nonce, content, tag, with nothing else: kubeadm cuts it at the same places.
func TestSealForm(t *testing.T) {
	sealed, err := pki.Seal(strings.Repeat("0b", 32), []byte("abc"))
	if err != nil || len(sealed) != 12+3+16 {
		t.Errorf("%d bytes, %v", len(sealed), err)
	}
}
