package trust_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"
	"github.com/google/go-cmp/cmp"

	"kubebundle/bundle"
	"kubebundle/bundle/bundletest"
	"kubebundle/bundle/trust"
)

// pair is a key pair that is not encrypted: encryption is slow on purpose.
type pair struct {
	keys   trust.Keys
	secret minisign.PrivateKey
	file   []byte
}

func newPair(t *testing.T) pair {
	t.Helper()
	public, file, err := trust.Generate("")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := trust.ParseSecret(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return pair{trust.Keys{public}, secret, file}
}

// signed writes a small bundle and unpacks it. The seed makes its content differ from others'.
func signed(t *testing.T, seed string, sign bundle.SignFunc) (folder string) {
	t.Helper()
	m := bundletest.Small()
	m.File("bin/kubectl", 0o755, []byte(seed))
	m.Sign = sign
	return m.WriteDir(t, t.TempDir())
}

// TestAltered plays everything that somebody on the way can do to a bundle, on the unpacked folder and on the file.
func TestAltered(t *testing.T) {
	us, them := newPair(t), newPair(t)
	ours, theirs := trust.Signer(us.secret), trust.Signer(them.secret)
	evil := signed(t, "evil", theirs)
	earlier := signed(t, "an earlier bundle", ours)
	unsigned := signed(t, "good", nil)
	steal := func(from string, names ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, name := range names {
				write(t, filepath.Join(dir, name), read(t, filepath.Join(from, name)))
			}
		}
	}
	all := []string{bundle.InstallName, bundle.ContractName, bundle.SumsName, bundle.ReadmeName, bundle.PayloadName}
	for _, tc := range []struct {
		name    string
		change  func(t *testing.T, dir string)
		want    string
		corrupt bool // the signature is right, something else is not
	}{
		{"nothing", func(*testing.T, string) {}, "", false},
		{"install swapped", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "install"), []byte("#!/bin/sh\nmalice\n")) }, "install: has", true},
		{"install swapped, same size, sums right", func(t *testing.T, dir string) {
			old := read(t, filepath.Join(dir, "install"))
			write(t, filepath.Join(dir, "install"), bytes.ToUpper(old))
			sums := filepath.Join(dir, bundle.SumsName)
			write(t, sums, bytes.ReplaceAll(read(t, sums), hexOf(old), hexOf(bytes.ToUpper(old))))
		}, "install: has digest", true},
		{"payload swapped", steal(evil, bundle.PayloadName), "payload.tar.zst: has", true},
		{"a byte of the payload", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, bundle.PayloadName)) }, "payload.tar.zst: has digest", true},
		{"README swapped", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, bundle.ReadmeName)) }, "README.txt: has digest", true},
		{"sums swapped", steal(evil, bundle.SumsName), "SHA256SUMS", true},
		{"contract swapped", steal(evil, bundle.ContractName), "does not fit bundle.json", false},
		{"a byte of the contract", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, bundle.ContractName)) }, "does not fit bundle.json", false},
		{"contract that cannot be parsed", func(t *testing.T, dir string) { write(t, filepath.Join(dir, bundle.ContractName), []byte("{")) }, "does not fit bundle.json", false},
		{"all swapped, old signature", steal(evil, all...), "does not fit bundle.json", false},
		{"signed by another key", steal(evil, append(all, bundle.SignatureName)...), "signed with the key " + trust.KeyID(them.keys[0].ID()), false},
		{"signature of another bundle", steal(earlier, bundle.SignatureName), "does not fit bundle.json", false},
		{"signature of another key", steal(evil, bundle.SignatureName), "signed with the key", false},
		{"other key under our number", func(t *testing.T, dir string) {
			var sig minisign.Signature
			must(t, sig.UnmarshalText(read(t, filepath.Join(evil, bundle.SignatureName))))
			sig.KeyID = us.keys[0].ID()
			steal(evil, all...)(t, dir)
			write(t, filepath.Join(dir, bundle.SignatureName), []byte(sig.String()))
		}, "does not fit bundle.json", false},
		{"comment of the signature", func(t *testing.T, dir string) {
			p := filepath.Join(dir, bundle.SignatureName)
			write(t, p, bytes.Replace(read(t, p), []byte("v1.34.4"), []byte("v1.99.9"), 1))
		}, "does not fit bundle.json", false},
		{"garbage for a signature", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, bundle.SignatureName), []byte("untrusted comment: x\n"))
		}, "is not a minisign signature", false},
		{"empty signature", func(t *testing.T, dir string) { write(t, filepath.Join(dir, bundle.SignatureName), nil) }, "is not a minisign signature", false},
		{"signature taken away", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, bundle.SignatureName))) }, "it is not signed", false},
		{"unsigned", func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, bundle.SignatureName)))
			steal(unsigned, all...)(t, dir)
		}, "it is not signed", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := signed(t, "good", ours)
			tc.change(t, dir)
			archive := filepath.Join(t.TempDir(), "b.tar.gz")
			bundletest.Pack(t, dir, archive)
			for form, path := range map[string]string{"folder": dir, "archive": archive} {
				b, sig, err := us.keys.Open(t.Context(), path)
				if tc.want == "" {
					if err != nil {
						t.Errorf("%s: %v", form, err)
					} else if sig.KeyID != trust.KeyID(us.keys[0].ID()) {
						t.Errorf("%s: signed by %s", form, sig.KeyID)
					}
					continue
				}
				var untrusted *trust.Error
				var corrupt *bundle.CorruptError
				switch {
				case b != nil || sig != nil:
					t.Errorf("%s: given out", form)
				case err == nil || !strings.Contains(err.Error(), tc.want):
					t.Errorf("%s: error %v, want %q", form, err, tc.want)
				case tc.corrupt && !errors.As(err, &corrupt), !tc.corrupt && !errors.As(err, &untrusted):
					t.Errorf("%s: error of type %T: %v", form, err, err)
				}
			}
		})
	}
}

