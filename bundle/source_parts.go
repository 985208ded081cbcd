package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// OpenParts opens a bundle that was cut into parts, by its list; the parts lie beside it. A part is checked as a whole before any of it
// is used, so that one that is foreign, altered or in another's place is named instead of being taken for a damaged bundle.
func OpenParts(list string) (*Bundle, error) { return openParts(list, nil) }

func openParts(list string, admit Admit) (*Bundle, error) {
	l, err := readList(list)
	if err != nil {
		return nil, openError(list, err)
	}
	p := &parts{dir: filepath.Dir(list), list: l, whole: sha256.New()}
	return open(&archiveSource{name: l.name, open: p.open}, list, "", admit)
}

// parts are the parts of one bundle.
type parts struct {
	dir  string
	list *partsList

	mu      sync.Mutex
	checked int       // that many have been checked
	whole   hash.Hash // of those
	bad     error     // what the check found
}

// check looks at part i, and at all before it, once in the life of the bundle.
func (s *parts) check(i int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; s.bad == nil && s.checked <= i; s.checked++ {
		p := s.list.parts[s.checked]
		f, err := os.Open(filepath.Join(s.dir, p.Path))
		if err != nil {
			return err
		}
		sum := sha256.New()
		_, err = io.Copy(io.MultiWriter(sum, s.whole), f)
		_ = f.Close() // only read from
		if err != nil {
			return fmt.Errorf("read %s: %w", p.Path, err)
		}
		s.bad = s.compare(p, digestAlgo+hex.EncodeToString(sum.Sum(nil)))
	}
	if s.bad == nil && s.checked == len(s.list.parts) {
		if got := digestAlgo + hex.EncodeToString(s.whole.Sum(nil)); got != s.list.sha256 {
			s.bad = corrupt(s.list.name, "has digest %s when its parts are joined, %s says %s", got, s.list.name+ListSuffix, s.list.sha256)
		}
	}
	return s.bad
}

func (s *parts) compare(p Part, got string) error {
	if got == p.SHA256 {
		return nil
	}
	if j := slices.IndexFunc(s.list.parts, func(o Part) bool { return o.SHA256 == got }); j >= 0 {
		return corrupt(p.Path, "is not this part but %s: the parts were renamed", s.list.parts[j].Path)
	}
	return corrupt(p.Path, "has digest %s, %s says %s: it is damaged or a part of another bundle", got, s.list.name+ListSuffix, p.SHA256)
}

func (s *parts) open() (io.ReadCloser, error) { return &joined{parts: s}, nil }

// joined reads the parts one after the other.
type joined struct {
	*parts
	cur  *os.File
	next int
}

func (j *joined) Read(b []byte) (int, error) {
	for {
		if j.cur == nil {
			if j.next == len(j.list.parts) {
				return 0, io.EOF
			}
			if err := j.check(j.next); err != nil {
				return 0, err
			}
			f, err := os.Open(filepath.Join(j.dir, j.list.parts[j.next].Path))
			if err != nil {
				return 0, err
			}
			j.cur = f
			j.next++
		}
		n, err := j.cur.Read(b)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		_ = j.Close() // only read from
		if n > 0 {
			return n, nil
		}
	}
}

func (j *joined) Close() error {
	if j.cur == nil {
		return nil
	}
	err := j.cur.Close()
	j.cur = nil
	return err
}
