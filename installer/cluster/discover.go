package cluster

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	"k8s.io/cluster-bootstrap/token/jws"
)

// ClusterInfo is what discovery found.
type ClusterInfo struct {
	Server string // as written in cluster-info
	CAPEM  []byte
	// Endpoint is the URL at which the cluster was found, "https://host:port" as the user gave it: the one for this node's kubeconfigs.
	Endpoint string
}

const (
	clusterInfoPath = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
	// maxAnswer bounds what is read from a server that is not known yet.
	maxAnswer = 1 << 20
	// signaturePatience is how long a missing signature may be a matter of time: the controller manager signs a new token within
	// seconds, and right after init it first has to start. Later, the token is unknown, and waiting five minutes tells nobody more.
	signaturePatience = 30 * time.Second
	discoveryInterval = time.Second
)

// DiscoverByToken reads cluster-info from endpoint (host:port), checks its signature with the token and its CA with the pins
// (unless unsafeSkipCA), then reads it again over verified TLS and requires the same bytes. It repeats what may pass by itself
// until ctx ends, and tells waiting (if it is not nil) what it waits for. Its errors are *DiscoveryError, but for refusals of the dialer
// and for ctx itself.
func DiscoverByToken(ctx context.Context, d *Dialer, endpoint string, t Token, pins []string, unsafeSkipCA bool, waiting Waiting) (*ClusterInfo, error) {
	if len(pins) == 0 && !unsafeSkipCA {
		return nil, discoveryErrorf(DiscoveryWrongCA, endpoint, "no pin of its CA is given")
	}
	f := &finder{dialer: d, endpoint: endpoint, patience: signaturePatience, interval: discoveryInterval, waiting: waiting, quiet: noticeAfter}
	return f.byToken(ctx, t, pins)
}

// finder looks for a cluster at one address.
type finder struct {
	dialer   *Dialer
	endpoint string // host:port
	patience time.Duration
	interval time.Duration
	waiting  Waiting // nil: nobody listens
	quiet    time.Duration
}

func (f *finder) byToken(ctx context.Context, t Token, pins []string) (*ClusterInfo, error) {
	first, err := f.signed(ctx, t)
	if err != nil {
		return nil, err
	}
	info, cas, err := f.parse(first)
	if err != nil {
		return nil, err
	}
	trusted := cas
	if len(pins) > 0 {
		if trusted = pinned(cas, pins); len(trusted) == 0 {
			return nil, discoveryErrorf(DiscoveryWrongCA, f.endpoint, "its CA has the public key %s, and not %s", strings.Join(pinsOf(cas), ", "), strings.Join(pins, ", "))
		}
	}
	// What the first reading said of other CAs is proved by this one, which only holders of a trusted CA's key can answer.
	again, err := f.verified(ctx, trusted)
	if err != nil {
		return nil, err
	}
	if again.Data[bootstrapapi.KubeConfigKey] != first {
		return nil, discoveryErrorf(DiscoveryChanged, f.endpoint, "over verified TLS, cluster-info is another one than before")
	}
	return info, nil
}

// signed gives the kubeconfig of cluster-info, once its signature by the token is there and right.
func (f *finder) signed(ctx context.Context, t Token) (string, error) {
	// Nothing is believed before its signature is checked, and this check is what TLS without verification is good for here.
	client := f.client(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, nil) //nolint:gosec // proved by the token's signature and the second reading
	defer client.CloseIdleConnections()
	var kubeconfig string
	var missing time.Time
	err := f.repeat(ctx, func(ctx context.Context) error {
		cm, err := f.get(ctx, client, nil)
		if err != nil {
			return err
		}
		kubeconfig = cm.Data[bootstrapapi.KubeConfigKey]
		if kubeconfig == "" {
			return discoveryErrorf(DiscoveryNoClusterInfo, f.endpoint, "cluster-info has no kubeconfig")
		}
		signature, ok := cm.Data[bootstrapapi.JWSSignatureKeyPrefix+t.ID]
		if !ok {
			if missing.IsZero() {
				missing = time.Now()
			}
			err := discoveryErrorf(DiscoveryUnknownToken, f.endpoint, "the token with id %s is not known there, or has expired", t.ID)
			if time.Since(missing) >= f.patience {
				return final{err}
			}
			return err
		}
		if !jws.DetachedTokenIsValid(signature, kubeconfig, t.ID, t.Secret) {
			return final{discoveryErrorf(DiscoveryBadSignature, f.endpoint, "cluster-info is not signed with this token's secret")}
		}
		return nil
	})
	return kubeconfig, err
}

