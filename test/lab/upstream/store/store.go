// Package store keeps the content of the lab's images: blobs by digest, and for every layer a note of its two digests.
// Files are written beside their place, hashed on the way, and renamed when complete.
package store

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Store is a folder of blobs.
type Store struct{ Dir string }

// Layer is a gzip layer: Digest and Size of the blob, DiffID of the tar inside.
type Layer struct {
	Digest string `json:"digest"`
	DiffID string `json:"diffID"`
	Size   int64  `json:"size"`
}

// Path is where a blob lies. digest is "sha256:<hex>".
func (s Store) Path(digest string) string {
	return filepath.Join(s.Dir, "blobs", "sha256", filepath.Base(digest[len("sha256:"):]))
}

// Put stores bytes and returns their digest.
func (s Store) Put(b []byte) (string, error) {
	sum := sha256.Sum256(b)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if _, err := os.Stat(s.Path(digest)); err == nil {
		return digest, nil
	}
	_, _, err := s.write(func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
	return digest, err
}

// write stores what fill writes under its digest.
func (s Store) write(fill func(w io.Writer) error) (string, int64, error) {
	dir := filepath.Dir(s.Path("sha256:x"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", 0, err
	}
	f, err := os.CreateTemp(dir, ".part-*")
	if err != nil {
		return "", 0, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after the rename
	defer f.Close()
	h := &counter{h: sha256.New()}
	buf := bufio.NewWriterSize(io.MultiWriter(f, h), 1<<20)
	if err := errors.Join(fill(buf), buf.Flush(), f.Close()); err != nil {
		return "", 0, err
	}
	digest := "sha256:" + hex.EncodeToString(h.h.Sum(nil))
	return digest, h.n, os.Rename(f.Name(), s.Path(digest))
}

// Layer makes a layer from what fill writes, or finds the one that was made under the same key.
func (s Store) Layer(key string, fill func(tw *tar.Writer) error) (Layer, error) {
	note := filepath.Join(s.Dir, "layers", key+".json")
	var l Layer
	b, err := os.ReadFile(note)
	if err == nil {
		if err := json.Unmarshal(b, &l); err != nil {
			return l, fmt.Errorf("layer %s: %w", key, err)
		}
		if fi, err := os.Stat(s.Path(l.Digest)); err == nil && fi.Size() == l.Size {
			return l, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return l, err
	}
	diff := &counter{h: sha256.New()}
	l.Digest, l.Size, err = s.write(func(w io.Writer) error {
		gz := gzip.NewWriter(w) // the default level, as docker uses it
		tw := tar.NewWriter(io.MultiWriter(gz, diff))
		return errors.Join(fill(tw), tw.Close(), gz.Close())
	})
	if err != nil {
		return l, fmt.Errorf("make layer %s: %w", key, err)
	}
	l.DiffID = "sha256:" + hex.EncodeToString(diff.h.Sum(nil))
	if b, err = json.Marshal(l); err != nil {
		return l, err
	}
	if err := os.MkdirAll(filepath.Dir(note), 0o755); err != nil {
		return l, err
	}
	if err := os.WriteFile(note+".part", b, 0o644); err != nil {
		return l, err
	}
	return l, os.Rename(note+".part", note)
}

type counter struct {
	h hash.Hash
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.h.Write(p)
}
