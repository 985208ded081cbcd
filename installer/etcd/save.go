package etcd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// answerTimeout is how long a member may take to say that it is there.
const answerTimeout = 5 * time.Second

// Save writes a snapshot of the member's data to file, mode 0600. Nothing is at file before all of it has arrived, its checksum was right and
// its database is sound; what was there before stays until then. progress, if any, is told how many bytes have come.
func (c *Client) Save(ctx context.Context, file string, progress func(n int64)) (*Snapshot, error) {
	// The stream itself waits for a member that does not answer, for ever.
	one, cancelOne := context.WithTimeout(ctx, answerTimeout)
	_, err := c.c.Status(one, c.c.Endpoints()[0])
	cancelOne()
	if err != nil {
		return nil, fmt.Errorf("save a snapshot of etcd: ask %s: %w", c.c.Endpoints()[0], err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // an error here ends the stream
	resp, err := c.c.SnapshotWithVersion(ctx)
	if err != nil {
		return nil, fmt.Errorf("save a snapshot of etcd: %w", err)
	}
	defer func() { _ = resp.Snapshot.Close() }() // only read from
	s, err := save(ctx, file, &counting{r: resp.Snapshot, told: progress})
	if err != nil {
		return nil, fmt.Errorf("save a snapshot of etcd: %w", err)
	}
	return s, nil
}

// save keeps what a stream brings.
func save(ctx context.Context, file string, r io.Reader) (*Snapshot, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	if fi, err := os.Stat(file); err == nil && !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is there and no file", file)
	}
	temp := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".kubebundle") // always the same: one that was killed leaves at most one
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	sum := &summing{h: sha256.New()}
	_, err = io.Copy(io.MultiWriter(f, sum), r)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(temp))
	}
	s, err := arrived(ctx, temp, sum)
	if err != nil {
		return nil, errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, file); err != nil {
		return nil, errors.Join(err, os.Remove(temp))
	}
	s.File = file
	return s, syncDir(filepath.Dir(file))
}

// arrived checks what came, and does not read it again for the checksum that was made on the way.
func arrived(ctx context.Context, file string, sum *summing) (s *Snapshot, err error) {
	if !sum.fits() {
		return ReadSnapshot(ctx, file, false) // which says what is wrong
	}
	defer damaged(file, &err)
	s = &Snapshot{File: file, SHA256: hex.EncodeToString(sum.h.Sum(nil)), Size: sum.n - sha256.Size}
	if err := s.identify(ctx); err != nil {
		return nil, err
	}
	return s, errors.Join(s.count(), ctx.Err())
}

// summing hashes all but the last bytes that it is given, which are the checksum.
type summing struct {
	h    hash.Hash
	last []byte
	n    int64
}

func (s *summing) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	s.last = append(s.last, p...)
	if over := len(s.last) - sha256.Size; over > 0 {
		s.h.Write(s.last[:over])
		s.last = append(s.last[:0], s.last[over:]...)
	}
	return len(p), nil
}

func (s *summing) fits() bool {
	return s.n%sector == sha256.Size && bytes.Equal(s.h.Sum(nil), s.last)
}

// syncDir makes the names in a directory durable, as far as its file system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync() // some cannot, and say so
	return d.Close()
}

// counting tells how far a stream has come.
type counting struct {
	r    io.Reader
	n    int64
	told func(int64)
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.told != nil {
		c.told(c.n)
	}
	return n, err
}
