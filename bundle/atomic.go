package bundle

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// atomicFile appears under its name when it is complete. Until then it is called .NAME.part and locked: a killed
// build leaves that one file, the next one takes it over, and two builds of one output do not meet in it.
type atomicFile struct {
	file *os.File
	path string
	done bool
}

func partName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".part")
}

func createAtomic(path string) (*atomicFile, error) {
	part := partName(path)
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // a bundle holds no secret
	if err != nil {
		return nil, err
	}
	if err := claim(f, part); err != nil {
		_ = f.Close() // the first error is the one that tells
		return nil, err
	}
	a := &atomicFile{file: f, path: path}
	if err := f.Truncate(0); err != nil {
		a.abort()
		return nil, err
	}
	return a, nil
}

// claim locks the file and makes sure that its name still means it: the process that held the lock may have renamed it.
func claim(f *os.File, name string) error {
	// The lock ends with the process, however that ends.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s is being written by another process", name)
	}
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !os.SameFile(mine, named) {
		return fmt.Errorf("%s is being written by another process", name)
	}
	return nil
}

func (a *atomicFile) Write(b []byte) (int, error) { return a.file.Write(b) }

// abort removes what was written, unless it was committed.
func (a *atomicFile) abort() {
	if a.done {
		return
	}
	a.done = true
	_ = os.Remove(a.file.Name()) // best effort: the error that led here is the one that tells
	_ = a.file.Close()
}

// commit puts the file on disk and under its name.
func (a *atomicFile) commit() error {
	if err := a.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(a.file.Name(), a.path); err != nil {
		return err
	}
	a.done = true
	if err := a.file.Close(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(a.path))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // only synced
	return dir.Sync()
}
