package builder

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"kubebundle/bundle"
	"kubebundle/bundle/trust"
	"kubebundle/release"
)

// InstallerError says what is wrong with the installer that shall travel in the bundle.
type InstallerError struct {
	Path string
	Arch release.Arch
	Err  error
}

func (e *InstallerError) Error() string {
	return fmt.Sprintf("installer %s: %v", e.Path, e.Err)
}

func (e *InstallerError) Unwrap() error { return e.Err }

// Hint says how to make one.
func (e *InstallerError) Hint() string {
	if errors.Is(e.Err, trust.ErrNoPlace) {
		return "--trusted-key wants an installer of this release: `make build` writes one beside bin/bundler"
	}
	return fmt.Sprintf("`make build` writes bin/install-linux-%s beside bin/bundler; or name another one with --installer PATH", e.Arch)
}

// InstallerPath is where bundler looks for the installer: beside its own executable.
func InstallerPath(executable string, arch release.Arch) string {
	return filepath.Join(filepath.Dir(executable), "install-linux-"+string(arch))
}

// checkInstaller insists on a program of the architecture that needs nothing of its host.
func checkInstaller(path string, arch release.Arch) error {
	fail := func(err error) error { return &InstallerError{Path: path, Arch: arch, Err: err} }
	if _, err := os.Stat(path); err != nil {
		return fail(bare(err))
	}
	if err := checkProgram(path, arch); err != nil {
		return fail(bare(err))
	}
	f, err := elf.Open(path)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = f.Close() }() // only read from
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fail(errors.New("is not static: it needs a dynamic loader on its host (build with CGO_ENABLED=0)"))
		}
	}
	return nil
}

// installFile is the installer as it travels: with the trusted keys in the place that it keeps for them.
func installFile(path string, keys trust.Keys) (packed, error) {
	f, err := os.Open(path)
	if err != nil {
		return packed{}, bare(err)
	}
	defer func() { _ = f.Close() }() // only read from
	p := packed{cached: path}
	if len(keys) > 0 {
		if p.pinned, err = trust.Pin(f, keys); err != nil {
			return packed{}, err
		}
	}
	r, err := openPinned(path, p.pinned)
	if err != nil {
		return packed{}, bare(err)
	}
	defer func() { _ = r.Close() }() // only read from
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	if err != nil {
		return packed{}, err
	}
	p.File = bundle.File{Path: bundle.InstallName, Mode: 0o755, Size: n, SHA256: "sha256:" + hex.EncodeToString(sum.Sum(nil))}
	return p, nil
}

// openPinned reads a file with other bytes at one place; nil for none.
func openPinned(path string, p *trust.Place) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil || p == nil {
		return f, err
	}
	end := p.Offset + int64(len(p.Data))
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.NewSectionReader(f, 0, p.Offset), bytes.NewReader(p.Data), io.NewSectionReader(f, end, 1<<62)), f}, nil
}
