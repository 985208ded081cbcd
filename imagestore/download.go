package imagestore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
)

// maxChecksumFile bounds a checksum file, in bytes.
const maxChecksumFile = 1 << 20

// Checksum is a checksum file that is published beside a download.
type Checksum struct {
	Kind string // sha512, sha256 or sha1
	URL  string // upstream address; Options.BinaryMirrors apply to it as well
}

// DownloadRequest asks for one file that is not an image.
type DownloadRequest struct {
	URL string // upstream address; Options.BinaryMirrors apply to it
	// Checksums are the published checksum files, strongest first. The first that exists decides.
	Checksums []Checksum
}

// File is a downloaded and verified file of the cache.
type File struct {
	Path     string // in the cache: read only, named by its digest; read it through Open
	SHA256   string // sha256:<hex>
	Size     int64  // bytes
	Source   string // upstream address, as requested
	Fetched  string // address that it comes from, after mirrors, without password
	Checksum string // published checksum that it was checked against: "sha512:<hex>"
	Cached   bool   // it was in the cache already
}

// Open opens the file. The reader returns io.EOF only if the content still has its digest.
func (f *File) Open() (io.ReadCloser, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, fmt.Errorf("open download: %w", err)
	}
	return &fileReader{file: file, want: f.SHA256, hash: sha256.New()}, nil
}

type fileReader struct {
	file *os.File
	want string
	hash hash.Hash
}

func (r *fileReader) Read(p []byte) (int, error) {
	n, err := r.file.Read(p)
	r.hash.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if got := digestOf(r.hash); got != r.want {
			return n, &DigestError{What: r.file.Name(), Want: r.want, Got: got}
		}
	}
	return n, err
}

func (r *fileReader) Close() error { return r.file.Close() }

// Download fetches a file through the cache and checks it against its strongest published checksum. The checksum is asked for each time, so
// a file that was published anew is noticed; the file itself is only fetched if the cache does not have it. A checksum file that does not
// exist gives way to the next kind; one that cannot be reached does not, since that would let whoever blocks it choose the weaker kind.
func (s *Store) Download(ctx context.Context, r DownloadRequest) (*File, error) {
	kind, sum, err := s.publishedSum(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("download %s: %w", redactURL(r.URL), err)
	}
	key := kind + ":" + sum
	if err := s.once(ctx, key, func() error { return s.ensureFile(ctx, r, kind, sum) }); err != nil {
		return nil, fmt.Errorf("download %s: %w", redactURL(r.URL), err)
	}
	s.mu.Lock()
	f := *s.files[key]
	s.mu.Unlock()
	f.Source, f.Fetched = r.URL, redactURL(s.binaryURL(r.URL))
	return &f, nil
}

// ensureFile brings a file whose checksum is known into the cache, unless it is there.
func (s *Store) ensureFile(ctx context.Context, r DownloadRequest, kind, sum string) error {
	key := kind + ":" + sum
	s.mu.Lock()
	have := s.files[key]
	s.mu.Unlock()
	if have != nil && s.isVerified(have.SHA256, have.Size) {
		return nil
	}
	keep := func(res result, cached bool) {
		f := &File{Path: s.cache.blob(res.digest), SHA256: res.digest, Size: res.size, Checksum: key, Cached: cached}
		s.mu.Lock()
		s.files[key] = f
		s.mu.Unlock()
		s.markVerified(res.digest)
		if cached {
			s.tell(Event{Ref: r.URL, Digest: res.digest, Done: res.size, Size: res.size, Cached: true})
		}
	}
	if res, ok, err := s.knownFile(ctx, kind, sum); err != nil {
		return err
	} else if ok {
		keep(res, true)
		return nil
	}
	release, err := s.slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	p, err := s.cache.lockPartial(ctx, kind+"-"+sum)
	if err != nil {
		return err
	}
	defer p.close()                                                    //nolint:errcheck // synced before it was renamed, worthless otherwise
	if res, ok, err := s.knownFile(ctx, kind, sum); err == nil && ok { // another process brought it meanwhile
		keep(res, true)
		return p.discard()
	}
	t := transfer{
		what: redactURL(s.binaryURL(r.URL)), kind: kind, sum: sum, size: -1,
		request: func(ctx context.Context, from int64) (*http.Response, error) {
			return s.getURL(ctx, s.binaryURL(r.URL), from)
		},
		report: func(done, size int64) { s.tell(Event{Ref: r.URL, Done: done, Size: size}) },
	}
	res, err := s.run(ctx, t, p)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err = s.explain(err, r.URL)
		s.tell(Event{Ref: r.URL, Err: err})
		return err
	}
	if err := p.commit(s.cache, res.digest); err != nil {
		return fmt.Errorf("write cache: %w", err)
	}
	if err := s.cache.note(ctx, kind, sum, res.digest); err != nil {
		return fmt.Errorf("write cache: %w", err)
	}
	keep(res, false)
	return nil
}

