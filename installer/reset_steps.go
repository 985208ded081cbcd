package installer

import (
	"context"
	"errors"
	"io/fs"

	"kubebundle/installer/step"
)

// undo is a record of the journal as a step.
type undo struct{ rec step.Record }

func (u undo) String() string { return u.rec.String() }

// Satisfied: what was not there before is gone.
func (u undo) Satisfied(ctx context.Context, t *step.Target) (bool, error) {
	switch u.rec.Kind {
	case step.KindFile, step.KindLink, step.KindDir:
		_, err := t.Host.Lstat(u.rec.Path)
		if errors.Is(err, fs.ErrNotExist) {
			return !u.rec.Existed, nil
		}
		return false, err
	case step.KindUnit:
		st, err := t.Host.UnitState(ctx, u.rec.Path)
		if err != nil {
			return false, err
		}
		return !st.Exists || st.Enabled == u.rec.Enabled && st.Active == u.rec.Active && st.Sub != "auto-restart", nil
	default:
		return false, nil
	}
}

func (u undo) Apply(ctx context.Context, t *step.Target) error { return u.rec.Undo(ctx, t) }

// clear empties a folder and leaves the folder.
type clear struct{ dir string }

func (c clear) String() string { return "remove everything below " + c.dir }

func (c clear) Satisfied(_ context.Context, t *step.Target) (bool, error) {
	entries, err := t.Host.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && len(entries) == 0, err
}

func (c clear) Apply(_ context.Context, t *step.Target) error { return step.Clear(t, c.dir) }

// forget removes the installer's own folder. It goes as a whole: a journal without the copies that it names could not be walked again.
type forget struct{}

// forgotten is what the folder is called while it is being removed.
const forgotten = Dir + ".forgotten"

func (forget) String() string { return "remove " + Dir + " and everything below" }

func (forget) Satisfied(_ context.Context, t *step.Target) (bool, error) {
	for _, p := range []string{Dir, forgotten} {
		if _, err := t.Host.Lstat(p); !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return true, nil
}

func (forget) Apply(_ context.Context, t *step.Target) error {
	if err := t.Host.RemoveAll(forgotten); err != nil {
		return err
	}
	if err := t.Host.Rename(Dir, forgotten); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return t.Host.RemoveAll(Dir) // a volume of its own
	}
	return t.Host.RemoveAll(forgotten)
}

// daemonReload lets systemd read its files again.
type daemonReload struct{}

func (daemonReload) String() string { return "let systemd read its units again" }

func (daemonReload) Satisfied(context.Context, *step.Target) (bool, error) { return false, nil }

func (daemonReload) Apply(ctx context.Context, t *step.Target) error { return t.Host.DaemonReload(ctx) }

// restart lets a unit read its files again.
type restart struct{ unit string }

func (r restart) String() string { return "restart " + r.unit }

func (restart) Satisfied(context.Context, *step.Target) (bool, error) { return false, nil }

func (r restart) Apply(ctx context.Context, t *step.Target) error { return t.Host.Restart(ctx, r.unit) }
