package cluster

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

const (
	// startPatience is how long a server may need to come up, or back: it is being started by a kubelet that pulls nothing.
	startPatience = 5 * time.Minute
	// rightsPatience is how long "forbidden", a missing namespace and a missing kind are believed to be temporary: a new server
	// grants its default roles and makes kube-system and kube-public some seconds after it answers; a CRD needs as long.
	rightsPatience = 30 * time.Second

	retryInterval = 500 * time.Millisecond
)

// retry repeats op while its error may pass by itself, within ctx and the patience for that kind of error.
func retry(ctx context.Context, op func(ctx context.Context) error) error {
	begin := time.Now()
	var last error
	for {
		err := op(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil && last != nil {
			return last // the server's last word, rather than "context deadline exceeded"
		}
		patience := patienceFor(err)
		if time.Since(begin) >= patience {
			return err
		}
		last = err
		if sleep(ctx, retryInterval) != nil {
			return err
		}
	}
}

// patienceFor tells how long an error may be waited for; 0 means that waiting does not help.
func patienceFor(err error) time.Duration {
	var blocked *BlockedError
	switch {
	case errors.As(err, &blocked):
		return 0
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return startPatience // somebody wrote at the same time: read again
	case apierrors.IsServerTimeout(err), apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err), apierrors.IsTimeout(err):
		return startPatience
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err), apierrors.IsNotFound(err), apierrors.IsInternalError(err):
		return rightsPatience
	case meta.IsNoMatchError(err), isUnknownKind(err):
		return rightsPatience
	case unreachable(err):
		return startPatience
	}
	return 0
}

// unreachable reports whether err says that nobody answered: what a server that is starting, or restarting, looks like.
func unreachable(err error) bool {
	if utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || utilnet.IsTimeout(err) ||
		utilnet.IsHTTP2ConnectionLost(err) || errors.Is(err, http.ErrHandlerTimeout) {
		return true
	}
	for _, no := range []syscall.Errno{syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ETIMEDOUT, syscall.EPIPE} {
		if errors.Is(err, no) {
			return true
		}
	}
	var dns *net.DNSError
	return errors.As(err, &dns) || strings.Contains(err.Error(), "http2: client connection")
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
