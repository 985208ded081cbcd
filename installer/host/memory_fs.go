package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"slices"
	"strings"
	"time"
)

const (
	dirMode  = fs.ModeDir
	linkMode = fs.ModeSymlink
)

// node is a file, directory or link.
type node struct {
	mode   fs.FileMode
	data   []byte
	target string
	mtime  time.Time
}

func testAddresses() []net.IPNet {
	return []net.IPNet{{IP: net.IPv4(10, 0, 0, 10).To4(), Mask: net.CIDRMask(24, 32)}}
}

// memInfo is fs.FileInfo and fs.DirEntry.
type memInfo struct {
	name string
	n    node
}

func (i memInfo) Name() string               { return i.name }
func (i memInfo) Size() int64                { return int64(len(i.n.data)) }
func (i memInfo) Mode() fs.FileMode          { return i.n.mode }
func (i memInfo) ModTime() time.Time         { return i.n.mtime }
func (i memInfo) IsDir() bool                { return i.n.mode.IsDir() }
func (i memInfo) Sys() any                   { return nil }
func (i memInfo) Type() fs.FileMode          { return i.n.mode.Type() }
func (i memInfo) Info() (fs.FileInfo, error) { return i, nil }

// Snapshot shows the whole tree: path to mode and content. Two machines with the same snapshot look the same to everybody.
func (m *Memory) Snapshot() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]string{}
	for p, n := range m.nodes {
		switch {
		case n.mode.IsDir():
			out[p] = fmt.Sprintf("dir %04o", n.mode.Perm())
		case n.mode&linkMode != 0:
			out[p] = "link " + n.target
		default:
			out[p] = fmt.Sprintf("file %04o %s", n.mode.Perm(), n.data)
		}
	}
	return out
}

const maxLinks = 40 // as Linux

// resolve follows links in all elements of p, in the last one too if follow. The result may be missing. The lock is held.
func (m *Memory) resolve(p string, follow bool) (string, error) {
	if err := checkPath(p); err != nil {
		return "", err
	}
	for links := 0; links < maxLinks; links++ {
		next, again := m.resolveOnce(p, follow)
		if !again {
			return next, nil
		}
		p = next
	}
	return "", &fs.PathError{Op: "open", Path: p, Err: errors.New("too many levels of symbolic links")}
}

// resolveOnce replaces the first link on the way.
func (m *Memory) resolveOnce(p string, follow bool) (string, bool) {
	elems := strings.Split(strings.TrimPrefix(p, "/"), "/")
	at := "/"
	for i, e := range elems {
		at = path.Join(at, e)
		n := m.nodes[at]
		if n == nil || n.mode&linkMode == 0 || i == len(elems)-1 && !follow {
			continue
		}
		target := n.target
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(at), target)
		}
		return path.Join(append([]string{target}, elems[i+1:]...)...), true
	}
	return p, false
}

func (m *Memory) get(op, p string, follow bool) (string, *node, error) {
	rp, err := m.resolve(p, follow)
	if err != nil {
		return "", nil, err
	}
	n := m.nodes[rp]
	if n == nil {
		return rp, nil, &fs.PathError{Op: op, Path: p, Err: fs.ErrNotExist}
	}
	return rp, n, nil
}

// put places a node; its directory must be there. The lock is held.
func (m *Memory) put(rp string, n *node) error {
	parent := m.nodes[path.Dir(rp)]
	if parent == nil || !parent.mode.IsDir() {
		return &fs.PathError{Op: "write", Path: rp, Err: fs.ErrNotExist}
	}
	if old := m.nodes[rp]; old != nil && old.mode.IsDir() && !n.mode.IsDir() {
		return fmt.Errorf("write %s: it is a directory", rp)
	}
	m.now = m.now.Add(time.Second)
	n.mtime = m.now
	m.nodes[rp] = n
	return nil
}

// ReadFile implements Reader, as do the methods below.
func (m *Memory) ReadFile(p string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, n, err := m.get("open", p, true)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: p, Err: errors.New("is a directory")}
	}
	return bytes.Clone(n.data), nil
}

