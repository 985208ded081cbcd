package imagestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// maxDocument bounds manifests and configs, in bytes. The distribution specification asks for 4 MiB at least.
const maxDocument = 8 << 20

// get is one authenticated GET below /v2/<repository>/.
func (s *Store) get(ctx context.Context, repo name.Repository, path string, header http.Header, ok ...int) (*http.Response, error) {
	rt, err := s.connect(ctx, repo)
	if err != nil {
		return nil, err
	}
	u := repo.Scheme() + "://" + repo.RegistryStr() + "/v2/" + repo.RepositoryStr() + "/" + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	client := &http.Client{Transport: rt, CheckRedirect: noDowngrade}
	resp, err := client.Do(req)
	if err != nil {
		return nil, withoutQuery(err)
	}
	if err := checkStatus(resp, ok...); err != nil {
		resp.Body.Close() //nolint:gosec // only read
		return nil, err
	}
	return resp, nil
}

// document gets a small document with retries. It is not verified yet.
func (s *Store) document(ctx context.Context, repo name.Repository, path string, accept []string) (data []byte, mediaType string, err error) {
	header := http.Header{}
	if len(accept) > 0 {
		header.Set("Accept", strings.Join(accept, ","))
	}
	err = s.retry(ctx, repo.Name()+"/"+path, func() (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, s.o.StallTimeout)
		defer cancel()
		resp, err := s.get(ctx, repo, path, header, http.StatusOK)
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		mediaType = resp.Header.Get("Content-Type")
		data, err = io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
		if err == nil && len(data) > maxDocument {
			return false, fmt.Errorf("document of more than %d bytes: %w", maxDocument, ErrUnsupported)
		}
		return false, err
	})
	return data, mediaType, err
}

// verified gets a document by digest, through the cache.
func (s *Store) verified(ctx context.Context, repo name.Repository, what, path string, d Descriptor) ([]byte, error) {
	if err := checkDigest(d.Digest); err != nil {
		return nil, err
	}
	if d.Size > maxDocument {
		return nil, fmt.Errorf("%s of %d bytes: %w", what, d.Size, ErrUnsupported)
	}
	if data, err := s.cache.get(ctx, d.Digest, d.Size); err == nil && data != nil {
		return data, nil
	}
	data, _, err := s.document(ctx, repo, path+"/"+d.Digest, []string{d.MediaType})
	if err != nil {
		return nil, classify(err, repo.RegistryStr())
	}
	if got := sumOf(data); got != d.Digest {
		return nil, &DigestError{What: what, Want: d.Digest, Got: got}
	}
	if d.Size >= 0 && int64(len(data)) != d.Size {
		return nil, &DigestError{What: what, Want: fmt.Sprintf("%d bytes", d.Size), Got: fmt.Sprintf("%d bytes", len(data))}
	}
	if err := s.cache.put(ctx, d.Digest, data); err != nil {
		return nil, fmt.Errorf("write cache: %w", err)
	}
	return data, nil
}

// nearTags lists tags of a repository that look like the one that is not there. It is a help inside an error: any failure gives none.
func (s *Store) nearTags(ctx context.Context, repo name.Repository, tag string) []string {
	ctx, cancel := context.WithTimeout(ctx, s.o.StallTimeout)
	defer cancel()
	query := url.Values{"n": {"1000"}}
	if i := strings.LastIndexByte(tag, '.'); i > 0 {
		query.Set("last", tag[:i]) // v1.34 of v1.34.99: a page that begins there has the neighbours, the first one may have none
	}
	resp, err := s.get(ctx, repo, "tags/list?"+query.Encode(), nil, http.StatusOK)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	return nearest(io.LimitReader(resp.Body, maxDocument), tag)
}

// remember notes where a blob can be had.
func (s *Store) remember(digest string, src source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, have := range s.sources[digest] {
		if have.repo.Name() == src.repo.Name() {
			return
		}
	}
	s.sources[digest] = append(s.sources[digest], src)
}

// isVerified says whether this process has hashed a blob that is still there.
func (s *Store) isVerified(digest string, size int64) bool {
	s.mu.Lock()
	_, ok := s.hashed[digest]
	s.mu.Unlock()
	if !ok {
		return false
	}
	st, err := os.Stat(s.cache.blob(digest))
	return err == nil && (size < 0 || st.Size() == size)
}

