package imagestore

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxZstdWindow bounds what a layer can make the decoder keep in memory, in bytes.
const maxZstdWindow = 128 << 20

// Open opens the uncompressed tar of a layer. The reader returns io.EOF only if the blob's digest and the diff ID were right.
// It waits for a running Fetch, or fetches itself. The context ends reading, too.
func (s *Store) Open(ctx context.Context, l Layer) (io.ReadCloser, error) {
	if err := checkDigest(l.DiffID); err != nil {
		return nil, fmt.Errorf("open layer: %w", err)
	}
	if err := s.ensureBlob(ctx, l.Blob); err != nil {
		return nil, fmt.Errorf("open layer %s: %w", l.Blob.Digest, err)
	}
	f, err := os.Open(s.cache.blob(l.Blob.Digest))
	if err != nil {
		return nil, fmt.Errorf("open layer: %w", err)
	}
	r := &layerReader{layer: l, file: f, blobHash: sha256.New(), tarHash: sha256.New()}
	r.blob = bufio.NewReaderSize(io.TeeReader(ctxReader{ctx, f}, r.blobHash), 128<<10)
	if err := r.decompress(); err != nil {
		r.Close() //nolint:errcheck,gosec // only read
		return nil, fmt.Errorf("open layer %s: %w", l.Blob.Digest, err)
	}
	return r, nil
}

// layerReader hashes on both sides of the decompression.
type layerReader struct {
	layer    Layer
	file     *os.File
	blob     *bufio.Reader // compressed, hashed
	blobHash hash.Hash
	tar      io.Reader // uncompressed
	tarHash  hash.Hash
	stop     func()
	err      error // sticky
}

// decompress looks at the first bytes rather than at the media type: plain tars under a gzip type exist, and the diff ID proves the result.
func (r *layerReader) decompress() error {
	magic, err := r.blob.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(r.blob)
		if err != nil {
			return err
		}
		r.tar = z
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(r.blob, zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		r.tar, r.stop = z, z.Close
	default:
		r.tar = r.blob
	}
	return nil
}

func (r *layerReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.tar.Read(p)
	r.tarHash.Write(p[:n])
	switch {
	case errors.Is(err, io.EOF):
		r.err = r.check()
	case err != nil:
		r.err = fmt.Errorf("layer %s: %w", r.layer.Blob.Digest, err)
	}
	return n, r.err
}

// check compares both digests and gives io.EOF if they are right.
func (r *layerReader) check() error {
	if _, err := io.Copy(io.Discard, r.blob); err != nil { // bytes after the compressed stream belong to the blob
		return fmt.Errorf("layer %s: %w", r.layer.Blob.Digest, err)
	}
	if got := digestOf(r.blobHash); got != r.layer.Blob.Digest {
		return &DigestError{What: "blob", Want: r.layer.Blob.Digest, Got: got}
	}
	if got := digestOf(r.tarHash); got != r.layer.DiffID {
		return &DigestError{What: "tar of layer " + r.layer.Blob.Digest, Want: r.layer.DiffID, Got: got}
	}
	return io.EOF
}

func (r *layerReader) Close() error {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
	if r.err == nil {
		r.err = os.ErrClosed
	}
	return r.file.Close()
}
