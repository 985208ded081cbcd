package bundle_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"kubebundle/bundle"
	"kubebundle/bundle/bundletest"
)

// A folder and an archive give the same files, and a folder made of them is the bundle.
func TestFolderFilesMakeTheBundle(t *testing.T) {
	m := bundletest.New("amd64")
	m.File("bin/kubelet", 0o755, []byte("#!kubelet\n"))
	m.Image("example.org/a:v1", "", bundletest.Layer("a", "a"))
	archive := m.Write(t, t.TempDir())
	dir := bundletest.Unpack(t, archive, t.TempDir())
	if err := os.WriteFile(filepath.Join(dir, bundle.SignatureName), []byte("signed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{dir, archive} {
		b, err := bundle.OpenPath(from)
		if err != nil {
			t.Fatal(err)
		}
		to := t.TempDir()
		for _, f := range b.FolderFiles() {
			r, err := b.OpenFolderFile(f.Path)
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(to, f.Path), data, os.FileMode(f.Mode)); err != nil {
				t.Fatal(err)
			}
		}
		copied, err := bundle.Open(to)
		if err != nil {
			t.Fatalf("the copy of %s: %v", from, err)
		}
		if err := copied.Verify(t.Context()); err != nil {
			t.Errorf("the copy of %s: %v", from, err)
		}
		if string(copied.Signature()) != string(b.Signature()) {
			t.Errorf("the copy of %s has lost the signature", from)
		}
	}
}

func TestOpenFolderFileChecks(t *testing.T) {
	m := bundletest.New("amd64")
	m.File("bin/kubelet", 0o755, []byte("#!kubelet\n"))
	dir := bundletest.Unpack(t, m.Write(t, t.TempDir()), t.TempDir())
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.OpenFolderFile("other"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v for a file that is not the bundle's", err)
	}
	for _, f := range b.FolderFiles() {
		if f.Path == bundle.ContractName || f.Path == bundle.SumsName { // read when it was opened
			continue
		}
		path := filepath.Join(dir, f.Path)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)-1] ^= 1
		for name, bad := range map[string][]byte{"altered": data, "longer": append(data, 'x'), "shorter": data[:len(data)-1]} {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := b.OpenFolderFile(f.Path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(r)
			var c *bundle.CorruptError
			if !errors.As(err, &c) || c.Path != f.Path {
				t.Errorf("%s, %s: got %v", f.Path, name, err)
			}
			_ = r.Close()
		}
	}
}
