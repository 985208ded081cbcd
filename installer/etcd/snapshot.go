package etcd

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
)

// Snapshot is a snapshot file that was read to its end and found whole.
type Snapshot struct {
	File string
	// SHA256 is of the database, in hex, as etcd appends it to a snapshot.
	SHA256 string
	// Size is of the database, in bytes.
	Size int64
	// Hash, Revision, Keys and Version are what `etcdutl snapshot status` says.
	Hash     uint32
	Revision int64
	Keys     int
	Version  string
	// Cluster is whose snapshot it is.
	Cluster Identity
}

// SnapshotError says what is wrong with a snapshot file.
type SnapshotError struct {
	File string
	Err  error
	hint string
}

func (e *SnapshotError) Error() string { return e.File + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *SnapshotError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *SnapshotError) Hint() string { return e.hint }

// ErrCutShort is wrapped by the error about a snapshot that lacks its end.
var ErrCutShort = errors.New("it is cut short")

const (
	anotherCopy = "take another copy, or an older snapshot"
	boltMagic   = 0xED0CDAED
	sector      = 512 // a database is a multiple of it
)

// ReadSnapshot reads all of a snapshot file and checks it: the checksum that etcd appends, and the database, page by page. Without a checksum
// (noHash), as a database that was copied from a data directory is, only the database is checked.
func ReadSnapshot(ctx context.Context, file string, noHash bool) (*Snapshot, error) {
	s, err := CheckSnapshot(ctx, file, noHash)
	if err != nil {
		return nil, err
	}
	if noHash { // counted already
		return s, nil
	}
	return s, errors.Join(s.count(), ctx.Err())
}

// count fills in what etcdutl says. It checks each page.
func (s *Snapshot) count() (err error) {
	defer damaged(s.File, &err)
	st, err := snapshot.NewV3(quiet()).Status(s.File)
	if err != nil {
		return &SnapshotError{s.File, fmt.Errorf("its database is damaged: %w", err), anotherCopy}
	}
	s.Hash, s.Revision, s.Keys, s.Version = st.Hash, st.Revision, st.TotalKey, st.Version
	return nil
}

// damaged makes an error of whatever bytes do to the libraries that read them.
func damaged(file string, err *error) {
	if r := recover(); r != nil {
		*err = &SnapshotError{file, fmt.Errorf("its database is damaged: %v", r), anotherCopy}
	}
}

// CheckSnapshot is ReadSnapshot without Hash, Revision, Keys and Version. Where there is a checksum it is what the content is held against,
// which is as the etcd sent it then; else the database is checked page by page.
func CheckSnapshot(ctx context.Context, file string, noHash bool) (s *Snapshot, err error) {
	defer damaged(file, &err)
	sum, size, err := checkSum(ctx, file, noHash)
	if err != nil {
		return nil, err
	}
	s = &Snapshot{File: file, SHA256: sum, Size: size}
	if err = s.identify(ctx); err == nil && noHash {
		err = s.count()
	}
	return s, errors.Join(err, ctx.Err())
}

// identify fills in whose it is.
func (s *Snapshot) identify(ctx context.Context) error {
	file, size := s.File, s.Size
	db, err := bolt.Open(file, 0o400, &bolt.Options{ReadOnly: true, Timeout: 2 * time.Second})
	if err != nil {
		return &SnapshotError{file, fmt.Errorf("open its database: %w", err), "a database that an etcd has open cannot be read: `install etcd snapshot save`"}
	}
	err = db.View(func(tx *bolt.Tx) error {
		// Before anything else is read: a page behind the end of the file would be a bus error.
		if tx.Size() > size {
			return &SnapshotError{file, fmt.Errorf("%w: %d of the %d bytes of its database are there", ErrCutShort, size, tx.Size()), anotherCopy}
		}
		return identify(ctx, tx, &s.Cluster)
	})
	return errors.Join(err, db.Close())
}

// checkSum hashes the database and compares with what stands behind it.
func checkSum(ctx context.Context, file string, noHash bool) (sum string, size int64, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = f.Close() }() // only read from
	fi, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	head := make([]byte, 20)
	if _, err := io.ReadFull(f, head); err != nil || binary.NativeEndian.Uint32(head[16:]) != boltMagic {
		return "", 0, &SnapshotError{file, errors.New("it is no snapshot of etcd: it does not begin as one"), "make one with `install etcd snapshot save`"}
	}
	size = fi.Size()
	hasSum := size%sector == sha256.Size
	switch {
	case hasSum:
		size -= sha256.Size
	case !noHash:
		return "", 0, &SnapshotError{
			file, fmt.Errorf("%w, or was copied from a data directory: the checksum that etcd appends is missing", ErrCutShort),
			anotherCopy + "; a database that was copied while no etcd ran is taken with --skip-hash-check",
		}
	}
	h := sha256.New()
	h.Write(head)
	for left := size - int64(len(head)); left > 0; {
		if err := ctx.Err(); err != nil {
			return "", 0, err
		}
		n, err := io.CopyN(h, f, min(left, 8<<20))
		if left -= n; err != nil {
			return "", 0, err
		}
	}
	sum = hex.EncodeToString(h.Sum(nil))
	if !hasSum || noHash {
		return sum, size, nil
	}
	want := make([]byte, sha256.Size)
	if _, err := io.ReadFull(f, want); err != nil {
		return "", 0, err
	}
	if hex.EncodeToString(want) != sum {
		return "", 0, &SnapshotError{file, fmt.Errorf("its content does not fit its checksum: sha256 is %s, not %x", sum, want), anotherCopy}
	}
	return sum, size, nil
}
