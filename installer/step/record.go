package step

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// BackupDir holds what the installer replaced and did not write itself, below the original's path.
const BackupDir = "/var/lib/kubebundle/backup"

// Kind says what a Record is about.
type Kind string

// The kinds of records.
const (
	KindFile   Kind = "file"
	KindDir    Kind = "dir"
	KindLink   Kind = "link"
	KindUnit   Kind = "unit"
	KindImages Kind = "images"
)

// Record is one thing on the host as it was before a step changed it: enough to put it back, and never a secret. It is what the
// journal keeps, so its JSON form is read by later versions of this program.
type Record struct {
	Kind    Kind        `json:"kind"`
	Path    string      `json:"path,omitempty"` // or the unit's name
	Existed bool        `json:"existed,omitempty"`
	Mode    fs.FileMode `json:"mode,omitempty"`
	Target  string      `json:"target,omitempty"` // of the symbolic link that was at Path
	Backup  string      `json:"backup,omitempty"` // where the former content is kept
	// Own and Empty are about directories: the content belongs to the cluster; there was none before.
	Own   bool `json:"own,omitempty"`
	Empty bool `json:"empty,omitempty"`
	// Enabled, Active and Restarted are about units: what it was, and that it has to see its former files again.
	Enabled   bool     `json:"enabled,omitempty"`
	Active    bool     `json:"active,omitempty"`
	Restarted bool     `json:"restarted,omitempty"`
	Refs      []string `json:"refs,omitempty"` // images that were not there
}

// Key says which records are about the same thing: only the first of them knows how it was before the installer came.
func (r Record) Key() string {
	if r.Kind == KindUnit {
		return "unit:" + r.Path
	}
	return "path:" + r.Path // a file that took the place of a link is still the same place
}

func (r Record) String() string {
	switch {
	case r.Kind == KindImages:
		return fmt.Sprintf("remove %d images", len(r.Refs))
	case r.Kind == KindUnit && r.Active:
		return "leave " + r.Path + " running"
	case r.Kind == KindUnit:
		return "stop " + r.Path
	case r.Kind == KindDir && r.Own && (!r.Existed || r.Empty):
		return "remove " + r.Path + " and everything below"
	case r.Kind == KindDir:
		return "remove directory " + r.Path + " if it is empty"
	case r.Existed:
		return "restore " + r.Path
	default:
		return "remove " + r.Path
	}
}

// recordPath describes p and those of its parents that are missing, parents first; the last record is p's.
func recordPath(t *Target, p string, kind Kind) ([]Record, error) {
	var recs []Record
	for dir := path.Dir(p); dir != "/" && dir != "."; dir = path.Dir(dir) {
		_, err := t.Host.Stat(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		recs = append(recs, Record{Kind: KindDir, Path: dir})
	}
	slices.Reverse(recs)
	r := Record{Kind: kind, Path: p}
	fi, err := t.Host.Lstat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return append(recs, r), nil
	case err != nil:
		return nil, err
	}
	r.Existed, r.Mode = true, fi.Mode().Perm()
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		if kind != KindDir { // a directory may well be a link to one
			r.Kind = KindLink
		}
		if r.Target, err = t.Host.Readlink(p); err != nil {
			return nil, err
		}
	case fi.IsDir():
		if kind != KindDir {
			return nil, fmt.Errorf("write %s: it is a directory", p)
		}
		entries, err := t.Host.ReadDir(p)
		if err != nil {
			return nil, err
		}
		r.Empty = len(entries) == 0
	case kind == KindDir:
		return nil, fmt.Errorf("make directory %s: it is a file", p)
	default:
		r.Kind, r.Backup = KindFile, BackupDir+p
	}
	return append(recs, r), nil
}

// RecordDir describes a directory that is to be the cluster's own, and those of its parents that are missing.
func RecordDir(t *Target, p string) ([]Record, error) {
	recs, err := recordPath(t, p, KindDir)
	if err != nil {
		return nil, err
	}
	recs[len(recs)-1].Own = true
	return recs, nil
}

