package bundle

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// A patch turns one file, held in memory, into another, which comes out as a stream. After patchMagic it is a row of blocks, each good
// for at most patchBlock bytes of the new file:
//
//	uvarint × 6   bytes of the new file, then the lengths of the five streams that follow
//	operations    uvarint n, uvarint m, varint s: n bytes of the old file, changed by the differences; then m bytes of the literals;
//	              then go s bytes on (or back) in the old file
//	gaps, runs    uvarints, in pairs: how many of the copied bytes stay as they are, how many after them change
//	values        what is added to each byte that changes, modulo 256
//	literals      bytes that the old file has nothing like
//
// The streams are apart because each compresses best beside its own kind; the payload's encoder does that. A reader holds the old file and
// one block. Nothing in a patch is trusted: what comes out is compared with the contract like any other content.

const (
	patchMagic = "kbpatch1"
	patchBlock = 4 << 20
	// maxStreams bounds the streams of a block together, in bytes. Those of an honest one are less than two and a half times what comes out of
	// it: 13 bytes of operation for 16 of the file at most, and 3 bytes for 2 where every other byte changes.
	maxStreams = 4 * patchBlock
	// maxPatched is the largest file that is patched, and the largest that is patched into, in bytes: it is held in memory.
	maxPatched = 256 << 20
)

var errPatch = errors.New("the patch is malformed")

// patchReader gives the new file. Its errors are errPatch or what the patch's reader said.
type patchReader struct {
	old   []byte
	in    *bufio.Reader
	left  int64 // bytes of the new file that are still to come
	pos   int64 // in the old file
	begun bool
	out   []byte // decoded, not yet read
	space []byte // reused
	raw   []byte // reused
}

func newPatchReader(old []byte, patch io.Reader, size int64) *patchReader {
	return &patchReader{old: old, in: bufio.NewReaderSize(patch, 64<<10), left: size}
}

func (r *patchReader) Read(b []byte) (int, error) {
	if !r.begun {
		r.begun = true
		magic := make([]byte, len(patchMagic))
		if _, err := io.ReadFull(r.in, magic); err != nil {
			return 0, short(err)
		}
		if string(magic) != patchMagic {
			return 0, errPatch
		}
	}
	for len(r.out) == 0 {
		if r.left == 0 {
			if _, err := r.in.ReadByte(); err == nil {
				return 0, errPatch
			} else if !errors.Is(err, io.EOF) {
				return 0, err
			}
			return 0, io.EOF
		}
		if err := r.block(); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.out)
	r.out = r.out[n:]
	return n, nil
}

// short makes the end of a patch before its time an error of the patch.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errPatch
	}
	return err
}

// number reads a uvarint.
func (r *patchReader) number() (uint64, error) {
	b, err := r.in.Peek(binary.MaxVarintLen64) // fewer at the end
	v, n := binary.Uvarint(b)
	switch {
	case n > 0:
		_, err = r.in.Discard(n)
		return v, err
	case n == 0 && err != nil:
		return 0, short(err)
	}
	return 0, errPatch // larger than any number
}

// block decodes the next block into out.
func (r *patchReader) block() error {
	var n [6]uint64
	var total uint64 // of the streams
	for i := range n {
		v, err := r.number()
		if err != nil {
			return err
		}
		if i > 0 {
			total += v
		}
		if v > maxStreams || total > maxStreams {
			return errPatch
		}
		n[i] = v
	}
	size := int64(n[0])
	if size == 0 || size > patchBlock || size > r.left {
		return errPatch
	}
	if uint64(cap(r.raw)) < total {
		r.raw = make([]byte, total)
	}
	raw := r.raw[:total]
	if _, err := io.ReadFull(r.in, raw); err != nil {
		return short(err)
	}
	if int64(cap(r.space)) < size {
		r.space = make([]byte, patchBlock)
	}
	b := &patchedBlock{old: r.old, pos: r.pos, out: r.space[:0:size]}
	for i, s := range []*[]byte{&b.ctl, &b.gaps, &b.runs, &b.vals, &b.extra} {
		*s, raw = raw[:n[i+1]], raw[n[i+1]:]
	}
	if !b.decode() || int64(len(b.out)) != size {
		return errPatch
	}
	r.out, r.pos = b.out, b.pos
	r.left -= size
	return nil
}

// patchedBlock is a block being decoded: its streams, what comes out, and the place in the old file.
type patchedBlock struct {
	ctl, gaps, runs, vals, extra []byte
	old                          []byte
	pos                          int64
	out                          []byte
	gap, run                     uint64
}

// decode follows the operations. It never makes more than the room that out has.
func (b *patchedBlock) decode() bool {
	for len(b.ctl) > 0 {
		add, ok1 := uvarint(&b.ctl)
		extra, ok2 := uvarint(&b.ctl)
		seek, n := binary.Varint(b.ctl)
		if !ok1 || !ok2 || n <= 0 {
			return false
		}
		b.ctl = b.ctl[n:]
		room := uint64(cap(b.out) - len(b.out))
		if add > room || extra > room-add || extra > uint64(len(b.extra)) || add > uint64(int64(len(b.old))-b.pos) {
			return false
		}
		from := len(b.out)
		b.out = append(b.out, b.old[b.pos:b.pos+int64(add)]...)
		if !b.change(b.out[from:]) {
			return false
		}
		b.out = append(b.out, b.extra[:extra]...)
		b.extra = b.extra[extra:]
		b.pos += int64(add)
		if seek < -b.pos || seek > int64(len(b.old))-b.pos {
			return false
		}
		b.pos += seek
	}
	// Differences that nothing was left for mean that the block is not what its maker wrote.
	return len(b.extra) == 0 && len(b.vals) == 0 && len(b.gaps) == 0 && len(b.runs) == 0 && b.run == 0
}

// change adds the differences that lie within a stretch; a gap or a run may go on in the next one.
func (b *patchedBlock) change(s []byte) bool {
	for len(s) > 0 {
		if b.gap == 0 && b.run == 0 {
			if len(b.gaps) == 0 {
				return len(b.runs) == 0 // the rest stays as it is
			}
			var ok1, ok2 bool
			b.gap, ok1 = uvarint(&b.gaps)
			b.run, ok2 = uvarint(&b.runs)
			if !ok1 || !ok2 || b.run == 0 || b.run > uint64(len(b.vals)) {
				return false
			}
		}
		k := min(b.gap, uint64(len(s)))
		s, b.gap = s[k:], b.gap-k
		if b.gap > 0 {
			return true
		}
		k = min(b.run, uint64(len(s)))
		for i := range k {
			s[i] += b.vals[i]
		}
		s, b.vals, b.run = s[k:], b.vals[k:], b.run-k
	}
	return true
}

func uvarint(b *[]byte) (uint64, bool) {
	v, n := binary.Uvarint(*b)
	if n <= 0 {
		return 0, false
	}
	*b = (*b)[n:]
	return v, true
}

// applyPatch is patchReader for what fits in memory.
func applyPatch(old, patch []byte, size int64) ([]byte, error) {
	return io.ReadAll(newPatchReader(old, bytes.NewReader(patch), size))
}