// Open implements Reader.
func (m *Memory) Open(p string) (io.ReadCloser, error) {
	b, err := m.ReadFile(p)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// Stat implements Reader.
func (m *Memory) Stat(p string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, n, err := m.get("stat", p, true)
	if err != nil {
		return nil, err
	}
	return memInfo{path.Base(p), *n}, nil
}

// Lstat implements Reader.
func (m *Memory) Lstat(p string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, n, err := m.get("lstat", p, false)
	if err != nil {
		return nil, err
	}
	return memInfo{path.Base(p), *n}, nil
}

// Readlink implements Reader.
func (m *Memory) Readlink(p string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, n, err := m.get("readlink", p, false)
	if err != nil {
		return "", err
	}
	if n.mode&linkMode == 0 {
		return "", &fs.PathError{Op: "readlink", Path: p, Err: fs.ErrInvalid}
	}
	return n.target, nil
}

// ReadDir implements Reader.
func (m *Memory) ReadDir(p string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rp, n, err := m.get("open", p, true)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: p, Err: errors.New("not a directory")}
	}
	var out []fs.DirEntry
	for q, n := range m.nodes {
		if q != "/" && path.Dir(q) == rp {
			out = append(out, memInfo{path.Base(q), *n})
		}
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

// WriteFile implements FS, as do the methods below.
func (m *Memory) WriteFile(p string, data []byte, mode fs.FileMode) error {
	w, err := m.Create(p, mode)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Commit()
}

// Create implements FS.
func (m *Memory) Create(p string, mode fs.FileMode) (PendingFile, error) {
	if err := checkPath(p); err != nil {
		return nil, err
	}
	if err := m.MkdirAll(path.Dir(p), 0o755); err != nil {
		return nil, err
	}
	return &memPending{m: m, path: p, mode: mode}, nil
}

type memPending struct {
	bytes.Buffer
	m    *Memory
	path string
	mode fs.FileMode
	done bool
}

func (w *memPending) Commit() error {
	if w.done {
		return fmt.Errorf("write %s: committed twice", w.path)
	}
	w.done = true
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	rp, err := w.m.resolve(w.path, false)
	if err != nil {
		return err
	}
	return w.m.put(rp, &node{mode: w.mode.Perm(), data: bytes.Clone(w.Bytes())})
}

func (w *memPending) Abort() error { w.done = true; return nil }

// MkdirAll implements FS.
func (m *Memory) MkdirAll(p string, mode fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mkdirAll(p, mode)
}

func (m *Memory) mkdirAll(p string, mode fs.FileMode) error {
	rp, n, err := m.get("mkdir", p, true)
	if err == nil {
		if !n.mode.IsDir() {
			return fmt.Errorf("make directory %s: it is a file", p)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := m.mkdirAll(path.Dir(rp), 0o755); err != nil {
		return err
	}
	return m.put(rp, &node{mode: dirMode | mode.Perm()})
}

// Symlink implements FS.
func (m *Memory) Symlink(target, p string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	rp, err := m.resolve(p, false)
	if err != nil {
		return err
	}
	return m.put(rp, &node{mode: linkMode | 0o777, target: target})
}

// Chmod implements FS.
func (m *Memory) Chmod(p string, mode fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, n, err := m.get("chmod", p, true)
	if err != nil {
		return err
	}
	n.mode = n.mode.Type() | mode.Perm()
	return nil
}

// Rename implements FS.
func (m *Memory) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	rf, n, err := m.get("rename", from, false)
	if err != nil {
		return err
	}
	rt, err := m.resolve(to, false)
	if err != nil {
		return err
	}
	if m.nodes[rt] != nil {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	if err := m.put(rt, n); err != nil {
		return err
	}
	delete(m.nodes, rf)
	var below []string
	for q := range m.nodes {
		if strings.HasPrefix(q, rf+"/") {
			below = append(below, q)
		}
	}
	for _, q := range below {
		m.nodes[rt+strings.TrimPrefix(q, rf)] = m.nodes[q]
		delete(m.nodes, q)
	}
	return nil
}

// Remove implements FS.
func (m *Memory) Remove(p string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	rp, _, err := m.get("remove", p, false)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	for q := range m.nodes {
		if strings.HasPrefix(q, rp+"/") {
			return &fs.PathError{Op: "remove", Path: p, Err: errors.New("directory not empty")}
		}
	}
	delete(m.nodes, rp)
	return nil
}

// RemoveAll implements FS.
func (m *Memory) RemoveAll(p string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	rp, err := m.resolve(p, false)
	if err != nil {
		return err
	}
	if rp == "/" {
		return errors.New("remove /: refused")
	}
	for q := range m.nodes {
		if q == rp || strings.HasPrefix(q, rp+"/") {
			delete(m.nodes, q)
		}
	}
	return nil
}

// Append implements FS.
func (m *Memory) Append(p string, line []byte, mode fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.mkdirAll(path.Dir(p), 0o755); err != nil {
		return err
	}
	rp, n, err := m.get("open", p, false)
	if errors.Is(err, fs.ErrNotExist) {
		return m.put(rp, &node{mode: mode.Perm(), data: bytes.Clone(line)})
	}
	if err != nil {
		return err
	}
	if !n.mode.IsRegular() {
		return &fs.PathError{Op: "append", Path: p, Err: errors.New("not a regular file")}
	}
	n.data = append(n.data, line...)
	return nil
}
