package step

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"kubebundle/bundle"
)

// KeepProgram keeps a copy of a program of this machine on the host, for a unit that runs it when the folder that it came from is long gone.
type KeepProgram struct{ From, To string }

func (s KeepProgram) String() string { return "keep " + s.From + " as " + s.To + " 0755" }

// Satisfied if it is there, byte for byte.
func (s KeepProgram) Satisfied(_ context.Context, t *Target) (bool, error) {
	f, err := os.Open(s.From)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // only read from
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return false, err
	}
	return sameFile(t, s.To, bundle.File{Size: n, Mode: 0o755, SHA256: fmt.Sprintf("sha256:%x", h.Sum(nil))})
}

// Apply copies it.
func (s KeepProgram) Apply(_ context.Context, t *Target) error {
	f, err := os.Open(s.From)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	return install(t, s.To, 0o755, f)
}

// Before implements Undoer.
func (s KeepProgram) Before(_ context.Context, t *Target) ([]Record, error) {
	return recordPath(t, s.To, KindFile)
}

// ForgetUnit lets systemd see that a unit's file is gone.
type ForgetUnit struct{ Name, File string }

func (s ForgetUnit) String() string { return "let systemd forget " + s.Name }

// Satisfied if it knows no such unit.
func (s ForgetUnit) Satisfied(ctx context.Context, t *Target) (bool, error) {
	if _, err := t.Host.Lstat(s.File); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	st, err := t.Host.UnitState(ctx, s.Name)
	return err == nil && !st.Exists, err
}

// Apply lets it read its files again.
func (s ForgetUnit) Apply(ctx context.Context, t *Target) error { return t.Host.DaemonReload(ctx) }
