package bundle

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// A program that was built again from slightly changed sources is the old one with most of its parts moved and, in every part, addresses
// that changed by the same amount. A compressor with the old file as its dictionary finds the parts, but pays for every changed
// address. makePatch does what bsdiff does (Colin Percival, "Naive differences of executable code", 2003): it lines each stretch of the
// new file up with a stretch of the old one that is similar, not equal, and writes down the differences, which are few values that
// compress to almost nothing. bsdiff sorts all suffixes of the old file for that, which takes nine times its size in memory and
// minutes; here a hash table of every eighth position finds the stretches, in linear time and twice the size.

// The shape of the search. A change of any of them changes the bytes of patches, which is allowed: a reader does not depend on them.
const (
	seedLen    = 16       // bytes that must be equal for two stretches to be lined up
	seedStride = 8        // every such position of the old file is in the table
	seedTries  = 24       // positions of one hash that are looked at
	alignAhead = 32       // bytes ahead that decide whether the present line-up still holds…
	alignGood  = 22       // …so many of which must be equal
	switchGain = 8        // equal bytes that another line-up must have more
	seedReach  = 64 << 10 // equal bytes that are counted at most
)

// seedTable finds places in the old file by what stands there.
type seedTable struct {
	old   []byte
	shift int
	head  []int32 // last place of a hash in seedStride steps, +1
	next  []int32 // the place before with the same hash, +1
}

func newSeedTable(old []byte) *seedTable {
	n := len(old) / seedStride
	t := &seedTable{old: old, shift: 64 - max(bits.Len(uint(n)), 8), next: make([]int32, n+1)}
	t.head = make([]int32, 1<<(64-t.shift))
	for i := 0; i*seedStride+seedLen <= len(old); i++ {
		at := i * seedStride
		if i > 0 && bytes.Equal(old[at:at+seedLen], old[at-seedStride:at-seedStride+seedLen]) {
			continue // a run of zeros, or the like: its beginning is where a copy of it is longest
		}
		h := t.hash(old[at:])
		t.next[i] = t.head[h]
		t.head[h] = int32(i) + 1
	}
	return t
}

func (t *seedTable) hash(b []byte) uint64 {
	x := binary.LittleEndian.Uint64(b) * 0x9e3779b97f4a7c15
	x ^= binary.LittleEndian.Uint64(b[8:]) + x>>29
	return x * 0xbf58476d1ce4e5b9 >> t.shift
}

// find gives the place in the old file where the longest copy of the beginning of b stands; of equally long ones that nearest to near.
func (t *seedTable) find(b []byte, near int) (pos, length int) {
	if len(b) < seedLen {
		return 0, 0
	}
	i := t.head[t.hash(b)]
	for try := 0; i > 0 && try < seedTries; try++ {
		p := int(i-1) * seedStride
		n := equal(t.old[p:min(p+seedReach, len(t.old))], b)
		if n > length || n == length && abs(p-near) < abs(pos-near) {
			pos, length = p, n
		}
		i = t.next[i-1]
	}
	if length < seedLen {
		return 0, 0
	}
	return pos, length
}

