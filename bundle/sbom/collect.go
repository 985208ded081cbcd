package sbom

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"kubebundle/bundle"
)

// inventory is what one pass over a bundle finds.
type inventory struct {
	modTime time.Time             // of the payload's entries
	files   map[string]*program   // contract path -> what it was built from; nil for what is no program
	layers  map[string]*layerInfo // diff ID -> content
}

// layerInfo is what a layer has.
type layerInfo struct {
	programs []program // in the order of the tar
	osID     string    // of os-release
	dpkg     []deb     // of var/lib/dpkg/status
	hasDpkg  bool
	dpkgD    []deb // of var/lib/dpkg/status.d, as distroless images have it
}

// maxDatabase is the largest package database that is read, in bytes; Debian's own images have less than a MiB.
const maxDatabase = 64 << 20

// collect reads everything.
func collect(ctx context.Context, b *bundle.Bundle) (*inventory, error) {
	spool, err := newSpool()
	if err != nil {
		return nil, err
	}
	defer spool.close()
	inv := &inventory{files: map[string]*program{}, layers: map[string]*layerInfo{}}
	for _, f := range b.Contract().Outer {
		r, err := b.OpenFolderFile(f.Path)
		if err != nil {
			return nil, err
		}
		inv.files[f.Path], err = spool.program(f.Path, r)
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	p, err := b.Payload(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }() // only read from
	for {
		e, err := p.Next()
		if errors.Is(err, io.EOF) {
			return inv, nil
		}
		if err != nil {
			return nil, err
		}
		if inv.modTime.IsZero() {
			inv.modTime = p.ModTime()
		}
		switch e.Kind {
		case bundle.KindFile:
			inv.files[e.Path], err = spool.program(e.Path, p)
		case bundle.KindLayer:
			inv.layers[e.Digest], err = readLayer(spool, p)
		case bundle.KindBlob, bundle.KindSignature: // the contract says what it is
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Path, err)
		}
	}
}

// readLayer looks through a layer's tar. What is no tar has nothing to list; that it is what the contract promises, the
// bundle checks.
func readLayer(s *spool, r io.Reader) (*layerInfo, error) {
	info := new(layerInfo)
	in := bufio.NewReaderSize(r, 1<<20)
	tr := tar.NewReader(in)
	for {
		h, err := tr.Next()
		if err != nil {
			_, err = io.Copy(io.Discard, in) // to the end, where the digest is checked; what went wrong below is said again
			return info, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := info.file(s, path.Clean("/" + h.Name)[1:], tr); err != nil {
			return nil, err
		}
	}
}

func (l *layerInfo) file(s *spool, name string, r io.Reader) error {
	read := func() ([]byte, error) { return io.ReadAll(io.LimitReader(r, maxDatabase)) }
	switch dir := path.Dir(name); {
	case name == "etc/os-release", name == "usr/lib/os-release":
		data, err := read()
		l.osID = osID(data)
		return err
	case name == "var/lib/dpkg/status":
		data, err := read()
		l.dpkg, l.hasDpkg = parseDpkg(data), true
		return err
	case dir == "var/lib/dpkg/status.d" && !strings.HasSuffix(name, ".md5sums"):
		data, err := read()
		l.dpkgD = append(l.dpkgD, parseDpkg(data)...)
		return err
	}
	p, err := s.program(name, r)
	if p != nil {
		l.programs = append(l.programs, *p)
	}
	return err
}

// spool holds one program at a time.
type spool struct{ file *os.File }

func newSpool() (*spool, error) {
	f, err := os.CreateTemp("", "kubebundle-sbom-*")
	if err != nil {
		return nil, err
	}
	return &spool{f}, os.Remove(f.Name()) // nothing is left, however the process ends
}

func (s *spool) close() { _ = s.file.Close() } // it has no name any more

// program reads a file to its end. It is nil unless the file is an ELF file.
func (s *spool) program(name string, r io.Reader) (*program, error) {
	head := make([]byte, 4)
	n, err := io.ReadFull(r, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, nil //nolint:nilnil // too short to be a program, and read to its end
	}
	if err != nil {
		return nil, err
	}
	if string(head[:n]) != "\x7fELF" {
		_, err := io.Copy(io.Discard, r)
		return nil, err
	}
	if err := s.file.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(s.file, sum), io.MultiReader(strings.NewReader(string(head)), r)); err != nil {
		return nil, err
	}
	return &program{path: name, sha256: hex.EncodeToString(sum.Sum(nil)), build: buildInfo(s.file)}, nil
}
