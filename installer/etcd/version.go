package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	versionTimeout = 5 * time.Second
	maxVersion     = 1 << 12 // bytes of an answer
)

// Version asks the one endpoint of a configuration what etcd it is, over HTTP as kubeadm does: that changes nothing there, and shows whether address,
// certificates and server belong together. CA, Cert and Key may be nil.
func Version(ctx context.Context, cfg Config) (string, error) {
	if len(cfg.Endpoints) != 1 {
		return "", fmt.Errorf("ask etcd for its version: %d endpoints, want one", len(cfg.Endpoints))
	}
	endpoint := strings.TrimSuffix(cfg.Endpoints[0], "/")
	conn := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CA != nil {
		conn.RootCAs = x509.NewCertPool()
		if !conn.RootCAs.AppendCertsFromPEM(cfg.CA) {
			return "", errors.New("ask etcd for its version: its CA holds no certificate")
		}
	}
	if cfg.Cert != nil {
		pair, err := tls.X509KeyPair(cfg.Cert, cfg.Key)
		if err != nil {
			return "", fmt.Errorf("ask etcd for its version: client certificate: %w", err)
		}
		conn.Certificates = []tls.Certificate{pair}
	}
	client := &http.Client{Timeout: versionTimeout, Transport: &http.Transport{Proxy: nil, DialContext: cfg.Dial, TLSClientConfig: conn, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/version", nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return "", fmt.Errorf("ask %s: %w", endpoint, err)
	}
	defer func() { _ = resp.Body.Close() }() // only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxVersion))
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", endpoint, err)
	}
	var v struct {
		Server string `json:"etcdserver"`
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &v) != nil || v.Server == "" {
		return "", fmt.Errorf("ask %s: what answers is no etcd: %s", endpoint, resp.Status)
	}
	return v.Server, nil
}
