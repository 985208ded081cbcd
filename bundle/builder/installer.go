package builder

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