// equal counts the bytes that two slices have in common at their beginning.
func equal(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

func abs(n int) int { return max(n, -n) }

// matches counts equal bytes of new[at:at+n] and the old file when it is lined up with a shift.
func matches(old, data []byte, at, shift, n int) int {
	from, to := max(at, -shift), min(at+n, len(data), len(old)-shift)
	var c int
	for i := from; i < to; i++ {
		if old[i+shift] == data[i] {
			c++
		}
	}
	return c
}

// makePatch gives what turns old into data; see patch.go for its form.
func makePatch(old, data []byte) []byte {
	t := newSeedTable(old)
	w := &patchWriter{old: old, data: data}
	w.out.WriteString(patchMagic)
	var (
		last, lastPos int // where the present line-up begins, in the new file and in the old one
		held          int // up to where it held
		scan          int
	)
	for scan < len(data) {
		shift := lastPos - last
		// The test is made every few bytes only: while a line-up holds, nothing else is looked for.
		if matches(old, data, scan, shift, alignAhead) >= alignGood {
			scan += seedStride
			held = scan
			continue
		}
		pos, length := t.find(data[scan:], scan+shift)
		if length == 0 || length <= matches(old, data, scan, shift, length)+switchGain {
			scan++
			continue
		}
		last, lastPos = w.stretch(last, lastPos, max(last, held-alignAhead), scan, pos)
		scan += length
		held = scan
	}
	w.stretch(last, lastPos, len(data), len(data), -1)
	w.flush()
	return w.out.Bytes()
}

// stretch ends a line-up that began at last: what of the bytes before scan is like the old file there, what is like the old file before
// pos (of the next line-up; -1 for none), and what is new. The next line-up does not reach back beyond floor, up to where this one surely
// holds. It returns where the next one begins.
func (w *patchWriter) stretch(last, lastPos, floor, scan, pos int) (nextLast, nextPos int) {
	old, data := w.old, w.data
	// As far forward as more than half of the bytes are equal.
	var forward, score, best int
	for i := 0; last+i < scan && lastPos+i < len(old); {
		if old[lastPos+i] == data[last+i] {
			score++
		}
		i++
		if 2*score-i > best {
			best, forward = 2*score-i, i
		}
	}
	back := 0
	if pos >= 0 {
		score, best = 0, 0
		for i := 1; scan-i >= floor && pos-i >= 0; i++ {
			if old[pos-i] == data[scan-i] {
				score++
			}
			if 2*score-i > best {
				best, back = 2*score-i, i
			}
		}
	}
	// Where both claim the same bytes, they are divided where that leaves most of them equal.
	if overlap := last + forward - (scan - back); overlap > 0 {
		score, best, keep := 0, 0, 0
		for i := range overlap {
			if data[last+forward-overlap+i] == old[lastPos+forward-overlap+i] {
				score++
			}
			if data[scan-back+i] == old[pos-back+i] {
				score--
			}
			if score > best {
				best, keep = score, i+1
			}
		}
		forward += keep - overlap
		back -= keep
	}
	seek := 0
	if pos >= 0 {
		seek = pos - back - (lastPos + forward)
	}
	w.op(last, lastPos, forward, scan-back-(last+forward), seek)
	return scan - back, pos - back
}

// patchWriter collects operations into blocks.
type patchWriter struct {
	old, data []byte
	out       bytes.Buffer

	size                         int // of the new file's bytes in the block
	ctl, gaps, runs, vals, extra []byte
	gap, run                     int // equal bytes since the last different one; different ones in a row
}

// op adds one operation; at the end of a block it is cut in two.
func (w *patchWriter) op(at, pos, add, extra, seek int) {
	for {
		a := min(add, patchBlock-w.size)
		e := 0
		if a == add {
			e = min(extra, patchBlock-w.size-a)
		}
		whole := a == add && e == extra
		w.ctl = binary.AppendUvarint(w.ctl, uint64(a))
		w.ctl = binary.AppendUvarint(w.ctl, uint64(e))
		if whole {
			w.ctl = binary.AppendVarint(w.ctl, int64(seek))
		} else {
			w.ctl = binary.AppendVarint(w.ctl, 0)
		}
		for i := range a {
			w.diff(w.data[at+i] - w.old[pos+i])
		}
		w.extra = append(w.extra, w.data[at+a:at+a+e]...)
		w.size += a + e
		if whole {
			return
		}
		at, pos, add, extra = at+a+e, pos+a, add-a, extra-e
		w.flush()
	}
}

func (w *patchWriter) diff(d byte) {
	switch {
	case d != 0:
		w.run++
		w.vals = append(w.vals, d)
	case w.run > 0:
		w.endRun()
		w.gap = 1
	default:
		w.gap++
	}
}

func (w *patchWriter) endRun() {
	w.gaps = binary.AppendUvarint(w.gaps, uint64(w.gap))
	w.runs = binary.AppendUvarint(w.runs, uint64(w.run))
	w.gap, w.run = 0, 0
}

// flush ends a block.
func (w *patchWriter) flush() {
	if w.run > 0 {
		w.endRun()
	}
	w.gap = 0
	if w.size == 0 {
		return
	}
	var head []byte
	head = binary.AppendUvarint(head, uint64(w.size))
	streams := []*[]byte{&w.ctl, &w.gaps, &w.runs, &w.vals, &w.extra}
	for _, s := range streams {
		head = binary.AppendUvarint(head, uint64(len(*s)))
	}
	w.out.Write(head)
	for _, s := range streams {
		w.out.Write(*s)
		*s = (*s)[:0]
	}
	w.size = 0
}