func (s *Store) markVerified(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hashed[digest] = struct{}{}
}

// inCache hashes a blob once per process, and says whether it can be used.
func (s *Store) inCache(ctx context.Context, digest string, size int64) (bool, error) {
	if s.isVerified(digest, size) {
		return true, nil
	}
	ok, err := s.cache.verify(ctx, digest, size)
	if ok {
		s.markVerified(digest)
	}
	return ok, err
}

// ensureBlob brings a blob of a resolved image into the cache, unless it is there.
func (s *Store) ensureBlob(ctx context.Context, d Descriptor) error {
	if err := checkDigest(d.Digest); err != nil {
		return err
	}
	return s.once(ctx, d.Digest, func() error {
		already := s.isVerified(d.Digest, d.Size)
		if ok, err := s.inCache(ctx, d.Digest, d.Size); err != nil {
			return err
		} else if ok {
			if !already {
				s.tell(Event{Ref: s.firstRef(d.Digest), Digest: d.Digest, Done: d.Size, Size: d.Size, Cached: true})
			}
			return nil
		}
		release, err := s.slot(ctx)
		if err != nil {
			return err
		}
		defer release()
		err = s.pullBlob(ctx, d)
		if err != nil {
			s.tell(Event{Ref: s.firstRef(d.Digest), Digest: d.Digest, Size: d.Size, Err: err})
		}
		return err
	})
}

// pullBlob tries every repository that a resolved image named for this blob.
func (s *Store) pullBlob(ctx context.Context, d Descriptor) error {
	s.mu.Lock()
	sources := s.sources[d.Digest]
	s.mu.Unlock()
	if len(sources) == 0 {
		return fmt.Errorf("blob %s: %w: no resolved image of this store has it", d.Digest, ErrNotFound)
	}
	hexes := strings.TrimPrefix(d.Digest, digestPrefix)
	p, err := s.cache.lockPartial(ctx, "sha256-"+hexes)
	if err != nil {
		return err
	}
	defer p.close() //nolint:errcheck // synced before it was renamed, worthless otherwise
	// Whoever held the lock until now may have brought it.
	if ok, err := s.inCache(ctx, d.Digest, d.Size); err != nil {
		return err
	} else if ok {
		return p.discard()
	}
	var errs []error
	for _, src := range sources {
		t := transfer{
			what: src.repo.Name() + "@" + d.Digest, kind: "sha256", sum: hexes, size: d.Size,
			request: func(ctx context.Context, from int64) (*http.Response, error) {
				return s.getBlob(ctx, src.repo, d, from)
			},
			report: func(done, size int64) {
				s.tell(Event{Ref: src.ref, Digest: d.Digest, Done: done, Size: size})
			},
		}
		if _, err := s.run(ctx, t, p); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			errs = append(errs, fmt.Errorf("blob %s from %s: %w", d.Digest, src.repo.Name(), classify(err, src.repo.RegistryStr())))
			continue
		}
		if err := p.commit(s.cache, d.Digest); err != nil {
			return fmt.Errorf("write cache: %w", err)
		}
		s.markVerified(d.Digest)
		return nil
	}
	return errors.Join(errs...)
}

// getBlob asks for a blob from an offset on. The end of the range is named because some registries insist on it.
func (s *Store) getBlob(ctx context.Context, repo name.Repository, d Descriptor, from int64) (*http.Response, error) {
	if from == 0 {
		return s.get(ctx, repo, "blobs/"+d.Digest, nil, http.StatusOK)
	}
	header := http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", from, d.Size-1)}}
	return s.get(ctx, repo, "blobs/"+d.Digest, header, http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable)
}

// firstRef is the image that asked for a blob first.
func (s *Store) firstRef(digest string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if src := s.sources[digest]; len(src) > 0 {
		return src[0].ref
	}
	return ""
}

// manifestTypes is what a registry may answer with.
func manifestTypes() []string {
	return []string{
		string(types.OCIImageIndex), string(types.DockerManifestList), string(types.OCIManifestSchema1), string(types.DockerManifestSchema2),
	}
}
