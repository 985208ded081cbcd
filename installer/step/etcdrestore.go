package step

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"kubebundle/installer/etcd"
)

// EtcdRestore makes a data directory of a snapshot, in a folder where no etcd looks.
type EtcdRestore struct {
	Restore etcd.Restore
	// Done is a file that says, when it holds Key, that the folder is whole and of what it was made.
	Done string
	Key  []byte
}

func (s EtcdRestore) String() string {
	return fmt.Sprintf("make etcd data of %s in %s", s.Restore.File, s.Restore.DataDir)
}

// Satisfied if it was finished, with the same options.
func (s EtcdRestore) Satisfied(_ context.Context, t *Target) (bool, error) {
	have, err := t.Host.ReadFile(s.Done)
	return err == nil && bytes.Equal(have, s.Key), ignoreNotExist(err)
}

// Apply begins anew what was cut off.
func (s EtcdRestore) Apply(_ context.Context, t *Target) error {
	if err := t.Host.Remove(s.Done); err != nil {
		return err
	}
	if err := t.Host.RemoveAll(s.Restore.DataDir); err != nil {
		return err
	}
	if err := t.Host.MkdirAll(path.Dir(s.Restore.DataDir), 0o700); err != nil {
		return err
	}
	run := t.RestoreEtcd
	if run == nil {
		run = etcd.Restore.Run
	}
	if err := run(s.Restore); err != nil {
		return err
	}
	return t.Host.WriteFile(s.Done, s.Key, 0o600)
}

// Swap puts New into the place of Old, which is kept as Aside. After says which file must be there before New is what it should be.
type Swap struct{ New, Old, Aside, After string }

func (s Swap) String() string {
	return fmt.Sprintf("put %s into the place of %s, which is kept as %s", s.New, s.Old, s.Aside)
}

// Satisfied if New has gone into its place.
func (s Swap) Satisfied(_ context.Context, t *Target) (bool, error) {
	if _, err := t.Host.Lstat(s.After); err != nil {
		return false, ignoreNotExist(err)
	}
	_, err := t.Host.Lstat(s.New)
	return errors.Is(err, fs.ErrNotExist), ignoreNotExist(err)
}

// Apply renames twice; between the two Old is missing, never a mixture.
func (s Swap) Apply(_ context.Context, t *Target) error {
	if err := t.Host.Rename(s.Old, s.Aside); ignoreNotExist(err) != nil {
		return err
	}
	return t.Host.Rename(s.New, s.Old)
}

// Move moves a small file, whatever file systems the two places are on. It is in both for a moment, never in none.
type Move struct{ From, To string }

func (s Move) String() string { return "move " + s.From + " to " + s.To }

// Satisfied if it is in its new place only.
func (s Move) Satisfied(_ context.Context, t *Target) (bool, error) {
	if _, err := t.Host.Lstat(s.From); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	_, err := t.Host.Lstat(s.To)
	return err == nil, ignoreNotExist(err)
}

// Apply copies, then removes.
func (s Move) Apply(_ context.Context, t *Target) error {
	fi, err := t.Host.Stat(s.From)
	if err != nil {
		return err
	}
	data, err := t.Host.ReadFile(s.From)
	if err != nil {
		return err
	}
	if err := t.Host.WriteFile(s.To, data, fi.Mode().Perm()); err != nil {
		return err
	}
	return t.Host.Remove(s.From)
}
