package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// Waiting is told, in words for a person, what a discovery waits for: "waiting for 10.0.0.10:6443: connection refused, 4m30s left".
// It is called from one goroutine at a time, and never after the discovery has ended.
type Waiting func(text string)

const (
	// noticeAfter is how long nobody minds waiting without a word.
	noticeAfter = 3 * time.Second
	noticeEvery = 10 * time.Second
)

// notice tells what one wait is about. Requests may hang for long, so it does not depend on their end.
type notice struct {
	mu   sync.Mutex
	why  string
	quit context.CancelFunc
	gone chan struct{}
}

func (f *finder) notice(ctx context.Context) *notice {
	n := &notice{why: "no answer yet", gone: make(chan struct{})}
	ctx, n.quit = context.WithCancel(ctx)
	go func() {
		defer close(n.gone)
		for pause := f.quiet; f.waiting != nil && sleep(ctx, pause) == nil; pause = noticeEvery {
			n.mu.Lock()
			text := "waiting for " + f.endpoint + ": " + n.why
			n.mu.Unlock()
			if end, ok := ctx.Deadline(); ok {
				text += fmt.Sprintf(", %s left", time.Until(end).Round(time.Second))
			}
			f.waiting(text)
		}
	}()
	return n
}

// failed notes why the last attempt was in vain.
func (n *notice) failed(err error) {
	if err == nil {
		return
	}
	n.mu.Lock()
	n.why = reason(err)
	n.mu.Unlock()
}

func (n *notice) stop() {
	n.quit()
	<-n.gone
}

// reason is the core of an error: what the system said where it was the system, without address and operation.
func reason(err error) string {
	var errno syscall.Errno
	var op *net.OpError
	var failed *DiscoveryError
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &op):
		return op.Err.Error()
	case errors.As(err, &failed):
		return failed.Err.Error()
	}
	return err.Error()
}
