package builder

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"

	"kubebundle/bundle"
	"kubebundle/release"
)

// content gives bundle.Write what the contract speaks of.
type content struct {
	store  Store
	arch   release.Arch
	files  map[string]packed
	outer  map[string]packed
	blobs  map[string][]byte
	layers map[string]*layer
	cursor cursor
	exact  bool // sizes of layers are measured, not guessed
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
	case p.pinned != nil:
		return openPinned(p.cached, p.pinned)
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
