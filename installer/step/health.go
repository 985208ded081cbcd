package step

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// healthz wants 200 from a health endpoint of this node.
func (t *Target) healthz(ctx context.Context, url string) error {
	get := t.Get
	if get == nil {
		get = loopbackGet
	}
	status, body, err := get(ctx, url)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("GET %s: %d %s", url, status, strings.TrimSpace(string(body)))
	}
	return nil
}

// bodyLimit is enough for any health answer.
const bodyLimit = 4 << 10

// loopbackGet asks this node only, whatever proxies the environment names.
func loopbackGet(ctx context.Context, url string) (int, []byte, error) {
	tr := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
				return nil, fmt.Errorf("dial %s: not a loopback address", addr)
			}
			var d net.Dialer
			return d.DialContext(ctx, network, addr)
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, nil, fmt.Errorf("GET %s: %w", url, err)
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	return resp.StatusCode, body, err
}
