package bundle

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"
)

const (
	chunkSize  = 1 << 20
	chunkAhead = 8
)

// payloadWriter writes the payload in two stages that run side by side: one opens contents, gunzips (within the
// content's reader) and hashes them, the other one makes the tar and compresses it.
type payloadWriter struct {
	contract *Contract
	content  Content
	opts     WriteOptions
	pool     sync.Pool
	delta    *deltaWriter // nil for a bundle that is whole
}

// chunk is what goes from the first stage to the second. The first chunk of an entry has its header.
type chunk struct {
	entry *Entry
	data  []byte
	taken bool // the entry comes from the base of a delta: nothing is written
}

func (w *payloadWriter) write(ctx context.Context, f io.Writer) error {
	w.pool.New = func() any { b := make([]byte, chunkSize); return &b }
	if w.opts.Base != nil {
		var err error
		if w.delta, err = newDeltaWriter(ctx, w.contract.Delta, w.opts.Base); err != nil {
			return err
		}
		defer w.delta.close()
	}
	chunks := make(chan chunk, chunkAhead)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := w.produce(ctx, chunks); err != nil {
			return err // not closed: the other stage would take that for the end, and its complaint could come first
		}
		close(chunks)
		return nil
	})
	g.Go(func() error { return w.consume(ctx, f, chunks) })
	if err := g.Wait(); err != nil {
		return err
	}
	w.complete()
	return nil
}

// complete writes what the content told into the contract.
func (w *payloadWriter) complete() {
	var disk int64
	for _, e := range w.contract.Entries() {
		disk += e.Size
	}
	w.contract.Requirements.DiskBytes = disk
	if w.delta != nil {
		w.keepTaken()
	}
}

func (w *payloadWriter) produce(ctx context.Context, out chan<- chunk) error {
	list := w.contract.Entries()
	for i := range list {
		do := w.produceEntry
		if t := w.taken(&list[i]); t != nil {
			do = func(ctx context.Context, e *Entry, out chan<- chunk) error { return w.produceDelta(ctx, e, t, out) }
		}
		if err := do(ctx, &list[i], out); err != nil {
			return fmt.Errorf("pack %s: %w", list[i].Path, err)
		}
	}
	return nil
}

// taken says how a delta gets an entry from its base, nil if not at all.
func (w *payloadWriter) taken(e *Entry) *Taken {
	if w.delta == nil {
		return nil
	}
	return w.delta.taken[e.Path]
}

func (w *payloadWriter) open(ctx context.Context, e *Entry) (io.ReadCloser, error) {
	switch e.Kind {
	case KindFile:
		return w.content.File(ctx, *e.File)
	case KindBlob, KindSignature:
		return w.content.Blob(ctx, w.blob(e.Digest))
	case KindLayer:
	}
	rc, size, err := w.content.Layer(ctx, w.layer(e.Digest))
	if err != nil {
		return nil, err
	}
	e.Size = size
	w.setLayerSize(e.Digest, size)
	return rc, nil
}

func (w *payloadWriter) blob(digest string) Descriptor {
	for i := range w.contract.Images {
		m := &w.contract.Images[i]
		for _, d := range []Descriptor{m.Target, m.Manifest, m.Config} {
			if d.Digest == digest {
				return d
			}
		}
		for j := range m.Signatures {
			for _, d := range m.Signatures[j].blobs() {
				if d.Digest == digest {
					return d
				}
			}
		}
	}
	return Descriptor{Digest: digest}
}

func (w *payloadWriter) layer(diffID string) Layer {
	for i := range w.contract.Images {
		for _, l := range w.contract.Images[i].Layers {
			if l.DiffID == diffID {
				return l
			}
		}
	}
	return Layer{DiffID: diffID}
}

func (w *payloadWriter) setLayerSize(diffID string, size int64) {
	for i := range w.contract.Images {
		for j := range w.contract.Images[i].Layers {
			if l := &w.contract.Images[i].Layers[j]; l.DiffID == diffID {
				l.Size = size
			}
		}
	}
}

