package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Payload starts one pass over the payload. Close it when done. Of a delta it gives what the whole bundle would hold, and needs its base
// for that: the error is a *BaseError without it.
func (b *Bundle) Payload(ctx context.Context) (*PayloadReader, error) {
	if b.contract.Delta == nil {
		return b.pass(ctx)
	}
	if err := b.BaseError(); err != nil {
		return nil, err
	}
	base, err := b.base.pass(ctx)
	if err != nil {
		return nil, fmt.Errorf("base %s: %w", b.base.path, err)
	}
	p, err := b.pass(ctx)
	if err != nil {
		_ = base.Close() // only read from
		return nil, err
	}
	p.delta = newDeltaPass(b.contract.Delta, base)
	return p, nil
}

// alone starts a pass over what a bundle holds itself: all of it, or of a delta what is not taken from the base, and its patches as they are.
func (b *Bundle) alone(ctx context.Context) (*PayloadReader, error) {
	p, err := b.pass(ctx)
	if err == nil && b.contract.Delta != nil {
		p.delta = newDeltaPass(b.contract.Delta, nil)
	}
	return p, err
}

// pass starts one pass over the payload as it is stored.
func (b *Bundle) pass(ctx context.Context) (*PayloadReader, error) {
	raw, err := b.src.payload()
	if err != nil {
		return nil, fmt.Errorf("open payload: %w", err)
	}
	p := &PayloadReader{b: b, raw: raw, seen: make([]bool, len(b.entries))}
	p.in = &payloadInput{ctx: ctx, r: raw, sum: sha256.New(), limit: b.contract.Payload.Size}
	p.dec, err = zstd.NewReader(p.in,
		zstd.WithDecoderMaxWindow(uint64(b.contract.Payload.WindowBytes)), // Validate bounds it
		zstd.WithDecoderLowmem(false),                                     // its blocks are used again; the window is a ring either way
	)
	if err != nil {
		_ = raw.Close() // only read from
		return nil, fmt.Errorf("open payload: %w", p.fail(err))
	}
	p.out = &counter{r: p.dec, limit: b.contract.Payload.Uncompressed}
	p.tr = tar.NewReader(p.out)
	return p, nil
}

// PayloadReader streams payload entries. Each entry is checked against the contract as it is read:
// Read returns io.EOF only after size and digest agreed, so a consumer must not commit before it saw io.EOF.
// It is for one goroutine.
type PayloadReader struct {
	b   *Bundle
	raw io.ReadCloser
	in  *payloadInput // compressed
	dec *zstd.Decoder
	out *counter // uncompressed
	tr  *tar.Reader

	seen  []bool
	kind  Kind // of the last entry
	cur   *current
	err   error      // what ended the pass
	delta *deltaPass // nil for a bundle that is whole

	// collect, if set, is given the problems that do not hinder reading on; otherwise the first one ends the pass. An
	// error of its own ends the pass too.
	collect func(error) error
}

// ModTime is the time of the current entry: that of the whole bundle, because a writer gives all entries the same.
func (p *PayloadReader) ModTime() time.Time {
	if p.cur == nil {
		return time.Time{}
	}
	return p.cur.modTime
}

// current is the entry being read.
type current struct {
	*Entry
	modTime time.Time
	r       io.Reader
	sum     hash.Hash
	n       int64
	blob    *bytes.Buffer // of a blob or a signature: its bytes, for the chain of digests
	done    bool

	// Of what a patch makes:
	patch     *patchInput
	patchPath string
	want      string // the patch's digest
}

func newCurrent(e *Entry, r io.Reader, modTime time.Time) *current {
	c := &current{Entry: e, modTime: modTime, r: r, sum: sha256.New()}
	if e.Kind == KindBlob || e.Kind == KindSignature {
		c.blob = new(bytes.Buffer)
	}
	return c
}

