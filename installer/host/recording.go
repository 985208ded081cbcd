package host

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"
)

// Recording writes down every change that is asked of a host, before it happens. Reading is not written down.
type Recording struct {
	Host
	// Before, if set, is asked before each change; its error is returned instead of the change.
	Before func(op string) error

	mu  sync.Mutex
	ops []string
}

// NewRecording stands in front of h.
func NewRecording(h Host) *Recording { return &Recording{Host: h} }

// Ops lists the changes so far: "write /etc/x 0600", "start kubelet.service", "run modprobe br_netfilter".
func (r *Recording) Ops() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ops)
}

func (r *Recording) note(format string, args ...any) error {
	op := fmt.Sprintf(format, args...)
	r.mu.Lock()
	r.ops = append(r.ops, op)
	r.mu.Unlock()
	if r.Before == nil {
		return nil
	}
	return r.Before(op)
}

// WriteFile implements FS, as do the methods below.
func (r *Recording) WriteFile(p string, data []byte, mode fs.FileMode) error {
	if err := r.note("write %s %04o", p, mode.Perm()); err != nil {
		return err
	}
	return r.Host.WriteFile(p, data, mode)
}

// Create implements FS.
func (r *Recording) Create(p string, mode fs.FileMode) (PendingFile, error) {
	if err := r.note("write %s %04o", p, mode.Perm()); err != nil {
		return nil, err
	}
	return r.Host.Create(p, mode)
}

// MkdirAll implements FS.
func (r *Recording) MkdirAll(p string, mode fs.FileMode) error {
	if err := r.note("mkdir %s %04o", p, mode.Perm()); err != nil {
		return err
	}
	return r.Host.MkdirAll(p, mode)
}

// Symlink implements FS.
func (r *Recording) Symlink(target, p string) error {
	if err := r.note("link %s %s", p, target); err != nil {
		return err
	}
	return r.Host.Symlink(target, p)
}

// Chmod implements FS.
func (r *Recording) Chmod(p string, mode fs.FileMode) error {
	if err := r.note("chmod %s %04o", p, mode.Perm()); err != nil {
		return err
	}
	return r.Host.Chmod(p, mode)
}

// Rename implements FS.
func (r *Recording) Rename(from, to string) error {
	if err := r.note("rename %s %s", from, to); err != nil {
		return err
	}
	return r.Host.Rename(from, to)
}

// Remove implements FS.
func (r *Recording) Remove(p string) error {
	if err := r.note("remove %s", p); err != nil {
		return err
	}
	return r.Host.Remove(p)
}

// RemoveAll implements FS.
func (r *Recording) RemoveAll(p string) error {
	if err := r.note("remove all %s", p); err != nil {
		return err
	}
	return r.Host.RemoveAll(p)
}

// Append implements FS.
func (r *Recording) Append(p string, line []byte, mode fs.FileMode) error {
	if err := r.note("append %s", p); err != nil {
		return err
	}
	return r.Host.Append(p, line, mode)
}

// Run implements Runner.
func (r *Recording) Run(ctx context.Context, c Command) ([]byte, error) {
	if err := r.note("run %s", c); err != nil {
		return nil, err
	}
	return r.Host.Run(ctx, c)
}

// Unmount implements Runner.
func (r *Recording) Unmount(p string, detach bool) error {
	if err := r.note("unmount %s", p); err != nil {
		return err
	}
	return r.Host.Unmount(p, detach)
}

// DaemonReload implements Units.
func (r *Recording) DaemonReload(ctx context.Context) error {
	if err := r.note("daemon-reload"); err != nil {
		return err
	}
	return r.Host.DaemonReload(ctx)
}

// Enable implements Units.
func (r *Recording) Enable(ctx context.Context, unit string) error {
	if err := r.note("enable %s", unit); err != nil {
		return err
	}
	return r.Host.Enable(ctx, unit)
}

// Disable implements Units.
func (r *Recording) Disable(ctx context.Context, unit string) error {
	if err := r.note("disable %s", unit); err != nil {
		return err
	}
	return r.Host.Disable(ctx, unit)
}

// Start implements Units.
func (r *Recording) Start(ctx context.Context, unit string) error {
	if err := r.note("start %s", unit); err != nil {
		return err
	}
	return r.Host.Start(ctx, unit)
}

// Restart implements Units.
func (r *Recording) Restart(ctx context.Context, unit string) error {
	if err := r.note("restart %s", unit); err != nil {
		return err
	}
	return r.Host.Restart(ctx, unit)
}

// Stop implements Units.
func (r *Recording) Stop(ctx context.Context, unit string) error {
	if err := r.note("stop %s", unit); err != nil {
		return err
	}
	return r.Host.Stop(ctx, unit)
}
