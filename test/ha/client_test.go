package ha

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kubebundle/test/e2e/suite"
)

// client writes ConfigMaps and reads them back, one after the other, each request over a connection of its own: one that hangs, which a client keeps
// for a while, is not what is measured. A request that fails is made a second time. It notes what was acknowledged, and what failed.
type client struct {
	kube    kubernetes.Interface
	label   string // of what it writes
	cancel  context.CancelFunc
	done    chan struct{}
	started time.Time

	mu       sync.Mutex
	requests int
	retried  []failure // the first try failed
	failed   []failure // the second one too
	names    []string  // acknowledged
	last     time.Time // when the last write was acknowledged
	longest  time.Duration
	err      error // the last one
}

type failure struct {
	at  time.Duration // since the client began
	err error
}

func (f failure) String() string {
	return fmt.Sprintf("after %v: %v", f.at.Round(100*time.Millisecond), f.err)
}

const (
	pace       = 100 * time.Millisecond // between two requests
	retryAfter = 500 * time.Millisecond // a client that is turned away does not ask again at once
)

// startClient has one write and read until it is stopped. patience is how long it waits for an answer.
func startClient(t *testing.T, s *suite.Suite, label string, patience time.Duration) *client {
	t.Helper()
	conf, err := clientcmd.BuildConfigFromFlags("", s.Cluster.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	tls, err := rest.TLSConfigFor(conf)
	if err != nil {
		t.Fatal(err)
	}
	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: tls, DisableKeepAlives: true}, Timeout: patience}
	kube, err := kubernetes.NewForConfigAndClient(conf, hc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &client{kube: kube, label: label, cancel: cancel, done: make(chan struct{}), started: time.Now(), last: time.Now()}
	go func() {
		defer close(w.done)
		for i := 0; ctx.Err() == nil; i++ {
			w.one(ctx, fmt.Sprintf("%s-%d", label, i))
		}
	}()
	return w
}

// one writes a ConfigMap and reads it.
func (w *client) one(ctx context.Context, name string) {
	maps := w.kube.CoreV1().ConfigMaps("default")
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"writer": w.label}}}
	again := false
	written := w.request(ctx, "write "+name, func() error {
		_, err := maps.Create(ctx, cm, metav1.CreateOptions{})
		if again && apierrors.IsAlreadyExists(err) { // the first try has come that far
			err = nil
		}
		again = true
		return err
	})
	if !written {
		return
	}
	w.mu.Lock()
	w.names = append(w.names, name)
	w.longest = max(w.longest, time.Since(w.last))
	w.last = time.Now()
	w.mu.Unlock()
	w.request(ctx, "read "+name, func() error {
		_, err := maps.Get(ctx, name, metav1.GetOptions{})
		return err
	})
}

// request makes a request, and once more if it fails.
func (w *client) request(ctx context.Context, what string, do func() error) bool {
	time.Sleep(pace)
	for _, notes := range []*[]failure{&w.retried, &w.failed} {
		err := do()
		if ctx.Err() != nil {
			return false // the end
		}
		w.mu.Lock()
		w.requests++
		if err != nil {
			w.err = err
			*notes = append(*notes, failure{time.Since(w.started), fmt.Errorf("%s: %w", what, err)})
		}
		w.mu.Unlock()
		if err == nil {
			return true
		}
		time.Sleep(retryAfter)
	}
	return false
}

func (w *client) lastWrite() (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last, w.err
}

// stop ends it.
func (w *client) stop() {
	w.cancel()
	<-w.done
}

// unharmed stops the client and wants that it has noticed nothing, but for what a second try mends; and that all it was told is true.
func (w *client) unharmed(t *testing.T, s *suite.Suite, during string) {
	t.Helper()
	w.stop()
	t.Logf("MEASURED %s: %d requests of a client that retries once, %d retried, %d failed; longest time without a write %v",
		during, w.requests, len(w.retried), len(w.failed), w.longest.Round(10*time.Millisecond))
	for _, f := range w.retried {
		t.Logf("retried %v", f)
	}
	for _, f := range w.failed {
		t.Errorf("failed %v", f)
	}
	w.kept(t, s)
}

// kept wants every write that was acknowledged, and tells how many are gone.
func (w *client) kept(t *testing.T, s *suite.Suite) (gone int) {
	t.Helper()
	var there []string
	for _, cm := range suite.Get[corev1.ConfigMapList](t, s, "configmaps", "-n", "default", "-l", "writer="+w.label).Items {
		there = append(there, cm.Name)
	}
	for _, name := range w.names {
		if !slices.Contains(there, name) {
			t.Errorf("ConfigMap %s was acknowledged and is not there", name)
			gone++
		}
	}
	return gone
}
