package step

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/dustin/go-humanize"
)

// File writes a small file, atomically, with exactly Mode.
type File struct {
	Path string
	Mode fs.FileMode
	Data []byte
	// Secret marks content that must not be shown by a dry run (keys, kubeconfigs, tokens).
	Secret bool
}

func (s File) String() string {
	return fmt.Sprintf("write %s %04o %s", s.Path, s.Mode.Perm(), humanize.Bytes(uint64(len(s.Data))))
}

// Satisfied if a regular file with these bytes and this mode.
func (s File) Satisfied(_ context.Context, t *Target) (bool, error) {
	fi, err := t.Host.Lstat(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !fi.Mode().IsRegular() || fi.Mode().Perm() != s.Mode.Perm() || fi.Size() != int64(len(s.Data)) {
		return false, nil
	}
	have, err := t.Host.ReadFile(s.Path)
	if err != nil {
		return false, err
	}
	return bytes.Equal(have, s.Data), nil
}

// Apply writes the file.
func (s File) Apply(_ context.Context, t *Target) error {
	return t.Host.WriteFile(s.Path, s.Data, s.Mode)
}

// Before implements Undoer.
func (s File) Before(_ context.Context, t *Target) ([]Record, error) {
	return recordPath(t, s.Path, KindFile)
}

// Dir makes a directory and sets its mode.
type Dir struct {
	Path string
	Mode fs.FileMode
	// Own says that everything that will ever be below is the cluster's (/var/lib/etcd, /etc/cni/net.d): reset removes it, unless
	// strangers' files were in it before. Other directories go only if they are empty again and were not there before.
	Own bool
	// Keep leaves the mode of a directory that is there already: it may be the user's or a package's choice.
	Keep bool
}

func (s Dir) String() string { return fmt.Sprintf("make directory %s %04o", s.Path, s.Mode.Perm()) }

// Satisfied if a directory with this mode, or with Keep with any.
func (s Dir) Satisfied(_ context.Context, t *Target) (bool, error) {
	fi, err := t.Host.Stat(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return fi.IsDir() && (s.Keep || fi.Mode().Perm() == s.Mode.Perm()), nil
}

// Apply makes the directory.
func (s Dir) Apply(_ context.Context, t *Target) error {
	if err := t.Host.MkdirAll(s.Path, s.Mode); err != nil {
		return err
	}
	return t.Host.Chmod(s.Path, s.Mode)
}

// Before implements Undoer.
func (s Dir) Before(_ context.Context, t *Target) ([]Record, error) {
	recs, err := recordPath(t, s.Path, KindDir)
	if err == nil && s.Own {
		recs[len(recs)-1].Own = true
	}
	return recs, err
}

// Adopts implements Adopter: an empty directory that is to be the cluster's own is emptied again by reset.
func (s Dir) Adopts(ctx context.Context, t *Target) ([]Record, error) {
	if !s.Own {
		return nil, nil
	}
	recs, err := s.Before(ctx, t)
	if err != nil || !recs[len(recs)-1].Empty {
		return nil, err
	}
	return recs, nil
}

// Link makes a symbolic link.
type Link struct {
	Path   string
	Target string
}

func (s Link) String() string { return fmt.Sprintf("link %s to %s", s.Path, s.Target) }

// Satisfied if a link with this target.
func (s Link) Satisfied(_ context.Context, t *Target) (bool, error) {
	fi, err := t.Host.Lstat(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || fi.Mode()&fs.ModeSymlink == 0 {
		return false, err
	}
	have, err := t.Host.Readlink(s.Path)
	return have == s.Target, err
}

// Apply makes the link, replacing what is there.
func (s Link) Apply(_ context.Context, t *Target) error {
	if err := t.Host.MkdirAll(path.Dir(s.Path), 0o755); err != nil {
		return err
	}
	return t.Host.Symlink(s.Target, s.Path)
}

// Before implements Undoer.
func (s Link) Before(_ context.Context, t *Target) ([]Record, error) {
	return recordPath(t, s.Path, KindLink)
}

// Remove removes a file or, with Recursive, a directory with its content.
type Remove struct {
	Path      string
	Recursive bool
	// Why is said to the user: "the kubelet has its own certificate now". It may be empty.
	Why string
}

func (s Remove) String() string {
	out := "remove " + s.Path
	if s.Recursive {
		out += " and everything below"
	}
	if s.Why != "" {
		out += " (" + s.Why + ")"
	}
	return out
}

// Satisfied if nothing is at Path.
func (s Remove) Satisfied(_ context.Context, t *Target) (bool, error) {
	_, err := t.Host.Lstat(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// Apply removes.
func (s Remove) Apply(_ context.Context, t *Target) error {
	if s.Recursive {
		return removeTree(t, s.Path)
	}
	return t.Host.Remove(s.Path)
}

// Before implements Undoer. Directories are not kept: what init removes recursively was made by the cluster.
func (s Remove) Before(_ context.Context, t *Target) ([]Record, error) {
	fi, err := t.Host.Lstat(s.Path)
	if err != nil || fi.IsDir() {
		return nil, ignoreNotExist(err)
	}
	return recordPath(t, s.Path, KindFile)
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
