package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	// requestTimeout bounds one request, so that a server that accepts connections and never answers is asked again.
	requestTimeout = 30 * time.Second
	userAgent      = "kubebundle-install"
)

// Client is the installer's only use of client-go. All connections go through one Dialer.
type Client struct {
	Kube kubernetes.Interface
	// Server is the URL that the client talks to.
	Server string

	dynamic dynamic.Interface
	rest    rest.Interface // for paths outside of any API group
	kinds   *kinds
}

// FromKubeconfig makes a client from a kubeconfig's bytes. Proxies are not used, programs that make credentials are not run, and a
// kubeconfig that switches off the verification of the server is refused.
func FromKubeconfig(kubeconfig []byte, d *Dialer) (*Client, error) {
	cfg, err := restConfig(kubeconfig, d)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	return newClient(cfg)
}

// ServerOf gives the URL of the server that a kubeconfig's current context names. A kubeconfig that the user gave (or that init wrote
// for him) names a host that he gave: allow it in the Dialer.
func ServerOf(kubeconfig []byte) (string, error) {
	cfg, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return "", fmt.Errorf("read kubeconfig: %w", err)
	}
	c, _, err := current(cfg)
	if err != nil {
		return "", fmt.Errorf("read kubeconfig: %w", err)
	}
	return c.Server, nil
}

// current gives cluster and user of the current context; without contexts a single cluster counts, as in cluster-info.
func current(cfg *clientcmdapi.Config) (*clientcmdapi.Cluster, *clientcmdapi.AuthInfo, error) {
	if ctx, ok := cfg.Contexts[cfg.CurrentContext]; ok {
		c, ok := cfg.Clusters[ctx.Cluster]
		if !ok {
			return nil, nil, fmt.Errorf("its context %q names the cluster %q, which it does not have", cfg.CurrentContext, ctx.Cluster)
		}
		return c, cfg.AuthInfos[ctx.AuthInfo], nil
	}
	if len(cfg.Clusters) != 1 {
		return nil, nil, fmt.Errorf("it has %d clusters and no current context", len(cfg.Clusters))
	}
	for _, c := range cfg.Clusters {
		return c, nil, nil
	}
	panic("unreachable")
}

func restConfig(kubeconfig []byte, d *Dialer) (*rest.Config, error) {
	cfg, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, err
	}
	c, user, err := current(cfg)
	if err != nil {
		return nil, err
	}
	if c.InsecureSkipTLSVerify {
		return nil, errors.New("insecure-skip-tls-verify is set: give certificate-authority-data instead")
	}
	if u, err := url.Parse(c.Server); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("its server %q is not an https URL", c.Server)
	}
	if user != nil && (user.Exec != nil || user.AuthProvider != nil) {
		return nil, errors.New("its user gets credentials from a program, which is not run here: use a client certificate or a token")
	}
	out, err := clientcmd.NewDefaultClientConfig(*cfg, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, err
	}
	return seal(out, d), nil
}

// seal gives a configuration the one dialer and takes all proxies from it.
func seal(cfg *rest.Config, d *Dialer) *rest.Config {
	cfg.Dial = d.DialContext
	cfg.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	cfg.Timeout = requestTimeout
	cfg.UserAgent = userAgent
	cfg.QPS, cfg.Burst = 50, 100
	// What travels can be read in a trace, and every server since v1.10 speaks it alike.
	cfg.ContentType, cfg.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	cfg.WarningHandler = rest.NoWarnings{}
	return cfg
}

func newClient(cfg *rest.Config) (*Client, error) {
	tellExpiry(cfg)
	httpClient, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("make API client: %w", err)
	}
	kube, err := kubernetes.NewForConfigAndClient(cfg, httpClient)
	if err != nil {
		return nil, fmt.Errorf("make API client: %w", err)
	}
	dyn, err := dynamic.NewForConfigAndClient(cfg, httpClient)
	if err != nil {
		return nil, fmt.Errorf("make API client: %w", err)
	}
	return &Client{Kube: kube, Server: cfg.Host, dynamic: dyn, rest: kube.Discovery().RESTClient(), kinds: &kinds{discovery: kube.Discovery()}}, nil
}

// Healthy waits until /livez (or /healthz) of the API answers ok, or ctx ends; the error says what the last answer was.
func (c *Client) Healthy(ctx context.Context) error {
	var last error
	for {
		err := c.healthy(ctx)
		if err == nil {
			return nil
		}
		// What the server said is worth more than that the time is over.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return fmt.Errorf("API server %s is not healthy: %w", c.Server, last)
		}
	}
}

// healthy asks once. /livez came with v1.16; servers before have /healthz alone.
func (c *Client) healthy(ctx context.Context) error {
	body, err := c.rest.Get().AbsPath("/livez").DoRaw(ctx)
	if apierrors.IsNotFound(err) {
		body, err = c.rest.Get().AbsPath("/healthz").DoRaw(ctx)
	}
	if err != nil {
		if text := strings.TrimSpace(string(body)); text != "" {
			return fmt.Errorf("%w: %s", err, failedChecks(text))
		}
		return err
	}
	if text := strings.TrimSpace(string(body)); text != "ok" {
		return fmt.Errorf("it says %q", text)
	}
	return nil
}

// failedChecks keeps of "[+]ping ok\n[-]etcd failed: reason withheld\n…" the lines that failed.
func failedChecks(text string) string {
	var failed []string
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "[-]"); ok {
			failed = append(failed, rest)
		}
	}
	if len(failed) == 0 {
		text, _, _ = strings.Cut(text, "\n")
		return text
	}
	return strings.Join(failed, ", ")
}