// knownFile looks a checksum up in the cache. The note that leads to the blob is only a hint: the blob is hashed with the published kind.
func (s *Store) knownFile(ctx context.Context, kind, sum string) (result, bool, error) {
	digest := digestPrefix + sum
	if kind != "sha256" {
		note, err := os.ReadFile(s.cache.known(kind, sum))
		if err != nil {
			return result{}, false, nil // no note, no file
		}
		digest = strings.TrimSpace(string(note))
	}
	if checkDigest(digest) != nil {
		return result{}, false, nil
	}
	if ok, err := s.cache.verify(ctx, digest, -1); err != nil || !ok {
		return result{}, false, err
	}
	f, err := os.Open(s.cache.blob(digest))
	if err != nil {
		return result{}, false, err
	}
	defer f.Close()
	h := newHash(kind)
	n, err := io.Copy(h, ctxReader{ctx, f})
	if err != nil {
		return result{}, false, fmt.Errorf("read cache: %w", err)
	}
	return result{digest: digest, size: n}, hexOf(h) == sum, nil
}

// publishedSum fetches the strongest checksum that exists.
func (s *Store) publishedSum(ctx context.Context, r DownloadRequest) (kind, sum string, err error) {
	var missing []string
	for _, c := range r.Checksums {
		h := newHash(c.Kind)
		if h == nil {
			return "", "", fmt.Errorf("checksum kind %q: %w", c.Kind, ErrUnsupported)
		}
		address := s.binaryURL(c.URL)
		var text []byte
		err := s.retry(ctx, redactURL(address), func() (bool, error) {
			ctx, cancel := context.WithTimeout(ctx, s.o.StallTimeout)
			defer cancel()
			resp, err := s.getURL(ctx, address, 0)
			if err != nil {
				return false, err
			}
			defer resp.Body.Close()
			text, err = io.ReadAll(io.LimitReader(resp.Body, maxChecksumFile))
			return false, err
		})
		switch {
		case statusOf(err) == http.StatusNotFound:
			missing = append(missing, redactURL(address))
			continue
		case ctx.Err() != nil:
			return "", "", ctx.Err()
		case err != nil:
			return "", "", s.explain(err, c.URL)
		}
		sum, ok := parseChecksum(string(text), r.URL, h.Size())
		if !ok {
			return "", "", fmt.Errorf("%s: %w: no %s checksum of %s in it", redactURL(address), ErrDigest, c.Kind, fileName(r.URL))
		}
		return c.Kind, sum, nil
	}
	if len(missing) == 0 {
		return "", "", fmt.Errorf("%w: no published checksum is known, and nothing unverified is taken", ErrUnsupported)
	}
	if s.exists(ctx, r.URL) {
		return "", "", fmt.Errorf("%w: the file is there, but none of its checksum files is (%s), and nothing unverified is taken", ErrNoChecksum, strings.Join(missing, ", "))
	}
	return "", "", fmt.Errorf("%w: none of its checksum files exists (%s): check the version, and what the mirror holds", ErrNotFound, strings.Join(missing, ", "))
}

// exists says whether a file is there, as far as its server tells. It is a help inside an error.
func (s *Store) exists(ctx context.Context, upstream string) bool {
	ctx, cancel := context.WithTimeout(ctx, s.o.StallTimeout)
	defer cancel()
	resp, err := s.getURL(ctx, s.binaryURL(upstream), 0)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // the answer's beginning was all that is wanted
	return true
}

// parseChecksum finds the checksum of a file: a bare one, or a line of `sha256sum` output, whose name need only match if there are several.
func parseChecksum(text, address string, size int) (string, bool) {
	found := ""
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) == 0 || len(fields) > 2 {
			continue
		}
		named := len(fields) == 2 && path.Base(strings.TrimPrefix(fields[1], "*")) == fileName(address)
		if len(lines) > 1 && !named {
			continue
		}
		sum := strings.ToLower(fields[0])
		if raw, err := hex.DecodeString(sum); err != nil || len(raw) != size {
			return "", false
		}
		if found != "" && found != sum {
			return "", false
		}
		found = sum
	}
	return found, found != ""
}

func fileName(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return path.Base(address)
	}
	return path.Base(u.Path)
}

// getURL is one GET of a plain address, from an offset on.
func (s *Store) getURL(ctx context.Context, address string, from int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "kubebundle")
	// A server that compresses on the way would make ranges and sizes mean something else.
	req.Header.Set("Accept-Encoding", "identity")
	ok := []int{http.StatusOK}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		ok = append(ok, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable)
	}
	rt := s.plain
	if s.isInsecure(req.URL.Host) {
		rt = s.insecure
	}
	resp, err := (&http.Client{Transport: rt, CheckRedirect: noDowngrade}).Do(req)
	if err != nil {
		return nil, withoutQuery(err)
	}
	if err := checkStatus(resp, ok...); err != nil {
		resp.Body.Close() //nolint:gosec // only read
		return nil, err
	}
	return resp, nil
}

// explain says where a download failed, and that a mirror stood in if one did.
func (s *Store) explain(err error, upstream string) error {
	address := s.binaryURL(upstream)
	var host string
	if u, parseErr := url.Parse(address); parseErr == nil {
		host = u.Host
	}
	err = classify(err, host)
	if address != upstream {
		return fmt.Errorf("mirror %s: %w", redactURL(address), err)
	}
	if errors.Is(err, ErrUnreachable) {
		return fmt.Errorf("%w (a way around: the HTTPS_PROXY variable, or --binary-mirror URL)", err)
	}
	return err
}

// withoutQuery cuts the query off the address in an error: after a redirect to object storage it holds a signature.
func withoutQuery(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		ue.URL, _, _ = strings.Cut(ue.URL, "?")
	}
	return err
}
