package bundletest

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Unpack does what `tar xzf` does and returns the path of the top folder.
func Unpack(tb testing.TB, archive, dir string) string {
	tb.Helper()
	f, err := os.Open(archive)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = f.Close() }() // only read from
	zr, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	tr := tar.NewReader(zr)
	var top string
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return top
		}
		if err != nil {
			tb.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			top = path
			if err := os.MkdirAll(path, 0o750); err != nil {
				tb.Fatal(err)
			}
			continue
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, data, h.FileInfo().Mode()); err != nil {
			tb.Fatal(err)
		}
	}
}
