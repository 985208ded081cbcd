package bundle

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// FuzzContract proves that any bundle.json is either refused as corrupt or means the same after it was written again.
func FuzzContract(f *testing.F) {
	r := sample()
	r.bytes()
	good, err := r.contract.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format":2}`))
	f.Add([]byte(`{"format":1,"images":null}`))
	f.Add([]byte(`[]`))
	f.Add(bytes.Replace(good, []byte("bin/kubelet"), []byte("../kubelet"), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseContract(data)
		if err != nil {
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatalf("not a CorruptError: %v", err)
			}
			return
		}
		for _, e := range c.Entries() {
			if !filepath.IsLocal(e.Path) {
				t.Errorf("entry %q leaves the folder", e.Path)
			}
		}
		again, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseContract(again); err != nil {
			t.Errorf("refuses what it wrote: %v", err)
		}
	})
}

// FuzzPayload proves that no payload makes the reader panic, and that it never gives out anything but the contract's
// content (pass looks at the digests).
func FuzzPayload(f *testing.F) {
	r := sample()
	r.bytes()
	good, _ := r.payload()
	contract := r.contract
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte{})
	f.Add(append(bytes.Clone(good), good...))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := *contract
		// Let everything but the content itself agree: only what the entries hold is left to be refused.
		c.Payload.Size, c.Payload.SHA256 = int64(len(data)), digestOf(data)
		err := pass(t.Context(), memoryBundle(&c, data))
		var corrupt *CorruptError
		if err != nil && !errors.As(err, &corrupt) {
			t.Errorf("not a CorruptError: %v", err)
		}
	})
}

// FuzzDelta proves the same for the payload of a delta on its base.
func FuzzDelta(f *testing.F) {
	base := sampleBase()
	for _, c := range deltaCorpus() {
		r := deltaSample()
		c.change(r)
		data, _ := r.payload()
		f.Add(data)
	}
	r := deltaSample()
	r.bytes()
	f.Fuzz(func(t *testing.T, data []byte) {
		c := *r.contract
		c.Payload.Size, c.Payload.SHA256, c.Payload.Uncompressed = int64(len(data)), digestOf(data), 1<<20
		b := memoryBundle(&c, data)
		if err := b.UseBase(base); err != nil {
			t.Fatal(err)
		}
		var corrupt *CorruptError
		if err := pass(t.Context(), b); err != nil && !errors.As(err, &corrupt) {
			t.Errorf("not a CorruptError: %v", err)
		}
	})
}

// memoryBundle is a bundle without anything beside its payload.
func memoryBundle(c *Contract, payload []byte) *Bundle {
	b := &Bundle{src: memorySource(payload), contract: c, head: &head{hashed: true}, entries: c.Entries(), index: map[string]int{}}
	for i, e := range b.entries {
		b.index[e.Path] = i
	}
	return b
}

type memorySource []byte

func (m memorySource) scan(bool, Admit) (*head, error)   { return nil, os.ErrInvalid }
func (memorySource) outer(string) (io.ReadCloser, error) { return nil, os.ErrNotExist }

func (m memorySource) payload() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m)), nil }

// FuzzArchive proves the same for the file as a whole.
func FuzzArchive(f *testing.F) {
	for _, c := range append(corpus(), deltaCorpus()...) {
		f.Add(c.bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.tar.gz")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var corrupt *CorruptError
		var base *BaseError
		if err := readAll(t.Context(), path); err != nil && !errors.As(err, &corrupt) && !errors.As(err, &base) {
			t.Errorf("not a CorruptError: %v", err)
		}
	})
}

// FuzzList proves that a list of parts is either refused or names nothing but the parts of one file, in order.
func FuzzList(f *testing.F) {
	d := digestOf(nil)
	l := &partsList{name: "k8s.tar.gz", size: 5, sha256: d, partSize: 3, parts: []Part{{Path: "k8s.tar.gz.001", SHA256: d}, {Path: "k8s.tar.gz.002", SHA256: d}}}
	f.Add(l.encode())
	f.Add([]byte("# whole x size 1 sha256 0 part-size 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parseList("list", data)
		if err != nil {
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) {
				t.Fatalf("not a CorruptError: %v", err)
			}
			return
		}
		var size int64
		for _, p := range l.parts {
			if !filepath.IsLocal(p.Path) || filepath.Base(p.Path) != p.Path || p.Size < 1 {
				t.Errorf("part %q of %d bytes", p.Path, p.Size)
			}
			size += p.Size
		}
		if size != l.size {
			t.Errorf("%d bytes in parts of a whole of %d", size, l.size)
		}
		again, err := parseList("list", l.encode())
		if err != nil || len(again.parts) != len(l.parts) {
			t.Errorf("refuses what it wrote: %v", err)
		}
	})
}
