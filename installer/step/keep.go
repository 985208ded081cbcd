package step

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/dustin/go-humanize"

	"kubebundle/bundle"
)

// KeepBundle keeps a copy of the bundle on the node, whole and able to run, for what must be loaded again when the folder that it was
// installed from is long gone.
type KeepBundle struct {
	Dir   string
	Files []bundle.File
	Base  bool // it is the base of a delta that is kept
}

// NewKeepBundle keeps all of a bundle in dir.
func NewKeepBundle(b *bundle.Bundle, dir string) KeepBundle {
	return KeepBundle{Dir: dir, Files: b.FolderFiles()}
}

// NewKeepBase keeps all of a delta's base in dir.
func NewKeepBase(base *bundle.Bundle, dir string) KeepBundle {
	return KeepBundle{Dir: dir, Files: base.FolderFiles(), Base: true}
}

// Size is what the copy takes, in bytes.
func (s KeepBundle) Size() (n int64) {
	for _, f := range s.Files {
		n += f.Size
	}
	return n
}

func (s KeepBundle) String() string {
	if s.Base {
		return fmt.Sprintf("keep the bundle's base in %s %s", s.Dir, humanize.Bytes(uint64(max(s.Size(), 0))))
	}
	return fmt.Sprintf("keep the bundle in %s %s", s.Dir, humanize.Bytes(uint64(max(s.Size(), 0))))
}

// Satisfied if all of it is there, byte for byte.
func (s KeepBundle) Satisfied(ctx context.Context, t *Target) (bool, error) {
	for _, f := range s.Files {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if same, err := sameFile(t, path.Join(s.Dir, f.Path), f); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// Apply copies what is missing. A file appears only after its digest was right.
func (s KeepBundle) Apply(ctx context.Context, t *Target) error {
	from := t.Bundle
	if from != nil && s.Base {
		from = from.Base()
	}
	if from == nil {
		return errors.New("keep the bundle: no bundle at hand")
	}
	var done int64
	for _, f := range s.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := path.Join(s.Dir, f.Path)
		same, err := sameFile(t, to, f)
		if err != nil {
			return err
		}
		if !same {
			if err := s.copy(t, from, f, to); err != nil {
				return err
			}
		}
		done += f.Size
		t.progress(done, s.Size(), f.Path)
	}
	return nil
}

func (s KeepBundle) copy(t *Target, from *bundle.Bundle, f bundle.File, to string) error {
	r, err := from.OpenFolderFile(f.Path)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read from
	return install(t, to, fs.FileMode(f.Mode), r)
}

// Before implements Undoer: the folder is the cluster's own.
func (s KeepBundle) Before(_ context.Context, t *Target) ([]Record, error) {
	return RecordDir(t, s.Dir)
}
