package imagestore

import (
	"context"
	"crypto/sha1" //nolint:gosec // the only published checksum of Kubernetes v1.10 and v1.11
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"time"
)

// transfer is one file on its way into the cache.
type transfer struct {
	what string // address, for people
	kind string // of the sum: sha512, sha256, sha1
	sum  string // hex that the whole must have
	size int64  // bytes, -1 if not known
	// request asks for the content from an offset on: with a Range if that is not 0.
	request func(ctx context.Context, from int64) (*http.Response, error)
	report  func(done, size int64)
}

// newHash makes the hash of a checksum kind, nil for one that is not known.
func newHash(kind string) hash.Hash {
	switch kind {
	case "sha512":
		return sha512.New()
	case "sha256":
		return sha256.New()
	case "sha1":
		return sha1.New() //nolint:gosec // see the import
	}
	return nil
}

// result is what a transfer brought.
type result struct {
	digest string // sha256:<hex>, whatever the kind of the sum
	size   int64
}

// run writes a transfer to a partial file until it is whole and has the right sum, going on where an earlier try ended.
func (s *Store) run(ctx context.Context, t transfer, p *partial) (result, error) {
	var r result
	err := s.retry(ctx, t.what, func() (bool, error) {
		before, err := p.f.Seek(0, io.SeekEnd)
		if err != nil {
			return false, err
		}
		r, err = s.try(ctx, t, p, before)
		after, seekErr := p.f.Seek(0, io.SeekEnd)
		return seekErr == nil && after > before, err
	})
	return r, err
}

// try is one request. have bytes are in the file already.
func (s *Store) try(ctx context.Context, t transfer, p *partial, have int64) (result, error) {
	if t.size >= 0 && have > t.size {
		if err := p.reset(); err != nil {
			return result{}, err
		}
		have = 0
	}
	own := sha256.New()
	sum, hashes := own, []hash.Hash{own}
	if t.kind != "sha256" {
		sum = newHash(t.kind)
		hashes = append(hashes, sum)
	}
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return result{}, err
	}
	if _, err := io.CopyN(writers(hashes), ctxReader{ctx, p.f}, have); err != nil {
		return result{}, fmt.Errorf("read partial download: %w", err)
	}
	done := have
	if have > 0 && have == t.size && hexOf(sum) != t.sum { // whole, and wrong
		if err := p.reset(); err != nil {
			return result{}, err
		}
		for _, h := range hashes {
			h.Reset()
		}
		have = 0
	}
	if hexOf(sum) != t.sum { // a file that a killed process had just completed needs no request
		start, n, err := s.receive(ctx, t, p, have, hashes)
		if err != nil {
			return result{}, err
		}
		done, have = start+n, start
	}
	if got := hexOf(sum); got != t.sum {
		if err := p.reset(); err != nil {
			return result{}, err
		}
		if have > 0 {
			return result{}, fmt.Errorf("%s: the continued download does not match, from the start: %w", t.what, errAgain)
		}
		return result{}, &DigestError{What: t.what, Want: t.kind + ":" + t.sum, Got: t.kind + ":" + got}
	}
	t.report(done, done)
	return result{digest: digestOf(own), size: done}, nil
}

// receive asks for the rest and appends it to the file and the hashes. start is where the answer began: have, or 0 if the server
// starts over.
func (s *Store) receive(ctx context.Context, t transfer, p *partial, have int64, hashes []hash.Hash) (start, n int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := t.request(ctx, have)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	start = have
	switch resp.StatusCode {
	case http.StatusPartialContent:
		var from int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &from); err != nil || from != have {
			return 0, 0, errors.Join(fmt.Errorf("%s: answer to another range: %w", t.what, errAgain), p.reset())
		}
	case http.StatusRequestedRangeNotSatisfiable:
		return 0, 0, errors.Join(fmt.Errorf("%s: range refused: %w", t.what, errAgain), p.reset())
	default: // 200: the server does not know ranges
		if err := p.reset(); err != nil {
			return 0, 0, err
		}
		start = 0
		for _, h := range hashes {
			h.Reset()
		}
	}
	size := t.size
	if size < 0 && resp.ContentLength >= 0 {
		size = start + resp.ContentLength
	}
	n, err = s.copyWatched(cancel, writers(hashes, p.f), limited(resp.Body, t.size, start), func(n int64) { t.report(start+n, max(size, 0)) })
	if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
		err = fmt.Errorf("%w: nothing for %s", errStalled, s.o.StallTimeout)
	}
	switch {
	case err != nil:
		return start, n, err
	case t.size >= 0 && start+n > t.size:
		got := fmt.Sprintf("more than its %d bytes", t.size)
		return start, n, errors.Join(&DigestError{What: t.what, Want: t.kind + ":" + t.sum, Got: got}, p.reset())
	case size >= 0 && start+n < size:
		return start, n, fmt.Errorf("%s: %d of %d bytes: %w", t.what, start+n, size, io.ErrUnexpectedEOF)
	}
	return start, n, nil
}

// writers makes one writer of hashes and others.
func writers(hashes []hash.Hash, others ...io.Writer) io.Writer {
	for _, h := range hashes {
		others = append(others, h)
	}
	return io.MultiWriter(others...)
}

// limited reads one byte past a known size, so that too much is noticed without being stored.
func limited(r io.Reader, size, start int64) io.Reader {
	if size < 0 {
		return r
	}
	return io.LimitReader(r, size-start+1)
}

// copyWatched copies, tells now and then how far it is, and breaks off when nothing comes.
func (s *Store) copyWatched(cancel context.CancelCauseFunc, w io.Writer, r io.Reader, report func(int64)) (int64, error) {
	watch := time.AfterFunc(s.o.StallTimeout, func() { cancel(errStalled) })
	defer watch.Stop()
	buf := make([]byte, 256<<10)
	var total int64
	last := time.Now()
	for {
		n, err := r.Read(buf)
		watch.Reset(s.o.StallTimeout)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return total, fmt.Errorf("write cache: %w", werr)
			}
			total += int64(n)
			if now := time.Now(); now.Sub(last) > 100*time.Millisecond {
				last = now
				report(total)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

func hexOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// flight is work under way that others wait for.
type flight struct {
	done chan struct{}
	err  error
}

// once runs fn unless the same key is under way: then it waits for that. Who waits takes over if the first one was cancelled alone.
func (s *Store) once(ctx context.Context, key string, fn func() error) error {
	for {
		s.mu.Lock()
		f := s.flights[key]
		if f == nil {
			f = &flight{done: make(chan struct{})}
			s.flights[key] = f
			s.mu.Unlock()
			f.err = fn()
			s.mu.Lock()
			delete(s.flights, key)
			s.mu.Unlock()
			close(f.done)
			return f.err
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.done:
		}
		if f.err == nil || !errors.Is(f.err, context.Canceled) && !errors.Is(f.err, context.DeadlineExceeded) {
			return f.err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// slot waits for one of the Jobs.
func (s *Store) slot(ctx context.Context) (release func(), err error) {
	select {
	case s.jobs <- struct{}{}:
		return func() { <-s.jobs }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
