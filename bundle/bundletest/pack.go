package bundletest

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"kubebundle/bundle"
)

// Pack makes a .tar.gz out of a bundle's folder as it is, whatever was done to it.
func Pack(tb testing.TB, folder, path string) {
	tb.Helper()
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	zw := gzip.NewWriter(f)
	tw := tar.NewWriter(zw)
	top := filepath.Base(folder) + "/"
	must(tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: top, Mode: 0o755}))
	for _, name := range []string{bundle.InstallName, bundle.ContractName, bundle.SignatureName, bundle.SumsName, bundle.ReadmeName, bundle.PayloadName} {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		must(err)
		must(tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: top + name, Mode: 0o755, Size: int64(len(data))}))
		_, err = tw.Write(data)
		must(err)
	}
	must(tw.Close())
	must(zw.Close())
	must(f.Close())
}
