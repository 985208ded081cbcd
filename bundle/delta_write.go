package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/distribution/reference"
	"github.com/klauspost/compress/zstd"
)

// planDelta works out what a new bundle can take from a base: what is in both, and for the rest what it most likely was before: the file of the
// same path, the layer of the same image at the same place, counted from the top. Both payloads are read once from their
// beginnings, so of pairs that cross only those are kept that are worth more.
func planDelta(c *Contract, base *Bundle) (*Delta, error) {
	switch {
	case base.contract.Delta != nil:
		return nil, fmt.Errorf("base %s is a delta itself: name the bundle that it needs as the base", base.path)
	case base.contract.OS != c.OS || base.contract.Arch != c.Arch:
		return nil, fmt.Errorf("base %s is for %s/%s, not for %s/%s", base.path, base.contract.OS, base.contract.Arch, c.OS, c.Arch)
	}
	d := &Delta{Base: Base{KubernetesVersion: base.contract.KubernetesVersion, Content: base.contract.ContentDigest()}, Taken: []Taken{}}
	same := map[string]int{} // kind and digest -> entry of the base
	for i, e := range base.entries {
		same[string(e.Kind)+e.Digest] = i
	}
	before := formerLayers(c, base.contract)
	var pairs []pair
	for _, e := range c.Entries() {
		if !e.takeable() {
			continue
		}
		if i, ok := same[string(e.Kind)+e.Digest]; ok {
			pairs = append(pairs, pair{Taken{Path: e.Path, From: base.entries[i].Path}, i, base.entries[i].Size})
			continue
		}
		from := e.Path
		if e.Kind == KindLayer {
			from = before[e.Digest]
		}
		i, ok := base.index[from]
		if !ok || base.entries[i].Size > maxPatched || e.Size > maxPatched || base.entries[i].Kind != e.Kind {
			continue
		}
		pairs = append(pairs, pair{Taken{Path: e.Path, From: from, Patch: &Patch{}}, i, base.entries[i].Size})
	}
	for _, p := range heaviestRising(pairs) {
		d.Taken = append(d.Taken, p.Taken)
	}
	return d, nil
}

// pair is an entry and what it could be taken from.
type pair struct {
	Taken
	from   int   // index in the base
	weight int64 // bytes
}

// formerLayers pairs layers with the paths of the base's. An image is recognised by its component or its repository.
func formerLayers(c, base *Contract) map[string]string {
	key := func(m *Image) string {
		if m.Component != "" {
			return m.Component
		}
		if n, err := reference.ParseDockerRef(m.Ref); err == nil {
			return n.Name()
		}
		return m.Ref
	}
	old := map[string]*Image{}
	for i := range base.Images {
		old[key(&base.Images[i])] = &base.Images[i]
	}
	out := map[string]string{}
	for i := range c.Images {
		m := &c.Images[i]
		o := old[key(m)]
		if o == nil {
			continue
		}
		for up := 1; up <= min(len(m.Layers), len(o.Layers)); up++ {
			id := m.Layers[len(m.Layers)-up].DiffID
			if _, ok := out[id]; !ok {
				out[id] = layerPrefix + o.Layers[len(o.Layers)-up].DiffID[len(digestAlgo):]
			}
		}
	}
	return out
}

// heaviestRising chooses the pairs of the greatest weight whose places in the base rise.
func heaviestRising(pairs []pair) []pair {
	best := make([]int64, len(pairs))
	prev := make([]int, len(pairs))
	end := -1
	for i, p := range pairs {
		best[i], prev[i] = p.weight, -1
		for j := range i {
			if pairs[j].from < p.from && best[j]+p.weight > best[i] {
				best[i], prev[i] = best[j]+p.weight, j
			}
		}
		if end < 0 || best[i] > best[end] {
			end = i
		}
	}
	var out []pair
	for ; end >= 0; end = prev[end] {
		out = append(out, pairs[end])
	}
	slices.Reverse(out)
	return out
}

// deltaWriter is what writing a delta needs besides writing a payload.
type deltaWriter struct {
	base  *Bundle
	pass  *PayloadReader
	taken map[string]*Taken
	judge *zstd.Encoder
}

