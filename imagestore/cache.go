package imagestore

import (
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
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const digestPrefix = "sha256:"

var sha256Digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// checkDigest refuses what is no sha256 digest, before it becomes part of a path.
func checkDigest(d string) error {
	if !sha256Digest.MatchString(d) {
		return fmt.Errorf("digest %q: %w: want sha256 with 64 hex digits", d, ErrUnsupported)
	}
	return nil
}

// cache is the content-addressed directory; see the package documentation for its layout.
type cache struct{ dir string }

func newCache(dir string) (*cache, error) {
	for _, sub := range []string{"blobs/sha256", "partial", "known"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil { //nolint:gosec // public content, shared between users on purpose
			return nil, err
		}
	}
	return &cache{dir: dir}, nil
}

// blob is the path of a digest that passed checkDigest.
func (c *cache) blob(digest string) string {
	hexes := strings.TrimPrefix(digest, digestPrefix)
	return filepath.Join(c.dir, "blobs", "sha256", hexes[:2], hexes)
}

func (c *cache) known(kind, sum string) string {
	return filepath.Join(c.dir, "known", kind+"-"+sum)
}

// verify hashes a blob. It reports whether the right content is there; a wrong one is removed.
func (c *cache) verify(ctx context.Context, digest string, size int64) (bool, error) {
	f, err := os.Open(c.blob(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return false, err
	}
	if size < 0 || st.Size() == size {
		h := sha256.New()
		if _, err := io.Copy(h, ctxReader{ctx, f}); err != nil {
			return false, fmt.Errorf("read cache: %w", err)
		}
		if digestOf(h) == digest {
			return true, nil
		}
	}
	if !stillAt(f, c.blob(digest)) { // another process has healed it meanwhile
		return false, nil
	}
	if err := os.Remove(c.blob(digest)); err != nil {
		return false, fmt.Errorf("remove damaged cache entry: %w", err)
	}
	return false, nil
}

// get reads a small verified blob, nil if it is not there.
func (c *cache) get(ctx context.Context, digest string, size int64) ([]byte, error) {
	ok, err := c.verify(ctx, digest, size)
	if err != nil || !ok {
		return nil, err
	}
	data, err := os.ReadFile(c.blob(digest))
	if err != nil {
		return nil, err
	}
	if sumOf(data) != digest {
		return nil, &DigestError{What: "cache entry " + c.blob(digest), Want: digest, Got: sumOf(data)}
	}
	return data, nil
}

// put stores a small blob whose digest the caller has verified. It is written where downloads are, under a name that the next process
// takes over: what a killed one leaves does not pile up.
func (c *cache) put(ctx context.Context, digest string, data []byte) error {
	return c.write(ctx, "sha256-"+strings.TrimPrefix(digest, digestPrefix), data, c.blob(digest), 0o444)
}

// note stores the digest of a file whose published checksum is of another kind.
func (c *cache) note(ctx context.Context, kind, sum, digest string) error {
	return c.write(ctx, "known-"+kind+"-"+sum, []byte(digest+"\n"), c.known(kind, sum), 0o644)
}

// write makes data a file of the cache, through a partial file of a name.
func (c *cache) write(ctx context.Context, name string, data []byte, to string, mode fs.FileMode) error {
	p, err := c.lockPartial(ctx, name)
	if err != nil {
		return err
	}
	defer p.close() //nolint:errcheck // synced before it was renamed, worthless otherwise
	if err := p.reset(); err != nil {
		return err
	}
	if _, err := p.f.Write(data); err != nil {
		return err
	}
	return p.rename(to, mode)
}

// partial is a locked file that a download is written to.
type partial struct {
	f    *os.File
	path string
}

// lockPartial opens the partial file of a name and waits until no other process works on it.
func (c *cache) lockPartial(ctx context.Context, name string) (*partial, error) {
	path := filepath.Join(c.dir, "partial", name)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // as newCache
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && stillAt(f, path) {
			return &partial{f: f, path: path}, nil
		}
		f.Close() //nolint:gosec // nothing was written
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stillAt says whether an open file is what the path names: the process that held the lock may have renamed or removed it.
func stillAt(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// commit makes a complete and verified partial file the blob of a digest.
func (p *partial) commit(c *cache, digest string) error { return p.rename(c.blob(digest), 0o444) }

// rename puts a complete file on disk and in its place. Its mode comes last: killed before, it leaves a file that the next process can write to.
func (p *partial) rename(to string, mode fs.FileMode) error {
	if err := p.f.Sync(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // as newCache
		return err
	}
	if err := os.Rename(p.path, to); err != nil {
		return err
	}
	if err := p.f.Chmod(mode); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// discard removes a partial file that turned out to be needless.
func (p *partial) discard() error { return os.Remove(p.path) }

// close lets go of the lock. What was written stays for the next try; an empty file does not.
func (p *partial) close() error {
	if st, err := p.f.Stat(); err == nil && st.Size() == 0 && stillAt(p.f, p.path) {
		return errors.Join(p.discard(), p.f.Close())
	}
	return p.f.Close()
}

// reset empties the file.
func (p *partial) reset() error {
	if err := p.f.Truncate(0); err != nil {
		return err
	}
	_, err := p.f.Seek(0, io.SeekStart)
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func digestOf(h hash.Hash) string { return digestPrefix + hex.EncodeToString(h.Sum(nil)) }

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return digestPrefix + hex.EncodeToString(sum[:])
}

// ctxReader stops reading once the context has ended.
type ctxReader struct {
	ctx context.Context // lives as long as one copy
	r   io.Reader
}

func (r ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
