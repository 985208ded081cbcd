package bundle

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// deltaPass is what a pass over a delta has besides a pass over a payload. The entries come in the order of the contract.
type deltaPass struct {
	next    int               // the next entry
	taken   map[string]*Taken // by path
	base    *PayloadReader    // nil for a pass over the delta alone, which leaves out what it would need the base for
	modTime time.Time         // of the payload's last entry: all have the same
	old     []byte            // room for any old file that is patched
}

func newDeltaPass(d *Delta, base *PayloadReader) *deltaPass {
	p := &deltaPass{taken: map[string]*Taken{}, base: base}
	for i := range d.Taken {
		p.taken[d.Taken[i].Path] = &d.Taken[i]
	}
	if base != nil {
		p.old = make([]byte, 0, largestOld(d, base.b))
	}
	return p
}

// largestOld is the size of the largest file of the base that is patched, in bytes: room for it is made once. UseBase bounds it.
func largestOld(d *Delta, base *Bundle) (n int64) {
	for _, t := range d.Taken {
		if t.Patch != nil {
			n = max(n, base.entries[base.index[t.From]].Size)
		}
	}
	return n
}

// nextDelta goes to the next entry of a delta.
func (p *PayloadReader) nextDelta() (*Entry, error) {
	for p.delta.next < len(p.b.entries) {
		i := p.delta.next
		p.delta.next++
		p.seen[i] = true
		e := &p.b.entries[i]
		cur, err := p.enter(e)
		if err != nil {
			return nil, p.end(err)
		}
		if cur != nil {
			p.cur = cur
			return cur.Entry, nil
		}
	}
	h, err := p.tr.Next()
	if err == nil {
		return nil, p.end(corrupt(fmt.Sprintf("%.200q", h.Name), "is in the payload but not in the contract, or not in its place"))
	}
	if !errors.Is(err, io.EOF) {
		return nil, p.end(p.fail(err))
	}
	return nil, p.end(p.finish())
}

// enter begins an entry; nil for one that a pass without the base leaves out.
func (p *PayloadReader) enter(e *Entry) (*current, error) {
	t := p.delta.taken[e.Path]
	switch {
	case t == nil:
		if err := p.member(e.Path, e.Size); err != nil {
			return nil, err
		}
		return newCurrent(e, p.tr, p.delta.modTime), nil
	case t.Patch == nil && p.delta.base == nil:
		return nil, nil
	case t.Patch == nil:
		if err := p.toBase(t.From); err != nil {
			return nil, err
		}
		return newCurrent(e, p.delta.base, p.delta.modTime), nil
	}
	path := patchPrefix + e.Path
	if err := p.member(path, t.Patch.Size); err != nil {
		return nil, err
	}
	if p.delta.base == nil { // the patch is all that can be looked at
		return newCurrent(&Entry{Kind: e.Kind, Path: path, Digest: t.Patch.SHA256, Size: t.Patch.Size}, p.tr, p.delta.modTime), nil
	}
	old, err := p.oldFile(t.From)
	if err != nil {
		return nil, err
	}
	in := &patchInput{r: p.tr, sum: sha256.New()}
	cur := newCurrent(e, newPatchReader(old, in, e.Size), p.delta.modTime)
	cur.patch, cur.patchPath, cur.want = in, path, t.Patch.SHA256
	return cur, nil
}

// member goes to the next entry of the delta's own tar, which must be this one.
func (p *PayloadReader) member(path string, size int64) error {
	h, err := p.tr.Next()
	if errors.Is(err, io.EOF) {
		return corrupt(path, "is missing from the payload")
	}
	if err != nil {
		return p.fail(err)
	}
	if h.Name != path {
		return corrupt(fmt.Sprintf("%.200q", h.Name), "is in the payload where %s should be", path)
	}
	if err := plainEntry(h, path); err != nil {
		return err
	}
	if h.Size != size {
		return corrupt(path, "has %d bytes, the contract says %d", h.Size, size)
	}
	p.delta.modTime = h.ModTime
	return nil
}

// toBase goes to an entry of the base.
func (p *PayloadReader) toBase(from string) error {
	for {
		e, err := p.delta.base.Next()
		if errors.Is(err, io.EOF) {
			return corrupt(ContractName, "%s cannot be taken from the base: it lies in another order there", from)
		}
		if err != nil {
			return p.baseTrouble(err)
		}
		if e.Path == from {
			return nil
		}
	}
}

// oldFile reads an entry of the base into memory.
func (p *PayloadReader) oldFile(from string) ([]byte, error) {
	if err := p.toBase(from); err != nil {
		return nil, err
	}
	old := p.delta.old[:p.b.base.entries[p.b.base.index[from]].Size]
	if _, err := io.ReadFull(p.delta.base, old); err != nil {
		return nil, p.baseTrouble(err)
	}
	// The digest is compared at the end.
	if _, err := io.Copy(io.Discard, onlyReader{p.delta.base}); err != nil {
		return nil, p.baseTrouble(err)
	}
	return old, nil
}

// baseTrouble says that it is the base where something is wrong.
func (p *PayloadReader) baseTrouble(err error) error {
	return fmt.Errorf("base %s: %w", p.b.base.path, err)
}

// patchInput is a patch being read: hashed, and remembering what went wrong below.
type patchInput struct {
	r   io.Reader
	sum hash.Hash
	err error
}

func (i *patchInput) Read(b []byte) (int, error) {
	n, err := i.r.Read(b)
	i.sum.Write(b[:n])
	if err != nil && !errors.Is(err, io.EOF) {
		i.err = err
	}
	return n, err
}