// Next goes to the next entry, skipping what was not read of the current one: an entry of which nothing was read is not hashed by itself.
// io.EOF at the end, which is given only after every entry of the contract was seen and the payload digest agreed.
func (p *PayloadReader) Next() (*Entry, error) {
	if p.err != nil {
		return nil, p.err
	}
	if p.cur != nil && !p.cur.done && !p.skippable() {
		if _, err := io.Copy(io.Discard, onlyReader{p}); err != nil {
			return nil, err
		}
	}
	p.cur = nil
	if p.delta != nil {
		return p.nextDelta()
	}
	for {
		h, err := p.tr.Next()
		if errors.Is(err, io.EOF) {
			return nil, p.end(p.finish())
		}
		if err != nil {
			return nil, p.end(p.fail(err))
		}
		e, err := p.admit(h)
		if err == nil {
			p.cur = newCurrent(e, p.tr, h.ModTime)
			return e, nil
		}
		if p.problem(err) != nil {
			return nil, p.err
		}
	}
}

// skippable reports whether the tar reader may pass over the current entry: nobody has seen anything of it, and nobody wants to hear of its
// problems. What is made from a base has to be read, since the base goes on from there.
func (p *PayloadReader) skippable() bool { return p.cur.n == 0 && p.collect == nil && p.delta == nil }

// admit compares an entry's header with the contract.
func (p *PayloadReader) admit(h *tar.Header) (*Entry, error) {
	i, ok := p.b.index[h.Name]
	if !ok {
		return nil, corrupt(fmt.Sprintf("%.200q", h.Name), "is in the payload but not in the contract")
	}
	e := &p.b.entries[i]
	if err := plainEntry(h, e.Path); err != nil {
		return nil, err
	}
	if p.seen[i] {
		return nil, corrupt(e.Path, "is in the payload twice")
	}
	p.seen[i] = true
	if h.Size != e.Size {
		return nil, corrupt(e.Path, "has %d bytes, the contract says %d", h.Size, e.Size)
	}
	if before(e.Kind, p.kind) {
		return nil, corrupt(e.Path, "a %s comes after a %s", e.Kind, p.kind)
	}
	p.kind = e.Kind
	return e, nil
}

// before says whether entries of kind a must lie before those of kind b.
func before(a, b Kind) bool {
	rank := map[Kind]int{KindFile: 1, KindBlob: 2, KindSignature: 3, KindLayer: 4}
	return rank[a] < rank[b]
}

// Read reads the current entry.
func (p *PayloadReader) Read(b []byte) (int, error) {
	switch {
	case p.err != nil && !errors.Is(p.err, io.EOF):
		return 0, p.err
	case p.cur == nil || p.cur.done:
		return 0, io.EOF
	}
	n, err := p.cur.r.Read(b)
	p.cur.sum.Write(b[:n])
	p.cur.n += int64(n)
	if p.cur.blob != nil {
		p.cur.blob.Write(b[:n])
	}
	if err == nil {
		return n, nil
	}
	if !errors.Is(err, io.EOF) {
		return n, p.end(p.broken(err))
	}
	p.cur.done = true
	if err := p.settle(); err != nil {
		if err := p.problem(err); err != nil {
			return n, err
		}
	}
	return n, io.EOF
}

// broken says where the fault for a failed Read lies.
func (p *PayloadReader) broken(err error) error {
	c := p.cur
	switch {
	case errors.Is(err, errPatch) && (c.patch == nil || c.patch.err == nil):
		return corrupt(c.patchPath, "is malformed")
	case p.delta != nil && c.r == io.Reader(p.delta.base):
		return p.baseTrouble(err)
	case c.patch != nil && c.patch.err != nil:
		return p.fail(c.patch.err)
	}
	return p.fail(err)
}

