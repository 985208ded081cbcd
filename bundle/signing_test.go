package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubebundle/bundle"
	"kubebundle/bundle/bundletest"
)

// stamp stands for a signature; package trust makes real ones.
func stamp(word string) bundle.SignFunc {
	return func(u bundle.Unsigned) ([]byte, error) {
		return []byte(word + " " + u.Name + " " + bundletest.Digest(u.Contract) + " " + bundletest.Digest(u.Sums) + "\n"), nil
	}
}

// TestSign proves that signing later gives the bytes that signing at once gives, whatever was signed before.
func TestSign(t *testing.T) {
	m := bundletest.Small()
	unsigned := readFile(t, m.Write(t, t.TempDir()))
	m = bundletest.Small()
	m.Sign = stamp("ours")
	path := m.Write(t, t.TempDir())
	want := readFile(t, path)
	check := func(res *bundle.Result, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		got := readFile(t, res.Path)
		if !bytes.Equal(got, want) {
			t.Error("signing later gives other bytes")
		}
		if res.Size != int64(len(got)) || res.SHA256 != bundletest.Digest(got) {
			t.Errorf("result %d bytes, %s", res.Size, res.SHA256)
		}
		onlyFile(t, filepath.Dir(res.Path))
	}
	check(bundle.Sign(t.Context(), path, stamp("ours")))
	writeFile(t, path, unsigned)
	check(bundle.Sign(t.Context(), path, stamp("ours")))
	if res, err := bundle.Sign(t.Context(), path, stamp("theirs")); err != nil || res.SHA256 == bundletest.Digest(want) {
		t.Fatalf("another signature: %v", err)
	}
	check(bundle.Sign(t.Context(), path, stamp("ours")))

	// The payload and all behind it are the same bytes as before.
	payload := readFile(t, filepath.Join(bundletest.Unpack(t, path, t.TempDir()), bundle.PayloadName))
	i, j := bytes.Index(unsigned, payload), bytes.Index(want, payload)
	if i < 0 || j < 0 || !bytes.Equal(unsigned[i:], want[j:]) {
		t.Error("what comes with the payload was written anew")
	}
}

func TestSignFolder(t *testing.T) {
	dir := bundletest.Small().WriteDir(t, t.TempDir())
	for _, word := range []string{"first", "second"} {
		res, err := bundle.Sign(t.Context(), dir, stamp(word))
		if err != nil || res.SHA256 != "" {
			t.Fatalf("%+v, %v", res, err)
		}
		b, err := bundle.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if sig, _ := stamp(word)(bundle.Unsigned{Name: "k8s-v1.34.4-linux-amd64", Contract: b.ContractBytes(), Sums: readFile(t, filepath.Join(dir, bundle.SumsName))}); !bytes.Equal(b.Signature(), sig) {
			t.Errorf("signature %s", b.Signature())
		}
	}
}

// TestSignRefuses proves that nothing is signed that is not whole, and that a file is left alone by whatever goes wrong.
func TestSignRefuses(t *testing.T) {
	good := bundletest.Small().Write(t, t.TempDir())
	dir := bundletest.Unpack(t, good, t.TempDir())
	repacked := filepath.Join(t.TempDir(), "repacked.tar.gz")
	bundletest.Pack(t, dir, repacked)
	damaged := bytes.Clone(readFile(t, good))
	damaged[len(damaged)*9/10] ^= 1
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx  context.Context
		data []byte
		sign bundle.SignFunc
		want string
	}{
		"damaged":      {t.Context(), damaged, stamp("ours"), "b.tar.gz"},
		"other packer": {t.Context(), readFile(t, repacked), stamp("ours"), "packed by something else"},
		"no key":       {t.Context(), readFile(t, good), func(bundle.Unsigned) ([]byte, error) { return nil, errors.New("no key") }, "no key"},
		"cancelled":    {cancelled, readFile(t, good), stamp("ours"), "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "b.tar.gz")
			writeFile(t, path, tc.data)
			_, err := bundle.Sign(tc.ctx, path, tc.sign)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			if !bytes.Equal(readFile(t, path), tc.data) {
				t.Error("the file was changed")
			}
			onlyFile(t, filepath.Dir(path))
		})
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// onlyFile wants one file in a folder.
func onlyFile(t *testing.T, dir string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 {
		t.Errorf("left behind in the folder: %v, %v", list, err)
	}
}
