package imagestore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// maxDelay caps one pause between tries.
const maxDelay = 30 * time.Second

// maxDials caps retries where nobody answers at all: a firewall that drops packets costs the whole timeout each time.
const maxDials = 2

// transports makes the pair of transports: as configured, and one that accepts any certificate.
func transports(custom http.RoundTripper) (plain, insecure http.RoundTripper) {
	base, ok := custom.(*http.Transport)
	switch {
	case custom == nil:
		base = http.DefaultTransport.(*http.Transport).Clone()
		base.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
		base.MaxIdleConnsPerHost = 16
		base.ResponseHeaderTimeout = time.Minute
	case !ok:
		return custom, custom // somebody else's: it decides about certificates
	default:
		base = base.Clone()
	}
	loose := base.Clone()
	if loose.TLSClientConfig == nil {
		loose.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	loose.TLSClientConfig.InsecureSkipVerify = true
	return base, loose
}

// isInsecure says whether the user listed a host as insecure.
func (s *Store) isInsecure(host string) bool { return slices.Contains(s.o.Insecure, host) }

// isLoopback says whether a host[:port] is this machine.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// guard picks the transport by host and keeps plain HTTP to loopback and to the hosts listed as insecure: go-containerregistry
// would also speak it to every private address.
type guard struct{ s *Store }

func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	host := r.URL.Host
	if g.s.isInsecure(host) {
		return g.s.insecure.RoundTrip(r)
	}
	if r.URL.Scheme != "https" && !isLoopback(host) {
		return nil, fmt.Errorf("plain HTTP to %s is refused (--insecure-registry %s allows it)", host, host)
	}
	return g.s.plain.RoundTrip(r)
}

// noDowngrade follows redirects as usual, but not from https to http.
func noDowngrade(r *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("more than 10 redirects")
	}
	if last := via[len(via)-1]; last.URL.Scheme == "https" && r.URL.Scheme != "https" {
		return fmt.Errorf("redirect from https to %s://%s is refused", r.URL.Scheme, r.URL.Host)
	}
	return nil
}

// session is an authenticated connection to one repository.
type session struct {
	mu sync.Mutex
	rt http.RoundTripper
}

// connect logs in to a repository, once.
func (s *Store) connect(ctx context.Context, repo name.Repository) (http.RoundTripper, error) {
	s.mu.Lock()
	ses := s.sessions[repo.Name()]
	if ses == nil {
		ses = &session{}
		s.sessions[repo.Name()] = ses
	}
	s.mu.Unlock()

	ses.mu.Lock()
	defer ses.mu.Unlock()
	if ses.rt != nil {
		return ses.rt, nil
	}
	auth, err := authn.Resolve(ctx, s.o.Keychain, repo)
	if err != nil {
		return nil, fmt.Errorf("credentials for %s: %w", repo.RegistryStr(), err)
	}
	ua := transport.NewUserAgent(guard{s}, "kubebundle")
	rt, err := transport.NewWithContext(ctx, repo.Registry, auth, ua, []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	ses.rt = rt
	return rt, nil
}

// retry repeats an operation while its error is one that can pass. tries counts only failures in a row: op may reset it.
func (s *Store) retry(ctx context.Context, what string, op func() (progress bool, err error)) error {
	for failed := 0; ; {
		progress, err := op()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !canPass(err) {
			return err
		}
		if progress {
			failed = 0
		}
		failed++
		limit := s.o.Retries
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			limit = min(limit, maxDials)
		}
		if failed > limit {
			if failed > 1 {
				return &triesError{err: err, tries: failed}
			}
			return err
		}
		pause := s.pause(failed, err)
		s.o.Log.WarnContext(ctx, "trying again", "what", what, "failed", failed, "pause", pause, "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// triesError says that retries did not help.
type triesError struct {
	err   error
	tries int
}

func (e *triesError) Error() string { return fmt.Sprintf("%v (tried %d times)", e.err, e.tries) }
func (e *triesError) Unwrap() error { return e.err }

// pause grows exponentially, with jitter so that parallel downloads do not come back all at once; a server's Retry-After is obeyed.
func (s *Store) pause(failed int, err error) time.Duration {
	var after *retryAfterError
	if errors.As(err, &after) && after.wait > 0 {
		return min(after.wait, maxDelay)
	}
	d := min(s.o.RetryDelay<<min(failed-1, 16), maxDelay)
	return d/2 + rand.N(d/2+1) //nolint:gosec // jitter, no secret
}

// retryAfterError carries the pause that a server asked for.
type retryAfterError struct {
	err  error
	wait time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }

// checkStatus turns an answer with another status than those expected into an error.
func checkStatus(resp *http.Response, ok ...int) error {
	err := transport.CheckError(resp, ok...)
	if err == nil {
		return nil
	}
	if seconds, convErr := strconv.Atoi(resp.Header.Get("Retry-After")); convErr == nil && seconds > 0 {
		return &retryAfterError{err: err, wait: time.Duration(seconds) * time.Second}
	}
	return err
}

// errStalled is the cause of a request that was broken off because no byte came.
var errStalled = errors.New("no data for too long")

// canPass says whether trying again can help.
func canPass(err error) bool {
	if status := statusOf(err); status != 0 {
		return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500 && status != http.StatusNotImplemented
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return !dns.IsNotFound
	}
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var mismatch *DigestError
	switch {
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &mismatch):
		return false
	case errors.Is(err, syscall.ECONNREFUSED):
		return false // nobody listens: that is an answer
	case errors.Is(err, errStalled), isTimeout(err), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return true
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED), errors.Is(err, net.ErrClosed):
		return true
	}
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, errAgain)
}

// errAgain marks an error of our own that a second try can cure.
var errAgain = errors.New("try again")

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