// settle checks a completely read entry.
func (p *PayloadReader) settle() error {
	c := p.cur
	if c.patch != nil {
		if got := digestAlgo + hex.EncodeToString(c.patch.sum.Sum(nil)); got != c.want {
			return corrupt(c.patchPath, "has digest %s, the contract says %s", got, c.want)
		}
	}
	if got := digestAlgo + hex.EncodeToString(c.sum.Sum(nil)); got != c.Digest {
		return corrupt(c.Path, "has digest %s, the contract says %s", got, c.Digest)
	}
	switch {
	case c.Kind == KindSignature:
		return checkSignature(p.b.contract, c.Digest, c.blob.Bytes())
	case c.blob != nil:
		return checkChain(p.b.contract, c.Digest, c.blob.Bytes())
	}
	return nil
}

// finish checks the payload as a whole.
func (p *PayloadReader) finish() error {
	pl := p.b.contract.Payload
	if _, err := io.Copy(io.Discard, p.out); err != nil {
		return p.fail(err)
	}
	if _, err := io.Copy(io.Discard, p.in); err != nil {
		return p.fail(err)
	}
	if p.in.err != nil { // the decoder may have seen an error after its last block and kept it to itself
		return p.in.err
	}
	var errs []error
	for i, e := range p.b.entries {
		if !p.seen[i] {
			errs = append(errs, corrupt(e.Path, "is missing from the payload"))
		}
	}
	if p.out.n != pl.Uncompressed {
		errs = append(errs, corrupt(PayloadName, "holds %d bytes, the contract says %d", p.out.n, pl.Uncompressed))
	}
	if p.in.n != pl.Size {
		errs = append(errs, corrupt(PayloadName, "has %d bytes, the contract says %d", p.in.n, pl.Size))
	} else if got := digestAlgo + hex.EncodeToString(p.in.sum.Sum(nil)); got != pl.SHA256 {
		errs = append(errs, corrupt(PayloadName, "has digest %s, the contract says %s", got, pl.SHA256))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return io.EOF
}

// Close ends the pass early without the final check.
func (p *PayloadReader) Close() error {
	if p.err == nil {
		p.err = errors.New("payload reader is closed")
	}
	p.dec.Close()
	err := p.raw.Close()
	if p.delta != nil && p.delta.base != nil {
		err = errors.Join(err, p.delta.base.Close())
	}
	return err
}

func (p *PayloadReader) end(err error) error {
	p.err = err
	return err
}

// problem ends the pass, or is collected.
func (p *PayloadReader) problem(err error) error {
	if p.collect != nil {
		if err := p.collect(err); err != nil {
			return p.end(err)
		}
		return nil
	}
	return p.end(err)
}

// fail sorts errors: what the source says (disk, cancellation, a bad archive) is passed on, everything else means
// that the payload is bad.
func (p *PayloadReader) fail(err error) error {
	if p.in.err != nil {
		return p.in.err
	}
	var c *CorruptError
	switch {
	case errors.As(err, &c):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &CorruptError{Path: PayloadName, Why: "ends too early", Err: io.ErrUnexpectedEOF}
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return &CorruptError{Path: PayloadName, Why: "needs a larger window than the contract says", Err: err}
	}
	return &CorruptError{Path: PayloadName, Why: "is damaged", Err: err}
}

// onlyReader hides everything but Read.
type onlyReader struct{ io.Reader }

// payloadInput is the compressed payload: counted, hashed, cancellable.
type payloadInput struct {
	ctx   context.Context // a Reader has no other way to be cancelled
	r     io.Reader
	sum   hash.Hash
	n     int64
	limit int64
	err   error
}

func (r *payloadInput) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		r.err = err
		return 0, err
	}
	n, err := r.r.Read(b)
	r.sum.Write(b[:n])
	r.n += int64(n)
	if r.n > r.limit {
		err = corrupt(PayloadName, "has more than the %d bytes of the contract", r.limit)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// counter counts the uncompressed payload and stops a decompression bomb.
type counter struct {
	r     io.Reader
	n     int64
	limit int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	if c.n > c.limit {
		return 0, corrupt(PayloadName, "holds more than the %d bytes of the contract", c.limit)
	}
	return n, err
}

var _ io.ReadCloser = (*PayloadReader)(nil)
