package upgrade

import (
	"context"
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"kubebundle/test/lab/hosts"
)

// outage is for how long an API server did not serve.
type outage struct{ total, longest time.Duration }

// watcher asks an API server whether it is ready, ten times a second, each time over a new connection as a new client would.
type watcher struct {
	cancel context.CancelFunc
	done   chan outage
}

const (
	watchInterval = 100 * time.Millisecond
	watchPatience = time.Second
)

func watch(t *testing.T, h *hosts.Host) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{cancel: cancel, done: make(chan outage, 1)}
	client := &http.Client{Timeout: watchPatience, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // only whether somebody answers is asked
	}}
	go func() {
		var o outage
		served := time.Now()
		for ctx.Err() == nil {
			if ready(ctx, client, "https://"+h.IP.String()+":6443/readyz") {
				// What is shorter than this is the pace of asking.
				if gap := time.Since(served); gap > 3*watchInterval {
					o.total += gap
					o.longest = max(o.longest, gap)
				}
				served = time.Now()
			}
			time.Sleep(watchInterval)
		}
		w.done <- o
	}()
	return w
}

func ready(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (w *watcher) stop() outage {
	w.cancel()
	return <-w.done
}
