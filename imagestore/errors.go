package imagestore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// What can go wrong, for callers that branch on it.
var (
	// ErrNotFound: the registry or server answered, and does not have it.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized: the registry wants credentials, or other ones. Some registries say this of what does not exist.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrUnreachable: no answer, or no useful one, after all retries.
	ErrUnreachable = errors.New("unreachable")
	// ErrPlatform: the image exists, but not for the platform.
	ErrPlatform = errors.New("platform missing")
	// ErrDigest: content does not match the digest or checksum that names it.
	ErrDigest = errors.New("digest mismatch")
	// ErrNoChecksum: the file is there, and no checksum is published beside it.
	ErrNoChecksum = errors.New("no checksum")
	// ErrUnsupported: the image is of a kind that is refused; see the package documentation.
	ErrUnsupported = errors.New("not supported")
)

// Attempt is one address that was tried in vain.
type Attempt struct {
	Address string
	Err     error
}

// ResolveError says that no address had the image, and why each had not.
type ResolveError struct {
	Ref      string
	Platform Platform
	Attempts []Attempt
}

func (e *ResolveError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "resolve %s for %s", e.Ref, e.Platform)
	unreachable := true
	for i, a := range e.Attempts {
		switch {
		case len(e.Attempts) == 1 && a.Address == e.Ref:
			fmt.Fprintf(&b, ": %v", a.Err)
		case i == 0:
			fmt.Fprintf(&b, ": tried %s: %v", a.Address, a.Err)
		default:
			fmt.Fprintf(&b, "; then %s: %v", a.Address, a.Err)
		}
		unreachable = unreachable && errors.Is(a.Err, ErrUnreachable)
	}
	if unreachable {
		b.WriteString(" (a way around: the HTTPS_PROXY variable, or --registry-mirror FROM=TO)")
	}
	return b.String()
}

// Unwrap gives the errors of all attempts.
func (e *ResolveError) Unwrap() []error {
	errs := make([]error, len(e.Attempts))
	for i, a := range e.Attempts {
		errs[i] = a.Err
	}
	return errs
}

// TagError says that a repository has no such tag, and which it has that look like it.
type TagError struct {
	Err  error
	Near []string
}

func (e *TagError) Error() string {
	return fmt.Sprintf("%v (tags there: %s)", e.Err, strings.Join(e.Near, ", "))
}

func (e *TagError) Unwrap() error { return e.Err }

// DigestError says which content does not match what names it.
type DigestError struct {
	What string // "blob", "layer tar", "manifest", or an address
	Want string // "sha256:<hex>"
	Got  string // the same, or a size in words
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("%s: %v: want %s, got %s", e.What, ErrDigest, e.Want, e.Got)
}

func (e *DigestError) Unwrap() error { return ErrDigest }

// classify wraps an error of the network in the sentinel that fits it.
func classify(err error, host string) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		return err
	}
	for _, known := range []error{ErrNotFound, ErrUnauthorized, ErrUnreachable, ErrPlatform, ErrDigest, ErrNoChecksum, ErrUnsupported} {
		if errors.Is(err, known) {
			return err
		}
	}
	switch statusOf(err) {
	case 0:
	case http.StatusNotFound:
		return fmt.Errorf("%w: %s", ErrNotFound, brief(err))
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: %s (`docker login %s` stores credentials; some servers answer so for what does not exist)", ErrUnauthorized, brief(err), host)
	default:
		return fmt.Errorf("%w: %s", ErrUnreachable, brief(err))
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// statusOf is the HTTP status inside an error, 0 if there is none.
func statusOf(err error) int {
	var te *transport.Error
	if errors.As(err, &te) {
		return te.StatusCode
	}
	return 0
}

// brief shortens a registry's answer to its first line: proxies like to answer with pages of HTML.
func brief(err error) string {
	var te *transport.Error
	if !errors.As(err, &te) {
		return err.Error()
	}
	var msg strings.Builder
	fmt.Fprintf(&msg, "%d %s", te.StatusCode, http.StatusText(te.StatusCode))
	for _, d := range te.Errors {
		line, _, _ := strings.Cut(d.Message, "\n")
		msg.WriteString(", " + string(d.Code) + " " + line)
	}
	var tries *triesError
	if errors.As(err, &tries) {
		fmt.Fprintf(&msg, " (tried %d times)", tries.tries)
	}
	return msg.String()
}