// Keep copies what is about to be replaced to its place below BackupDir. The engine calls it once, before the journal names the record.
func (r Record) Keep(t *Target) error {
	if r.Backup == "" {
		return nil
	}
	if err := t.Host.MkdirAll(BackupDir, 0o700); err != nil {
		return err
	}
	if err := copyFile(t, r.Path, r.Backup, 0o600); err != nil {
		return fmt.Errorf("keep the former %s: %w", r.Path, err)
	}
	return nil
}

// Undo puts back what the record describes. There may be nothing to undo; that is no error.
func (r Record) Undo(ctx context.Context, t *Target) error {
	switch r.Kind {
	case KindUnit:
		return r.undoUnit(ctx, t)
	case KindDir:
		return r.undoDir(t)
	case KindLink:
		if r.Existed {
			return t.Host.Symlink(r.Target, r.Path)
		}
		return r.remove(t)
	case KindFile:
		if !r.Existed {
			return r.remove(t)
		}
		err := copyFile(t, r.Backup, r.Path, r.Mode)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("restore %s: the copy %s is gone", r.Path, r.Backup)
		}
		return err
	case KindImages:
		rt, err := t.Runtime(ctx)
		if err != nil {
			return err
		}
		return rt.Remove(ctx, r.Refs)
	default:
		return fmt.Errorf("undo %s: a newer installer wrote this journal (kind %q)", r.Path, r.Kind)
	}
}

// remove removes a file or link that was not there before.
func (r Record) remove(t *Target) error {
	fi, err := t.Host.Lstat(r.Path)
	if err != nil {
		return ignoreNotExist(err)
	}
	if fi.IsDir() {
		return fmt.Errorf("remove %s: it is a directory now", r.Path)
	}
	return t.Host.Remove(r.Path)
}

func (r Record) undoDir(t *Target) error {
	fi, err := t.Host.Lstat(r.Path)
	if err != nil || !fi.IsDir() {
		return ignoreNotExist(err)
	}
	if r.Own && !r.Existed {
		return removeTree(t, r.Path)
	}
	entries, err := t.Host.ReadDir(r.Path)
	if err != nil {
		return ignoreNotExist(err)
	}
	if r.Own && r.Empty {
		if err := removeChildren(t, r.Path, entries); err != nil {
			return err
		}
	}
	switch {
	case r.Existed && r.Mode != 0 && r.Target == "" && fi.Mode().Perm() != r.Mode:
		return t.Host.Chmod(r.Path, r.Mode)
	case r.Existed || len(entries) > 0:
		return nil
	default:
		return t.Host.Remove(r.Path)
	}
}

// Clear empties a directory and leaves the directory itself; a missing one is no error.
func Clear(t *Target, dir string) error {
	entries, err := t.Host.ReadDir(dir)
	if err != nil {
		return ignoreNotExist(err)
	}
	return removeChildren(t, dir, entries)
}

func removeChildren(t *Target, dir string, entries []fs.DirEntry) error {
	var errs []error
	for _, e := range entries {
		errs = append(errs, removeTree(t, path.Join(dir, e.Name())))
	}
	return errors.Join(errs...)
}

func (r Record) undoUnit(ctx context.Context, t *Target) error {
	st, err := t.Host.UnitState(ctx, r.Path)
	if err != nil || !st.Exists {
		return err
	}
	var errs []error
	switch {
	case st.Enabled && !r.Enabled:
		errs = append(errs, t.Host.Disable(ctx, r.Path))
	case !st.Enabled && r.Enabled:
		errs = append(errs, t.Host.Enable(ctx, r.Path))
	}
	switch {
	case !r.Active && (st.Active || st.Sub == "auto-restart"):
		errs = append(errs, t.Host.Stop(ctx, r.Path))
	case r.Active && !st.Active:
		errs = append(errs, t.Host.Start(ctx, r.Path))
	}
	return errors.Join(errs...)
}

// InUnitDir reports whether systemd has to be reloaded after a change at p.
func InUnitDir(p string) bool {
	return strings.HasPrefix(p, "/etc/systemd/system/") || strings.HasPrefix(p, "/usr/lib/systemd/system/") || strings.HasPrefix(p, "/lib/systemd/system/")
}

func copyFile(t *Target, from, to string, mode fs.FileMode) error {
	src, err := t.Host.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }() // only read from
	dst, err := t.Host.Create(to, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		return errors.Join(err, dst.Abort())
	}
	return dst.Commit()
}