// verified reads cluster-info over TLS verified by the given CAs.
func (f *finder) verified(ctx context.Context, cas []*x509.Certificate) (*corev1.ConfigMap, error) {
	client := f.client(verifiedBy(cas), nil)
	defer client.CloseIdleConnections()
	var cm *corev1.ConfigMap
	err := f.repeat(ctx, func(ctx context.Context) (err error) {
		cm, err = f.get(ctx, client, nil)
		return err
	})
	return cm, err
}

func verifiedBy(cas []*x509.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	for _, ca := range cas {
		pool.AddCert(ca)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// final is an error that repeating does not help.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// repeat runs op until it succeeds, fails for good, or ctx ends; then the last failure counts.
func (f *finder) repeat(ctx context.Context, op func(ctx context.Context) error) error {
	var last error
	n := f.notice(ctx)
	defer n.stop()
	for {
		err := op(ctx)
		n.failed(err)
		var done final
		var blocked *BlockedError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &done):
			return done.error
		case errors.As(err, &blocked):
			return blocked
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if sleep(ctx, f.interval) != nil {
			if errors.Is(context.Cause(ctx), context.Canceled) {
				return context.Canceled
			}
			return last
		}
	}
}

func (f *finder) client(cfg *tls.Config, creds *credentials) *http.Client {
	if creds != nil && creds.certificate != nil {
		cfg.Certificates = []tls.Certificate{*creds.certificate}
	}
	return &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			Proxy:               nil,
			DialContext:         f.dialer.DialContext,
			TLSClientConfig:     cfg,
			TLSHandshakeTimeout: 10 * time.Second,
			ForceAttemptHTTP2:   true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// credentials are what a discovery file may bring along.
type credentials struct {
	certificate *tls.Certificate
	token       string
}

func (f *finder) get(ctx context.Context, client *http.Client, creds *credentials) (*corev1.ConfigMap, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+f.endpoint+clusterInfoPath, nil)
	if err != nil {
		return nil, final{discoveryErrorf(DiscoveryMalformed, f.endpoint, "%w", err)}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	if creds != nil && creds.token != "" {
		req.Header.Set("Authorization", "Bearer "+creds.token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, f.transportError(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, f.transportError(err)
	case len(body) > maxAnswer:
		return nil, final{discoveryErrorf(DiscoveryMalformed, f.endpoint, "cluster-info is larger than %d bytes", maxAnswer)}
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode == http.StatusUnauthorized && creds != nil:
		return nil, discoveryErrorf(DiscoveryRefused, f.endpoint, "the credentials are not accepted (401): %s", statusMessage(body))
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden, resp.StatusCode == http.StatusNotFound:
		return nil, discoveryErrorf(DiscoveryNoClusterInfo, f.endpoint, "it gives no cluster-info (%d): %s", resp.StatusCode, statusMessage(body))
	default:
		return nil, discoveryErrorf(DiscoveryUnreachable, f.endpoint, "it answers %s: %s", resp.Status, statusMessage(body))
	}
	cm := &corev1.ConfigMap{}
	if err := json.Unmarshal(body, cm); err != nil || cm.Kind != "ConfigMap" {
		return nil, discoveryErrorf(DiscoveryMalformed, f.endpoint, "what answers is no API server: %s", oneLine(string(body)))
	}
	return cm, nil
}

func (f *finder) transportError(err error) error {
	var blocked *BlockedError
	if errors.As(err, &blocked) {
		return blocked
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return final{discoveryErrorf(DiscoveryUnverified, f.endpoint, "its certificate is not signed by the cluster's CA")}
	case errors.As(err, &name):
		return final{discoveryErrorf(DiscoveryUnverified, f.endpoint, "its certificate has not the name %s, only %s", name.Host, strings.Join(namesOf(name.Certificate), ", "))}
	case expired(err) != nil:
		return final{discoveryErrorf(DiscoveryExpired, f.endpoint, "its certificate has expired, on %s", expired(err).NotAfter.UTC().Format(time.RFC3339))}
	case errors.As(err, &invalid):
		return final{discoveryErrorf(DiscoveryUnverified, f.endpoint, "its certificate is not valid: %s; is the clock of this host right?", invalid.Error())}
	}
	failed := discoveryErrorf(DiscoveryUnreachable, f.endpoint, "%w", strip(err))
	if noWay(err) {
		return final{failed}
	}
	return failed
}

// noWay reports errors that say that no packet gets there, or that the name means nothing: unlike a refused connection, which is what
// a control plane looks like while it starts, they are not cured by time.
func noWay(err error) bool {
	var dns *net.DNSError
	return errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) || errors.As(err, &dns) && dns.IsNotFound
}

// strip takes method and URL, which the error already names, from an error of net/http.
func strip(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// statusMessage gives the message of an API error, or the text itself.
func statusMessage(body []byte) string {
	var s struct{ Message string }
	if json.Unmarshal(body, &s) == nil && s.Message != "" {
		return oneLine(s.Message)
	}
	return oneLine(string(body))
}

// parse reads cluster-info's kubeconfig: one cluster with server and CA.
func (f *finder) parse(kubeconfig string) (*ClusterInfo, []*x509.Certificate, error) {
	cfg, err := clientcmd.Load([]byte(kubeconfig))
	if err != nil {
		return nil, nil, discoveryErrorf(DiscoveryMalformed, f.endpoint, "cluster-info: %w", err)
	}
	c, _, err := current(cfg)
	if err != nil {
		return nil, nil, discoveryErrorf(DiscoveryMalformed, f.endpoint, "cluster-info: %w", err)
	}
	cas, err := authorities(c)
	if err != nil {
		return nil, nil, discoveryErrorf(DiscoveryMalformed, f.endpoint, "cluster-info: %w", err)
	}
	return &ClusterInfo{Server: c.Server, CAPEM: c.CertificateAuthorityData, Endpoint: "https://" + f.endpoint}, cas, nil
}

func authorities(c *clientcmdapi.Cluster) ([]*x509.Certificate, error) {
	cas, err := certificatesIn(c.CertificateAuthorityData)
	if err != nil {
		return nil, fmt.Errorf("read its certificate-authority-data: %w", err)
	}
	if len(cas) == 0 {
		return nil, errors.New("it has no certificate-authority-data")
	}
	return cas, nil
}

func certificatesIn(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return certs, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
}

// pinned keeps the certificates whose public key one of the pins names. kubeadm, too, is content with one of several CAs.
func pinned(cas []*x509.Certificate, pins []string) []*x509.Certificate {
	var kept []*x509.Certificate
	for _, ca := range cas {
		have := pinOf(ca)
		match := 0
		for _, p := range pins {
			match |= subtle.ConstantTimeCompare([]byte(have), []byte(strings.ToLower(p)))
		}
		if match == 1 {
			kept = append(kept, ca)
		}
	}
	return kept
}

// pinOf is pki.Pin, which this package, a leaf like pki, cannot import.
func pinOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func pinsOf(cas []*x509.Certificate) []string {
	out := make([]string, len(cas))
	for i, c := range cas {
		out[i] = pinOf(c)
	}
	return out
}
