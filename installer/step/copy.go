package step

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// CopiedFile is one file of a Copies.
type CopiedFile struct {
	From, To string
	Mode     fs.FileMode
}

// Copies copies files of the host to other places of it, each atomically: what an upgrade is about to replace, and back.
type Copies struct {
	What string // "what the upgrade replaces to /var/lib/…"
	List []CopiedFile
}

func (s Copies) String() string { return fmt.Sprintf("copy %s (%d files)", s.What, len(s.List)) }

// Satisfied if every copy is like its original, byte for byte.
func (s Copies) Satisfied(ctx context.Context, t *Target) (bool, error) {
	for _, f := range s.List {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if same, err := sameContent(t, f); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// Apply copies those that differ. An original that is gone is an error.
func (s Copies) Apply(ctx context.Context, t *Target) error {
	for i, f := range s.List {
		if err := ctx.Err(); err != nil {
			return err
		}
		same, err := sameContent(t, f)
		if err != nil {
			return err
		}
		if !same {
			if err := copyFile(t, f.From, f.To, f.Mode); err != nil {
				return fmt.Errorf("copy %s to %s: %w", f.From, f.To, err)
			}
		}
		t.progress(int64(i+1), int64(len(s.List)), "files")
	}
	return nil
}

func sameContent(t *Target, f CopiedFile) (bool, error) {
	to, err := t.Host.Lstat(f.To)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	from, err := t.Host.Stat(f.From)
	if err != nil {
		return false, err
	}
	if !to.Mode().IsRegular() || to.Mode().Perm() != f.Mode.Perm() || to.Size() != from.Size() {
		return false, nil
	}
	a, err := t.Host.Open(f.From)
	if err != nil {
		return false, err
	}
	defer func() { _ = a.Close() }() // only read from
	b, err := t.Host.Open(f.To)
	if err != nil {
		return false, err
	}
	defer func() { _ = b.Close() }() // only read from
	return equalStreams(a, b)
}

func equalStreams(a, b io.Reader) (bool, error) {
	const chunk = 256 << 10
	x, y := make([]byte, chunk), make([]byte, chunk)
	for {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		switch {
		case ended(errA) && ended(errB):
			return true, nil
		case errA != nil && !ended(errA):
			return false, errA
		case errB != nil && !ended(errB):
			return false, errB
		case errA != nil || errB != nil: // one is shorter by a whole chunk
			return false, nil
		}
	}
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
