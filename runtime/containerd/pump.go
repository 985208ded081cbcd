package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	cruntime "kubebundle/runtime"
)

// A pump reads a layer once and gives it to several feeds, each read by a goroutine of its own: a hash, and one applier per snapshot that the
// layer makes. Chunks come from a fixed stock, so memory is bounded no matter how large or how many the layers are, and the reader
// runs ahead of the appliers by at most that stock, across layers.
type pump struct {
	free chan *chunk
}

const (
	chunkSize = 512 << 10
	chunks    = 48
)

type chunk struct {
	buf  [chunkSize]byte
	n    int
	refs atomic.Int32
}

func newPump() *pump {
	p := &pump{free: make(chan *chunk, chunks)}
	for range chunks {
		p.free <- nil // allocated when first needed
	}
	return p
}

func (p *pump) get(ctx context.Context) (*chunk, error) {
	select {
	case c := <-p.free:
		if c == nil {
			c = new(chunk)
		}
		return c, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *pump) release(c *chunk) {
	if c.refs.Add(-1) == 0 {
		p.free <- c
	}
}

// feed is one consumer's view of a layer. It gives io.EOF only after the source did, and the source's size was right.
type feed struct {
	ctx  context.Context // io.Reader has none, and a feed lives for one call
	pump *pump
	ch   chan *chunk
	cur  *chunk
	off  int
}

func (p *pump) feed(ctx context.Context) *feed {
	return &feed{ctx: ctx, pump: p, ch: make(chan *chunk, chunks)}
}

// Read implements io.Reader.
func (f *feed) Read(b []byte) (int, error) {
	for f.cur == nil || f.off == f.cur.n {
		f.drop()
		select {
		case c, ok := <-f.ch:
			if !ok {
				return 0, io.EOF
			}
			f.cur, f.off = c, 0
		case <-f.ctx.Done():
			return 0, context.Cause(f.ctx)
		}
	}
	n := copy(b, f.cur.buf[f.off:f.cur.n])
	f.off += n
	return n, nil
}

// WriteTo implements io.WriterTo, so that io.Copy hashes and discards without copying.
func (f *feed) WriteTo(w io.Writer) (int64, error) {
	var sum int64
	for {
		if f.cur != nil && f.off < f.cur.n {
			n, err := w.Write(f.cur.buf[f.off:f.cur.n])
			f.off += n
			sum += int64(n)
			if err != nil {
				return sum, err
			}
		}
		if _, err := f.Read(nil); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return sum, err
		}
	}
}

func (f *feed) drop() {
	if f.cur != nil {
		f.pump.release(f.cur)
		f.cur = nil
	}
}

// run reads r to its end, gives it to the feeds and ends them. On an error the feeds are left hanging: their context must be
// cancelled, which is what an errgroup does with the error. read is told about every piece.
func (p *pump) run(ctx context.Context, r io.Reader, size int64, feeds []*feed, read func(n int64)) error {
	var sum int64
	for {
		c, err := p.get(ctx)
		if err != nil {
			return err
		}
		n, err := fill(r, c.buf[:])
		c.n = n
		sum += int64(n)
		if sum > size {
			return fmt.Errorf("more than %d bytes: %w", size, cruntime.ErrCorrupt)
		}
		if n == 0 || len(feeds) == 0 {
			p.free <- c
		} else {
			c.refs.Store(int32(len(feeds)))
			for _, f := range feeds {
				f.ch <- c // has room for the whole stock
			}
		}
		read(int64(n))
		if errors.Is(err, io.EOF) {
			if sum != size {
				return fmt.Errorf("ends after %d of %d bytes: %w", sum, size, io.ErrUnexpectedEOF)
			}
			for _, f := range feeds {
				close(f.ch)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// fill is io.ReadFull that hands on the reader's own error, so that a clean end and a broken stream stay two things.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = r.Read(b[n:])
		n += k
	}
	return n, err
}
