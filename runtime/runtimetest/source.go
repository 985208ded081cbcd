package runtimetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	goruntime "runtime"
	"slices"

	cruntime "kubebundle/runtime"
)

func arch() string { return goruntime.GOARCH }

// Piece is one entry of a source.
type Piece struct {
	Blob cruntime.Blob
	Data []byte
}

// Source is content from memory. The hooks break it.
type Source struct {
	Pieces []Piece
	// Reads counts the calls of Next.
	Reads int
	// EndEarly makes the source end with err when it comes to this many bytes of layers. 0 means never.
	EndEarly int64
	Err      error
	// Before is called before each read of layer bytes, with the number of those given so far.
	Before func(given int64)

	given int64
	cur   io.Reader
}

// NewSource gives the content of images as a bundle does: each blob and each layer once, blobs first, layers in the order of the images.
func NewSource(list ...Image) *Source {
	s := &Source{}
	seen := map[string]bool{}
	add := func(data []byte, layer bool) {
		d := Digest(data)
		if !seen[d] {
			seen[d] = true
			s.Pieces = append(s.Pieces, Piece{Blob: cruntime.Blob{Digest: d, Size: int64(len(data)), Layer: layer}, Data: data})
		}
	}
	for _, i := range list {
		for _, d := range []string{i.Target.Digest, i.Manifest.Digest, i.Config.Digest} {
			add(i.Blobs[d], false)
		}
	}
	for _, i := range list {
		for _, l := range i.Layers {
			add(l, true)
		}
	}
	return s
}

// Corrupt changes one bit in the middle of a piece and leaves its announced digest.
func (s *Source) Corrupt(digest string) *Source {
	for i, p := range s.Pieces {
		if p.Blob.Digest == digest {
			p.Data = slices.Clone(p.Data)
			p.Data[len(p.Data)/2] ^= 1
			s.Pieces[i] = p
			return s
		}
	}
	panic("no piece " + digest)
}

// Next implements cruntime.Source.
func (s *Source) Next() (cruntime.Blob, io.Reader, error) {
	if s.Reads == len(s.Pieces) {
		return cruntime.Blob{}, nil, io.EOF
	}
	p := s.Pieces[s.Reads]
	s.Reads++
	s.cur = bytes.NewReader(p.Data)
	if p.Blob.Layer {
		return p.Blob, s, nil
	}
	return p.Blob, s.cur, nil
}

// Read implements io.Reader for the current layer.
func (s *Source) Read(b []byte) (int, error) {
	if s.Before != nil {
		s.Before(s.given)
	}
	if s.EndEarly > 0 {
		left := s.EndEarly - s.given
		if left <= 0 {
			return 0, s.Err
		}
		b = b[:min(int64(len(b)), left)]
	}
	n, err := s.cur.Read(b)
	s.given += int64(n)
	return n, err
}

// Verifying is a source that hashes what it gives, as a bundle's payload does.
type Verifying struct{ *Source }

// Next implements cruntime.Source. The readers are cruntime.Verified.
func (v Verifying) Next() (cruntime.Blob, io.Reader, error) {
	b, r, err := v.Source.Next()
	return b, &verifier{r: r, digest: b.Digest, sum: sha256.New()}, err
}

type verifier struct {
	r      io.Reader
	digest string
	sum    hash.Hash
}

// Verified implements cruntime.Verified.
func (v *verifier) Verified() string { return v.digest }

// Read implements io.Reader.
func (v *verifier) Read(b []byte) (int, error) {
	n, err := v.r.Read(b)
	v.sum.Write(b[:n])
	if got := "sha256:" + hex.EncodeToString(v.sum.Sum(nil)); errors.Is(err, io.EOF) && got != v.digest {
		return n, fmt.Errorf("%s instead of %s: %w", got, v.digest, cruntime.ErrCorrupt)
	}
	return n, err
}
