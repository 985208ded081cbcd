package imagestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// GuessSize tells how many bytes the uncompressed tar of a layer has, as far as that can be known without unpacking it; 0 if it cannot.
// It is for those who must know the size before the content. It is a guess because gzip's trailer (RFC 1952, 2.3.1) holds the size of the
// last member alone, modulo 2^32, and nobody has to write the truth there: only what Open gave, to its end, counts.
// It waits for a running Fetch, or fetches itself.
func (s *Store) GuessSize(ctx context.Context, l Layer) (int64, error) {
	if err := s.ensureBlob(ctx, l.Blob); err != nil {
		return 0, fmt.Errorf("open layer %s: %w", l.Blob.Digest, err)
	}
	f, err := os.Open(s.cache.blob(l.Blob.Digest))
	if err != nil {
		return 0, fmt.Errorf("open layer: %w", err)
	}
	defer f.Close()
	n, err := trailerSize(f)
	if err != nil {
		return 0, fmt.Errorf("open layer %s: %w", l.Blob.Digest, err)
	}
	return n, nil
}

const (
	gzipOverhead = 18  // bytes of the shortest header and the trailer
	tarBlock     = 512 // bytes; a tar is a number of them
)

// trailerSize reads ISIZE, the last four bytes of a gzip file, and gives 0 where they cannot be the size of a tar that became this file.
// That finds the usual files of several members (eStargz ends in an empty one) and those of 4 GiB and more.
func trailerSize(f *os.File) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if st.Size() < gzipOverhead {
		return 0, nil
	}
	var magic [2]byte
	var size [4]byte
	_, err = f.ReadAt(magic[:], 0)
	_, err2 := f.ReadAt(size[:], st.Size()-int64(len(size)))
	if err := errors.Join(err, err2); err != nil {
		return 0, fmt.Errorf("read cache: %w", err)
	}
	n := int64(binary.LittleEndian.Uint32(size[:]))
	if magic != [2]byte{0x1f, 0x8b} || n%tarBlock != 0 || n < st.Size() {
		return 0, nil
	}
	return n, nil
}
