package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/klauspost/compress/zstd"
)

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func zeroDigest(n int64) string {
	h := sha256.New()
	_, _ = io.CopyN(h, zeros{}, n) // neither side fails
	return digestAlgo + hex.EncodeToString(h.Sum(nil))
}

// testEncoder is bundletest.Encoder for the tests inside this package, which cannot import that one.
type testEncoder struct{}

func (testEncoder) Name() string { return "test" }

func (testEncoder) Encode(w io.Writer) (Frame, error) {
	z, err := zstd.NewWriter(w, zstd.WithWindowSize(MaxWindow), zstd.WithEncoderConcurrency(1))
	return testFrame{z}, err
}

type testFrame struct{ *zstd.Encoder }

func (f testFrame) Abort() { f.Reset(nil) }
