package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// disk is FS and the file part of Reader on a real file system. Local and Rooted differ only in how they resolve.
type disk struct {
	// follow resolves a path with all its links, entry without following the last element: where the entry itself is.
	follow func(p string) (string, error)
	entry  func(p string) (string, error)
}

func checkPath(p string) error {
	if !path.IsAbs(p) || path.Clean(p) != p {
		return fmt.Errorf("path %q: not absolute and clean", p)
	}
	return nil
}

// tempName is where new content waits before it takes its place.
func tempName(p string) string {
	dir, base := filepath.Split(p)
	return dir + "." + base + ".kubebundle"
}

func (d disk) ReadFile(p string) ([]byte, error) {
	rp, err := d.follow(p)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(rp)
}

func (d disk) Stat(p string) (fs.FileInfo, error) {
	rp, err := d.follow(p)
	if err != nil {
		return nil, err
	}
	return os.Stat(rp)
}

func (d disk) Lstat(p string) (fs.FileInfo, error) {
	rp, err := d.entry(p)
	if err != nil {
		return nil, err
	}
	return os.Lstat(rp)
}

func (d disk) Readlink(p string) (string, error) {
	rp, err := d.entry(p)
	if err != nil {
		return "", err
	}
	return os.Readlink(rp)
}

func (d disk) ReadDir(p string) ([]fs.DirEntry, error) {
	rp, err := d.follow(p)
	if err != nil {
		return nil, err
	}
	return os.ReadDir(rp)
}

func (d disk) Open(p string) (io.ReadCloser, error) {
	rp, err := d.follow(p)
	if err != nil {
		return nil, err
	}
	return os.Open(rp)
}

func (d disk) DiskFree(p string) (uint64, error) {
	for {
		rp, err := d.follow(p)
		if err != nil {
			return 0, err
		}
		var st unix.Statfs_t
		err = unix.Statfs(rp, &st)
		if err == nil {
			return st.Bfree * uint64(st.Bsize), nil
		}
		if !errors.Is(err, unix.ENOENT) || p == "/" {
			return 0, fmt.Errorf("free space at %s: %w", p, err)
		}
		p = path.Dir(p)
	}
}

func (d disk) WriteFile(p string, data []byte, mode fs.FileMode) error {
	w, err := d.Create(p, mode)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Commit()
}

func (d disk) Create(p string, mode fs.FileMode) (PendingFile, error) {
	if err := d.MkdirAll(path.Dir(p), 0o755); err != nil {
		return nil, err
	}
	rp, err := d.entry(p)
	if err != nil {
		return nil, err
	}
	if fi, err := os.Lstat(rp); err == nil && fi.IsDir() {
		return nil, fmt.Errorf("write %s: it is a directory", p)
	}
	temp := tempName(rp)
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// O_EXCL after Remove: nobody else's file, and no link, is ever written to.
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &pendingFile{f: f, path: rp, mode: mode}, nil
}

// pendingFile is new content at its temporary name.
type pendingFile struct {
	f    *os.File
	path string
	mode fs.FileMode
	done bool
}

func (w *pendingFile) Write(b []byte) (int, error) { return w.f.Write(b) }

func (w *pendingFile) Commit() error {
	if w.done {
		return fmt.Errorf("write %s: committed twice", w.path)
	}
	err := w.f.Chmod(w.mode.Perm())
	if err == nil {
		err = w.f.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", w.path, err), w.Abort())
	}
	w.done = true
	if err := w.f.Close(); err != nil {
		return errors.Join(err, os.Remove(w.f.Name()))
	}
	if err := os.Rename(w.f.Name(), w.path); err != nil {
		return errors.Join(err, os.Remove(w.f.Name()))
	}
	return syncDir(filepath.Dir(w.path))
}

func (w *pendingFile) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	return errors.Join(w.f.Close(), os.Remove(w.f.Name()))
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing was written to it
	// Some file systems (9p, old overlayfs) cannot sync a directory; they say so, and there is nothing better to do.
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

func (d disk) MkdirAll(p string, mode fs.FileMode) error {
	rp, err := d.follow(p)
	if err != nil {
		return err
	}
	fi, err := os.Stat(rp)
	if err == nil {
		if !fi.IsDir() {
			return fmt.Errorf("make directory %s: it is a file", p)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.MkdirAll(path.Dir(p), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(rp, mode.Perm()); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Chmod(rp, mode.Perm()); err != nil { // Mkdir listens to the umask
		return err
	}
	return syncDir(filepath.Dir(rp))
}

func (d disk) Symlink(target, p string) error {
	rp, err := d.entry(p)
	if err != nil {
		return err
	}
	temp := tempName(rp)
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, temp); err != nil {
		return err
	}
	if err := os.Rename(temp, rp); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(rp))
}

func (d disk) Chmod(p string, mode fs.FileMode) error {
	rp, err := d.follow(p)
	if err != nil {
		return err
	}
	return os.Chmod(rp, mode.Perm())
}

func (d disk) Rename(from, to string) error {
	rf, err := d.entry(from)
	if err != nil {
		return err
	}
	rt, err := d.entry(to)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(rt); err == nil {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	if err := os.Rename(rf, rt); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(rt)), syncDir(filepath.Dir(rf)))
}

func (d disk) Remove(p string) error {
	rp, err := d.entry(p)
	if err != nil {
		return err
	}
	for _, name := range []string{tempName(rp), rp} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			return err
		}
	}
	return nil
}

func (d disk) RemoveAll(p string) error {
	rp, err := d.entry(p)
	if err != nil {
		return err
	}
	if rp == "/" || p == "/" {
		return errors.New("remove /: refused")
	}
	return os.RemoveAll(rp)
}

func (d disk) Append(p string, line []byte, mode fs.FileMode) error {
	if err := d.MkdirAll(path.Dir(p), 0o755); err != nil {
		return err
	}
	rp, err := d.entry(p)
	if err != nil {
		return err
	}
	_, statErr := os.Lstat(rp)
	f, err := os.OpenFile(rp, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW, mode.Perm())
	if err != nil {
		return err
	}
	if _, err := f.Write(line); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if errors.Is(statErr, fs.ErrNotExist) {
		return syncDir(filepath.Dir(rp))
	}
	return nil
}