// TestComment walks from a signature to the last byte as a host does that has minisign and sha256sum.
func TestComment(t *testing.T) {
	us := newPair(t)
	dir := signed(t, "good", trust.Signer(us.secret))
	sig, err := us.keys.Check(read(t, filepath.Join(dir, bundle.ContractName)), read(t, filepath.Join(dir, bundle.SignatureName)))
	if err != nil {
		t.Fatal(err)
	}
	want := "k8s-v1.34.4-linux-amd64 " + string(hexOf(read(t, filepath.Join(dir, bundle.SumsName)))) + "  SHA256SUMS"
	if diff := cmp.Diff(want, sig.Comment); diff != "" {
		t.Errorf("trusted comment (-want +got):\n%s", diff)
	}
}

func TestLoadKeys(t *testing.T) {
	a, b := newPair(t), newPair(t)
	file := filepath.Join(t.TempDir(), "keys")
	write(t, file, append(trust.PublicFile(a.keys[0]), "# the other one\n\n"+b.keys[0].String()+"\r\n"...))
	got, err := trust.LoadKeys([]string{a.keys[0].String(), file})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{a.keys[0].String(), b.keys[0].String()}, got.Strings()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, a.file)
	empty := filepath.Join(t.TempDir(), "empty")
	write(t, empty, nil)
	for arg, want := range map[string]string{
		"nowhere.pub": "neither a file nor a minisign public key",
		secret:        "not a minisign public key",
		empty:         "no public key in it",
	} {
		if _, err := trust.LoadKeys([]string{arg}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", arg, err, want)
		}
	}
}

// TestSecret leaves encrypted keys to the script of `bundler sign`: scrypt takes seconds each time, on purpose.
func TestSecret(t *testing.T) {
	us := newPair(t)
	if !us.keys[0].Equal(us.secret.Public()) {
		t.Error("the secret key's file is of another key")
	}
	for _, data := range []string{"", "-----BEGIN PRIVATE KEY-----\n", us.keys[0].String()} {
		if _, err := trust.ParseSecret([]byte(data), nil); err == nil {
			t.Errorf("%q is taken for a secret key", data)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return data
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	must(t, os.WriteFile(path, data, 0o755))
}

// flip changes a letter in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	data := read(t, path)
	data[len(data)/2] ^= 1
	write(t, path, data)
}

func hexOf(data []byte) []byte {
	sum := sha256.Sum256(data)
	return []byte(hex.EncodeToString(sum[:]))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
