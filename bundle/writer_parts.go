package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"path/filepath"
)

// output is where a bundle goes. It is seen by nobody before commit, and leaves nothing after abort.
type output interface {
	Write(b []byte) (int, error)
	// commit puts everything on disk and under its name.
	commit() error
	abort()
}

// partsOutput cuts a bundle into parts. The list is the first that is made, because it is the lock, and the last that appears: a set
// without its list is nobody's bundle.
type partsOutput struct {
	path  string // of the whole, which is never there
	size  int64  // of a part
	list  *atomicFile
	files []*atomicFile
	parts []Part
	room  int64 // left in the last one
	n     int64
	part  hash.Hash
	whole hash.Hash
}

func createParts(path string, size int64) (*partsOutput, error) {
	if name := filepath.Base(path); !wholeNameRE.MatchString(name) {
		return nil, fmt.Errorf("the name %q cannot stand in a list of parts: letters, digits and ._+- can", name)
	}
	list, err := createAtomic(path + ListSuffix)
	if err != nil {
		return nil, err
	}
	o := &partsOutput{path: path, size: size, list: list, whole: sha256.New()}
	// What a killed build with more parts has left. One at work would hold the lock.
	for i := range MaxParts {
		if err := os.Remove(partName(partFile(path, i))); err != nil {
			break
		}
	}
	return o, nil
}

func (o *partsOutput) Write(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		if o.room == 0 {
			if err := o.grow(); err != nil {
				return n, err
			}
		}
		k, err := o.files[len(o.files)-1].Write(b[n:min(int64(len(b)), int64(n)+o.room)])
		o.part.Write(b[n : n+k])
		o.whole.Write(b[n : n+k])
		o.room -= int64(k)
		o.n += int64(k)
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// grow ends the last part and begins the next one.
func (o *partsOutput) grow() error {
	o.end()
	if len(o.files) == MaxParts {
		return fmt.Errorf("parts of %d bytes are too small: there would be more than %d", o.size, MaxParts)
	}
	f, err := createAtomic(partFile(o.path, len(o.files)))
	if err != nil {
		return err
	}
	o.files = append(o.files, f)
	o.room, o.part = o.size, sha256.New()
	return nil
}

func (o *partsOutput) end() {
	if i := len(o.parts); i < len(o.files) {
		o.parts = append(o.parts, Part{Path: o.files[i].path, Size: o.size - o.room, SHA256: digestAlgo + hex.EncodeToString(o.part.Sum(nil))})
	}
}

func (o *partsOutput) commit() error {
	o.end()
	l := &partsList{name: filepath.Base(o.path), size: o.n, sha256: digestAlgo + hex.EncodeToString(o.whole.Sum(nil)), partSize: o.size}
	for _, p := range o.parts {
		p.Path = filepath.Base(p.Path)
		l.parts = append(l.parts, p)
	}
	if _, err := o.list.Write(l.encode()); err != nil {
		return err
	}
	// From here on an older set is gone: its list first, so that at no time a list speaks of parts of two builds.
	if err := os.Remove(o.list.path); err != nil && !os.IsNotExist(err) {
		return err
	}
	for i, f := range o.files {
		if err := f.commit(); err != nil {
			for _, f := range o.files[:i] {
				_ = os.Remove(f.path) // best effort: the error that led here is the one that tells
			}
			return err
		}
	}
	for i := len(o.files); i < MaxParts; i++ {
		if err := os.Remove(partFile(o.path, i)); err != nil {
			break
		}
	}
	return o.list.commit()
}

func (o *partsOutput) abort() {
	for _, f := range o.files {
		f.abort()
	}
	o.list.abort()
}
