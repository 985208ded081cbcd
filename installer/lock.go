package installer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// LockPath is held by the one installer that changes this node. It lives in /run: a reboot ends every run.
const LockPath = "/run/kubebundle.lock"

// LockedError says who holds the lock.
type LockedError struct{ Holder string } // "pid 1234: install init, since 2026-03-01T12:00:00Z"

func (e *LockedError) Error() string { return "another installer is at work on this node: " + e.Holder }

// Hint says how to go on.
func (e *LockedError) Hint() string { return "wait for it to end, or end it, then run this again" }

// Lock is the right to change this node.
type Lock struct {
	f    *os.File
	path string
}

// AcquireLock takes the lock at path, or says at once who has it. The kernel releases it with the process, however that ends.
func AcquireLock(path, command string) (*Lock, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			holder, _ := io.ReadAll(io.LimitReader(f, 1<<10))
			_ = f.Close() // nothing was written
			if errors.Is(err, unix.EWOULDBLOCK) {
				who := strings.TrimSpace(string(holder))
				if who == "" { // it has the lock and is about to write this
					who = "it has just begun"
				}
				return nil, &LockedError{Holder: who}
			}
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		// The former holder removes the file when it is done: what is locked must still be what is at the path.
		same, err := sameInode(f, path)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if !same {
			_ = f.Close() // nothing was written
			continue
		}
		err = f.Truncate(0)
		if err == nil {
			_, err = fmt.Fprintf(f, "pid %d: %s, since %s\n", os.Getpid(), command, time.Now().UTC().Format(time.RFC3339))
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		return &Lock{f: f, path: path}, nil
	}
}

func sameInode(f *os.File, path string) (bool, error) {
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(mine, there), err
}

// Release gives the lock back and leaves no file.
func (l *Lock) Release() error { return errors.Join(os.Remove(l.path), l.f.Close()) }
