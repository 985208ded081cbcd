package builder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"kubebundle/bundle"
	"kubebundle/imagestore"
)

// content gives bundle.Write what the contract speaks of.
type content struct {
	store  Store
	files  map[string]packed
	outer  map[string]packed
	blobs  map[string][]byte
	layers map[string]*layer
	cursor cursor
}

// layer is a layer of the store with its size, once that is measured.
type layer struct {
	imagestore.Layer
	measured chan struct{} // closed when size and err are set
	size     int64
	err      error
}

func (c *content) Outer(_ context.Context, f bundle.File) (io.ReadCloser, error) {
	return c.open(c.outer[f.Path])
}

func (c *content) File(_ context.Context, f bundle.File) (io.ReadCloser, error) {
	return c.open(c.files[f.Path])
}

func (c *content) open(p packed) (io.ReadCloser, error) {
	switch {
	case p.archive:
		return c.cursor.open(p.cached, p.member)
	case p.cached != "":
		return os.Open(p.cached)
	}
	return io.NopCloser(bytes.NewReader(p.data)), nil
}

func (c *content) Blob(_ context.Context, d bundle.Descriptor) (io.ReadCloser, error) {
	data, ok := c.blobs[d.Digest]
	if !ok {
		return nil, errors.New("the store did not give this blob")
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (c *content) Layer(ctx context.Context, l bundle.Layer) (io.ReadCloser, int64, error) {
	m := c.layers[l.DiffID]
	select {
	case <-m.measured:
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	if m.err != nil {
		return nil, 0, m.err
	}
	r, err := c.store.Open(ctx, m.Layer)
	return r, m.size, err
}

// measure reads every layer once, in the order in which it will be packed, to learn its size. It runs ahead of the
// encoder, which is the slower one by far.
func (c *content) measure(ctx context.Context, entries []bundle.Entry) error {
	for _, e := range entries {
		if e.Kind != bundle.KindLayer {
			continue
		}
		l := c.layers[e.Digest]
		l.size, l.err = c.sizeOf(ctx, l.Layer)
		close(l.measured)
		if l.err != nil {
			return fmt.Errorf("pack %s: %w", e.Path, l.err)
		}
	}
	return nil
}

func (c *content) sizeOf(ctx context.Context, l imagestore.Layer) (int64, error) {
	r, err := c.store.Open(ctx, l)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, r)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return n, err
}
