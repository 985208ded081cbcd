package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
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