func (w *payloadWriter) produceEntry(ctx context.Context, e *Entry, out chan<- chunk) (err error) {
	r, err := w.open(ctx, e)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := r.Close(); err == nil {
			err = cerr
		}
	}()
	return w.stream(ctx, e, r, out)
}

// stream hands over what a reader gives, and checks it.
func (w *payloadWriter) stream(ctx context.Context, e *Entry, r io.Reader, out chan<- chunk) error {
	sum := sha256.New()
	var n int64
	for first := true; ; first = false {
		buf := *w.pool.Get().(*[]byte)
		k, rerr := fill(r, buf[:chunkSize])
		sum.Write(buf[:k])
		n += int64(k)
		if n > e.Size {
			return fmt.Errorf("has more than the expected %d bytes", e.Size)
		}
		end := errors.Is(rerr, io.EOF)
		if rerr != nil && !end {
			return rerr
		}
		if end {
			if n != e.Size {
				return fmt.Errorf("has %d bytes instead of %d", n, e.Size)
			}
			if got := digestAlgo + hex.EncodeToString(sum.Sum(nil)); got != e.Digest {
				return fmt.Errorf("has digest %s instead of %s", got, e.Digest)
			}
		}
		c := chunk{data: buf[:k]}
		if first {
			c.entry = e
		}
		if err := send(ctx, out, c); err != nil {
			return err
		}
		if end {
			return nil
		}
	}
}

func send(ctx context.Context, out chan<- chunk, c chunk) error {
	select {
	case out <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fill is io.ReadFull that passes on what the reader said, so that a reader's own io.ErrUnexpectedEOF is not taken
// for an ordinary end.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var k int
		k, err = r.Read(buf[n:])
		n += k
	}
	return n, err
}

func (w *payloadWriter) consume(ctx context.Context, f io.Writer, in <-chan chunk) (err error) {
	sink := &hashWriter{w: f, sum: sha256.New()}
	buffered := bufio.NewWriterSize(sink, 1<<20)
	enc, err := w.opts.Encoder.Encode(buffered)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			enc.Abort()
		}
	}()
	raw := &countWriter{w: enc}
	tw := tar.NewWriter(raw)
	var cur Entry
	var done int64
	for {
		c, more, err := next(ctx, in)
		if err != nil {
			return err // the other stage ended early and says why
		}
		if !more {
			break
		}
		if c.taken {
			if w.opts.Progress != nil {
				w.opts.Progress(WriteEvent{Entry: *c.entry, Done: c.entry.Size, Written: sink.n})
			}
			continue
		}
		if c.entry != nil {
			cur, done = *c.entry, 0
			if err := tw.WriteHeader(w.header(&cur)); err != nil {
				return err
			}
		}
		if _, err := tw.Write(c.data); err != nil {
			return err
		}
		done += int64(len(c.data))
		if w.opts.Progress != nil {
			w.opts.Progress(WriteEvent{Entry: cur, Done: done, Written: sink.n})
		}
		buf := c.data[:cap(c.data)]
		w.pool.Put(&buf)
	}
	if err := tw.Close(); err != nil {
		return err
	}
	if err := enc.Close(); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	w.contract.Payload = Payload{
		Path: PayloadName, Size: sink.n, SHA256: digestAlgo + hex.EncodeToString(sink.sum.Sum(nil)),
		Uncompressed: raw.n, WindowBytes: MaxWindow, Encoder: w.opts.Encoder.Name(),
	}
	return nil
}

// next waits for a chunk; more is false after the last one.
func next(ctx context.Context, in <-chan chunk) (c chunk, more bool, err error) {
	select {
	case c, more = <-in:
		return c, more, nil
	case <-ctx.Done():
		return chunk{}, false, ctx.Err()
	}
}

func (w *payloadWriter) header(e *Entry) *tar.Header {
	mode := int64(0o644)
	if e.File != nil {
		mode = int64(e.File.Mode)
	}
	return &tar.Header{Typeflag: tar.TypeReg, Name: e.Path, Size: e.Size, Mode: mode, ModTime: w.opts.ModTime}
}
