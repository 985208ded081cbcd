package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/bundle"
	"kubebundle/bundle/bundletest"
)

const whole = "k8s-v1.34.4-linux-amd64.tar.gz"

func writeParts(t *testing.T, dir string, size int64) *bundle.Result {
	t.Helper()
	m := bundletest.Small()
	res, err := bundle.Write(t.Context(), filepath.Join(dir, whole), &m.Contract, m.Content(), bundle.WriteOptions{Encoder: bundletest.Encoder{}, PartSize: size})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, strings.TrimPrefix(e.Name(), whole))
	}
	return out
}

// TestParts proves that the parts are the file, that a later set leaves nothing of an earlier one, and that any of the paths opens it.
func TestParts(t *testing.T) {
	single, err := os.ReadFile(bundletest.Small().Write(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n := int64(len(single))
	for _, tc := range []struct {
		size int64
		want []string
	}{
		{n/4 + 1, []string{".001", ".002", ".003", ".004", ".sha256"}},
		{n - 1, []string{".001", ".002", ".sha256"}},
		{n, []string{".001", ".sha256"}},
	} {
		res := writeParts(t, dir, tc.size)
		if diff := cmp.Diff(tc.want, names(t, dir)); diff != "" {
			t.Fatalf("parts of %d bytes (-want +got):\n%s", tc.size, diff)
		}
		if res.SHA256 != bundletest.Digest(single) || res.Size != n {
			t.Errorf("the whole is %s, %d bytes", res.SHA256, res.Size)
		}
		var joined []byte
		for _, p := range res.Parts {
			data, err := os.ReadFile(p.Path)
			if err != nil {
				t.Fatal(err)
			}
			if p.SHA256 != bundletest.Digest(data) || p.Size != int64(len(data)) {
				t.Errorf("%s: result says %d bytes, %s", p.Path, p.Size, p.SHA256)
			}
			joined = append(joined, data...)
		}
		if !bytes.Equal(joined, single) {
			t.Error("the parts joined are not the file")
		}
		for _, path := range []string{res.List, res.Parts[0].Path, res.Parts[len(res.Parts)-1].Path} {
			b, err := bundle.OpenPath(path)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second pass does not check the parts again
				if err := b.Verify(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestBadParts proves that a part that is not what it should be is named.
func TestBadParts(t *testing.T) {
	part := func(dir string, n string) string { return filepath.Join(dir, whole+n) }
	edit := func(n string, f func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			data, err := os.ReadFile(part(dir, n))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(part(dir, n), f(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace := func(old, with string) func(b []byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(with), 1) }
	}
	for name, tc := range map[string]struct {
		change func(t *testing.T, dir string)
		want   []string
	}{
		"missing": {func(t *testing.T, dir string) {
			if err := errors.Join(os.Remove(part(dir, ".001")), os.Remove(part(dir, ".003"))); err != nil {
				t.Fatal(err)
			}
		}, []string{whole + ".001: is missing", whole + ".003: is missing"}},
		"truncated": {edit(".002", func(b []byte) []byte { return b[:len(b)-1] }), []string{whole + ".002: has ", " bytes, " + whole + ".sha256 says "}},
		"foreign":   {edit(".002", func(b []byte) []byte { b[0] ^= 1; return b }), []string{whole + ".002: has digest ", "a part of another bundle"}},
		"last":      {edit(".004", func(b []byte) []byte { b[0] ^= 1; return b }), []string{whole + ".004: has digest "}},
		"swapped": {func(t *testing.T, dir string) {
			if err := errors.Join(os.Rename(part(dir, ".001"), part(dir, "x")), os.Rename(part(dir, ".003"), part(dir, ".001")), os.Rename(part(dir, "x"), part(dir, ".003"))); err != nil {
				t.Fatal(err)
			}
		}, []string{whole + ".001: is not this part but " + whole + ".003"}},
		"link": {func(t *testing.T, dir string) {
			if err := errors.Join(os.Rename(part(dir, ".002"), part(dir, "x")), os.Symlink(whole+"x", part(dir, ".002"))); err != nil {
				t.Fatal(err)
			}
		}, []string{whole + ".002: is not a regular file"}},
		"list missing": {func(t *testing.T, dir string) {
			if err := os.Remove(part(dir, ".sha256")); err != nil {
				t.Fatal(err)
			}
		}, []string{whole + ".sha256: is missing"}},
		"list of another":    {edit(".sha256", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("amd64"), []byte("arm64")) }), []string{"is the list of k8s-v1.34.4-linux-arm64.tar.gz"}},
		"list without order": {edit(".sha256", replace(".002", ".003")), []string{"names " + whole + ".003 where " + whole + ".002 must stand"}},
		"list with a path":   {edit(".sha256", replace("  k8s", "  ../k8s")), []string{"is not a checksum"}},
		"list without whole": {edit(".sha256", replace("# whole", "# hole")), []string{"does not say what the parts are parts of"}},
		"list of other size": {edit(".sha256", replace("part-size ", "part-size 1")), []string{"names 4 parts of 1"}},
		"list of lies": {edit(".sha256", func(b []byte) []byte {
			copy(b[bytes.Index(b, []byte(" sha256 "))+8:], strings.Repeat("0", 64))
			return b
		}), []string{whole + ": has digest sha256:", "when its parts are joined"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n := writeParts(t, t.TempDir(), 1<<20).Size
			res := writeParts(t, dir, n/4+1)
			tc.change(t, dir)
			err := verifyPath(t.Context(), res.Parts[1].Path)
			var c *bundle.CorruptError
			if !errors.As(err, &c) {
				t.Fatalf("got %v, want a CorruptError", err)
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %v, want one with %q", err, w)
				}
			}
		})
	}
}

func verifyPath(ctx context.Context, path string) error {
	b, err := bundle.OpenPath(path)
	if err != nil {
		return err
	}
	return b.Verify(ctx)
}

// TestPartsFail proves that what cannot be written in parts leaves an older set as it was.
func TestPartsFail(t *testing.T) {
	dir := t.TempDir()
	writeParts(t, dir, 2000)
	before := names(t, dir)
	m := bundletest.Small()
	for name, size := range map[string]int64{whole: 1, "k8s (1).tar.gz": 2000} {
		if _, err := bundle.Write(t.Context(), filepath.Join(dir, name), &m.Contract, m.Content(), bundle.WriteOptions{PartSize: size}); err == nil {
			t.Errorf("%s is written in parts of %d bytes", name, size)
		}
	}
	if diff := cmp.Diff(before, names(t, dir)); diff != "" {
		t.Errorf("the folder (-before +after):\n%s", diff)
	}
	if err := verifyPath(t.Context(), filepath.Join(dir, whole+".001")); err != nil {
		t.Error(err)
	}
}
