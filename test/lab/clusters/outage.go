package clusters

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"

	"kubebundle/test/lab/hosts"
)

// Outage is for how long an API server did not serve.
type Outage struct {
	Total, Longest time.Duration
	// First and Last are when it was seen to serve before the first gap and after the last; zero where there was no gap.
	First, Last time.Time
}

// Watcher asks an API server whether it is ready, ten times a second, each time over a new connection as a new client would.
type Watcher struct {
	cancel context.CancelFunc
	done   chan Outage
}

const (
	watchInterval = 100 * time.Millisecond
	watchPatience = time.Second
)

// WatchAPI begins to watch the API server of a host that serves now.
func WatchAPI(ctx context.Context, h *hosts.Host) *Watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &Watcher{cancel: cancel, done: make(chan Outage, 1)}
	client := watchClient()
	go func() {
		var o Outage
		served := time.Now()
		gap := func() {
			// What is shorter than this is the pace of asking.
			if d := time.Since(served); d > 3*watchInterval {
				if o.First.IsZero() {
					o.First = served
				}
				o.Total, o.Longest, o.Last = o.Total+d, max(o.Longest, d), time.Now()
			}
		}
		for ctx.Err() == nil {
			if apiReady(ctx, client, h) {
				gap()
				served = time.Now()
			}
			time.Sleep(watchInterval)
		}
		gap() // it may be away still
		w.done <- o
	}()
	return w
}

// Stop ends the watch and says what it saw.
func (w *Watcher) Stop() Outage {
	w.cancel()
	return <-w.done
}

// AwaitAPI waits until a host's API server is ready.
func AwaitAPI(ctx context.Context, h *hosts.Host) error {
	client := watchClient()
	for !apiReady(ctx, client, h) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(watchInterval):
		}
	}
	return nil
}

func watchClient() *http.Client {
	return &http.Client{Timeout: watchPatience, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // only whether somebody answers is asked
	}}
}

func apiReady(ctx context.Context, client *http.Client, h *hosts.Host) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+h.IP.String()+":6443/readyz", nil)
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
