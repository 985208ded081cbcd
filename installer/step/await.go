package step

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Await waits until something that others do has happened.
type Await struct {
	What    string // "the kubelet to be healthy"
	Timeout time.Duration
	// Check looks once; nil means it has happened, an error says what is missing.
	Check func(ctx context.Context, t *Target) error
	// Hint is what to look at if it does not happen: "journalctl -xeu kubelet".
	Hint string
	// Interval between two looks; 0 means half a second.
	Interval time.Duration
}

func (s Await) String() string { return fmt.Sprintf("wait for %s (up to %s)", s.What, s.Timeout) }

// HopelessError is what a Check says where waiting on is in vain: a program that ends again and again.
type HopelessError struct{ Err error }

func (e *HopelessError) Error() string { return e.Err.Error() }

// Unwrap gives what was seen.
func (e *HopelessError) Unwrap() error { return e.Err }

// lookTimeout bounds one look, so that a hanging server counts as "not yet".
const lookTimeout = 10 * time.Second

// Satisfied looks once.
func (s Await) Satisfied(ctx context.Context, t *Target) (bool, error) {
	one, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := s.Check(one, t)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return err == nil, nil
}

// AwaitError says what did not happen, what was seen last and where to look.
type AwaitError struct {
	What    string
	Timeout time.Duration
	Last    error
	hint    string
}

func (e *AwaitError) Error() string {
	var hopeless *HopelessError
	if errors.As(e.Last, &hopeless) {
		return e.Last.Error()
	}
	return fmt.Sprintf("it did not happen in %s; seen last: %v", e.Timeout, e.Last) // the engine names the step
}

// Unwrap gives what was seen last.
func (e *AwaitError) Unwrap() error { return e.Last }

// Hint says where to look.
func (e *AwaitError) Hint() string { return e.hint }

// Apply looks until it has happened or the time is over.
func (s Await) Apply(ctx context.Context, t *Target) error {
	limit, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	interval := s.Interval
	if interval == 0 {
		interval = 500 * time.Millisecond
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	start := time.Now()
	var last error
	for {
		one, cancelOne := context.WithTimeout(limit, lookTimeout)
		err := s.Check(one, t)
		cancelOne()
		if err == nil {
			return nil
		}
		if hopeless := (*HopelessError)(nil); errors.As(err, &hopeless) {
			return &AwaitError{What: s.What, Timeout: s.Timeout, Last: err, hint: s.Hint}
		}
		// The look that the end of time cut off says nothing; the one before it does.
		if last == nil || limit.Err() == nil {
			last = err
		}
		t.progress(int64(time.Since(start)), int64(s.Timeout), s.What)
		select {
		case <-limit.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &AwaitError{What: s.What, Timeout: s.Timeout, Last: last, hint: s.Hint}
		case <-tick.C:
		}
	}
}

// KubeletHealthy waits for the kubelet's /healthz on 127.0.0.1:10248 (its default healthzPort in every version).
func KubeletHealthy(timeout time.Duration) Await {
	return Await{
		What: "the kubelet to be healthy", Timeout: timeout, Hint: "journalctl -xeu kubelet",
		Check: func(ctx context.Context, t *Target) error {
			return t.healthz(ctx, "http://127.0.0.1:10248/healthz")
		},
	}
}

// APIHealthy waits for the API server that the admin client talks to. socket is the CRI socket of this node.
func APIHealthy(timeout time.Duration, socket string) Await {
	return Await{
		What: "the API server to be healthy", Timeout: timeout,
		Hint: Logs(socket, "-e kube-apiserver -e etcd"),
		Check: func(ctx context.Context, t *Target) error {
			c, err := t.Cluster(ctx)
			if err != nil {
				return err
			}
			// Healthy waits by itself; one short look at a time keeps progress and the timeout here.
			one, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			return c.Healthy(one)
		},
	}
}

// TLSBootstrapped waits until the kubelet has written its own kubeconfig (kubelet.conf) after a TLS bootstrap.
func TLSBootstrapped(kubeconfig string, timeout time.Duration) Await {
	return Await{
		What: "the kubelet's TLS bootstrap", Timeout: timeout, Hint: "journalctl -xeu kubelet; on the control plane: kubectl get csr",
		Check: func(_ context.Context, t *Target) error {
			fi, err := t.Host.Stat(kubeconfig)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s is not there yet", kubeconfig)
			}
			if err == nil && fi.Size() == 0 {
				return fmt.Errorf("%s is empty", kubeconfig)
			}
			return err
		},
	}
}

// NodeRegistered waits until the node object exists (kubeadm's join waits for no more: Ready needs a network add-on).
func NodeRegistered(name string, timeout time.Duration) Await {
	return Await{
		What: "node " + name + " to register", Timeout: timeout, Hint: "journalctl -xeu kubelet",
		Check: func(ctx context.Context, t *Target) error {
			_, err := getNode(ctx, t, name)
			return err
		},
	}
}

func getNode(ctx context.Context, t *Target, name string) (*corev1.Node, error) {
	c, err := t.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	return c.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
}