func newDeltaWriter(ctx context.Context, d *Delta, base *Bundle) (*deltaWriter, error) {
	w := &deltaWriter{base: base, taken: map[string]*Taken{}}
	for i := range d.Taken {
		w.taken[d.Taken[i].Path] = &d.Taken[i]
	}
	var err error
	if w.pass, err = base.Payload(ctx); err != nil {
		return nil, err
	}
	w.judge, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	return w, err
}

func (w *deltaWriter) close() {
	_ = w.pass.Close() // only read from
}

// old reads an entry of the base.
func (w *deltaWriter) old(from string) ([]byte, error) {
	for {
		e, err := w.pass.Next()
		if errors.Is(err, io.EOF) {
			err = corrupt(from, "lies in another order in the payload than in the contract")
		}
		if err != nil {
			return nil, fmt.Errorf("base %s: %w", w.base.path, err)
		}
		if e.Path != from {
			continue
		}
		data, err := readSized(w.pass, e.Size)
		if err != nil {
			return nil, fmt.Errorf("base %s: %w", w.base.path, err)
		}
		return data, nil
	}
}

// pays says whether a patch comes out smaller than the file itself. The fastest encoder shows the difference well enough.
func (w *deltaWriter) pays(patch, data []byte) bool {
	return len(w.judge.EncodeAll(patch, nil)) < len(w.judge.EncodeAll(data, nil))
}

// readSized reads content whose size is known.
func readSized(r io.Reader, size int64) ([]byte, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, err
	}
	// What checks digests says so only at the end.
	if n, err := io.Copy(io.Discard, r); err != nil || n > 0 {
		return nil, errors.Join(err, nonzero(n, size))
	}
	return data, nil
}

func nonzero(n, size int64) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("has more than the expected %d bytes", size)
}

// produceDelta is produceEntry for an entry that a delta may take from its base.
func (w *payloadWriter) produceDelta(ctx context.Context, e *Entry, t *Taken, out chan<- chunk) (err error) {
	if t.Patch == nil {
		if e.Kind == KindLayer {
			size := w.delta.base.entries[w.delta.base.index[t.From]].Size
			e.Size = size
			w.setLayerSize(e.Digest, size)
		}
		return send(ctx, out, chunk{entry: e, taken: true})
	}
	old, err := w.delta.old(t.From)
	if err != nil {
		return err
	}
	r, err := w.open(ctx, e)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := r.Close(); err == nil {
			err = cerr
		}
	}()
	if e.Size > maxPatched {
		t.Patch = nil
		delete(w.delta.taken, e.Path)
		return w.stream(ctx, e, r, out)
	}
	data, err := readSized(r, e.Size)
	if err != nil {
		return err
	}
	if got := digestOf(data); got != e.Digest {
		return fmt.Errorf("has digest %s instead of %s", got, e.Digest)
	}
	patch := makePatch(old, data)
	if !w.delta.pays(patch, data) {
		delete(w.delta.taken, e.Path)
		return w.give(ctx, e, data, out)
	}
	sum := sha256.Sum256(patch)
	t.Patch = &Patch{Size: int64(len(patch)), SHA256: digestAlgo + hex.EncodeToString(sum[:])}
	if err := send(ctx, out, chunk{entry: e, taken: true}); err != nil {
		return err
	}
	return w.give(ctx, &Entry{Kind: e.Kind, Path: patchPrefix + e.Path, Digest: t.Patch.SHA256, Size: t.Patch.Size}, patch, out)
}

// give hands over content that is in memory.
func (w *payloadWriter) give(ctx context.Context, e *Entry, data []byte, out chan<- chunk) error {
	for first := true; first || len(data) > 0; first = false {
		buf := *w.pool.Get().(*[]byte)
		n := copy(buf[:chunkSize], data)
		data = data[n:]
		c := chunk{data: buf[:n]}
		if first {
			c.entry = e
		}
		if err := send(ctx, out, c); err != nil {
			return err
		}
	}
	return nil
}

// keepTaken leaves in the contract what is really taken.
func (w *payloadWriter) keepTaken() {
	d := w.contract.Delta
	d.Taken = slices.DeleteFunc(d.Taken, func(t Taken) bool { return w.delta.taken[t.Path] == nil })
}
