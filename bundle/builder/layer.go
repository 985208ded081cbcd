package builder

import (
	"context"
	"errors"
	"fmt"
	"io"

	"kubebundle/bundle"
	"kubebundle/imagestore"
)

// layer is a layer of the store.
type layer struct {
	imagestore.Layer
	size  int64 // bytes of the tar
	known bool  // size is that of a tar that was read to its end, and verified

	uses    []use
	foreign foreignFiles
	scanned bool // foreign is known
}

// wrongGuess says that a layer turned out to be of another size than its tar header says, which is written by then.
type wrongGuess struct{ digest string }

func (e *wrongGuess) Error() string {
	return fmt.Sprintf("the size of blob %s was guessed wrongly", e.digest)
}

// Layer tells a size before the content is unpacked. To unpack every layer twice would cost more than all the rest of
// a build with fast compression, so the store guesses; the reader checks, and on a wrong guess the payload is begun
// again by retry. What is in the bundle does not depend on guesses.
func (c *content) Layer(ctx context.Context, l bundle.Layer) (io.ReadCloser, int64, error) {
	m := c.layers[l.DiffID]
	if err := c.size(ctx, m); err != nil {
		return nil, 0, err
	}
	r, err := c.openScanned(ctx, m, func() error {
		if e := c.judge(m); e != nil {
			return e
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return &layerReader{ReadCloser: r, layer: m, want: m.size}, m.size, nil
}

// retry says whether an error of bundle.Write is worth another try. That one does not guess.
func (c *content) retry(err error) bool {
	var guess *wrongGuess
	if c.exact || !errors.As(err, &guess) {
		return false
	}
	c.exact = true
	return true
}

func (c *content) size(ctx context.Context, l *layer) (err error) {
	if l.known {
		return nil
	}
	if !c.exact {
		l.size, err = c.store.GuessSize(ctx, l.Layer)
		if err != nil || l.size > 0 {
			return err
		}
	}
	r, err := c.store.Open(ctx, l.Layer)
	if err != nil {
		return err
	}
	l.size, err = io.Copy(io.Discard, r)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	l.known = err == nil
	return err
}

// layerReader compares a layer's length with what was guessed. io.EOF of the store means that the content is verified.
type layerReader struct {
	io.ReadCloser
	layer *layer
	want  int64
	n     int64
}

func (r *layerReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.n += int64(n)
	if r.n > r.want && err == nil {
		var rest int64
		rest, err = io.Copy(io.Discard, r.ReadCloser)
		r.n += rest
		if err == nil {
			err = io.EOF
		}
	}
	switch {
	case errors.Is(err, io.EOF):
	case r.n > r.want:
		return 0, err // nothing beyond the guess is given out: the writer would complain about that first
	default:
		return n, err
	}
	r.layer.size, r.layer.known = r.n, true
	if r.n != r.want {
		return 0, &wrongGuess{digest: r.layer.Blob.Digest}
	}
	return n, io.EOF
}
