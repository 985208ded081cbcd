package arm64

import (
	"archive/tar"
	"context"
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"kubebundle/bundle"
)

// unpack writes the node's programs of a bundle to dir/bin and dir/cni, and the files of its images to dir/COMPONENT, without links and whiteouts:
// enough to run what is in them.
func unpack(ctx context.Context, b *bundle.Bundle, dir string) error {
	images := map[string][]string{} // by diff ID
	for _, img := range b.Contract().Images {
		for _, l := range img.Layers {
			images[l.DiffID] = append(images[l.DiffID], img.Component)
		}
	}
	p, err := b.Payload(ctx)
	if err != nil {
		return err
	}
	defer p.Close() //nolint:errcheck // only read from
	for {
		e, err := p.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch e.Kind {
		case bundle.KindFile:
			err = writeFile(filepath.Join(dir, e.Path), p)
		case bundle.KindLayer:
			err = unpackLayer(p, dir, images[e.Digest])
		case bundle.KindBlob, bundle.KindSignature:
		}
		if err != nil {
			return err
		}
	}
}

func unpackLayer(r io.Reader, dir string, components []string) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		first := filepath.Join(dir, components[0], path.Clean("/"+h.Name))
		if err := writeFile(first, tr); err != nil {
			return err
		}
		for _, c := range components[1:] {
			to := filepath.Join(dir, c, path.Clean("/"+h.Name))
			if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Link(first, to)); err != nil {
				return err
			}
		}
	}
}

func writeFile(name string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// programs counts the ELF files of arm64 below a folder, and lists those of other machines by their paths there.
func programs(dir string) (native int, foreign []string, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := elf.Open(p)
		if err != nil {
			return nil //nolint:nilerr // no ELF file
		}
		defer f.Close() //nolint:errcheck // only read from
		if f.Machine == elf.EM_AARCH64 && f.Class == elf.ELFCLASS64 {
			native++
		} else {
			foreign = append(foreign, strings.TrimPrefix(p, dir))
		}
		return nil
	})
	return native, foreign, err
}
