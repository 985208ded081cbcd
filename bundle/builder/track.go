package builder

import "kubebundle/bundle"

// guessedRatio is how much larger a layer is than its compressed blob, about.
const guessedRatio = 3

// tracker turns events about entries into events about the whole.
type tracker struct {
	sizes  map[string]int64  // by payload path: known, or guessed
	refs   map[string]string // by diff ID
	packed int64             // of the entries before the current one
	total  int64
	cur    bundle.Entry
}

func newTracker(c *bundle.Contract, entries []bundle.Entry) *tracker {
	t := &tracker{sizes: map[string]int64{}, refs: map[string]string{}}
	blobs := map[string]int64{}
	for _, m := range c.Images {
		for _, l := range m.Layers {
			if _, ok := blobs[l.DiffID]; !ok {
				blobs[l.DiffID], t.refs[l.DiffID] = l.Blob.Size, m.Ref
			}
		}
	}
	for _, e := range entries {
		n := e.Size
		if e.Kind == bundle.KindLayer {
			n = guessedRatio * blobs[e.Digest]
		}
		t.sizes[e.Path] = n
		t.total += n
	}
	return t
}

func (t *tracker) event(e bundle.WriteEvent) Event {
	if e.Entry.Path != t.cur.Path {
		t.packed += t.cur.Size
		t.cur = e.Entry
		t.total += e.Entry.Size - t.sizes[e.Entry.Path] // the guess gives way to the measure
	}
	out := Event{
		Stage: StagePack, Name: e.Entry.Path, Done: e.Done, Size: e.Entry.Size, Packed: t.packed + e.Done, Total: t.total, Written: e.Written,
	}
	if e.Entry.Kind == bundle.KindLayer {
		out.Ref = t.refs[e.Entry.Digest]
	}
	return out
}
