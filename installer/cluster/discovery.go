package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// DiscoveryOptions say how to find a cluster: by Endpoint and Token, or by Kubeconfig.
type DiscoveryOptions struct {
	Endpoint     string // host:port
	Token        Token
	Pins         []string
	UnsafeSkipCA bool
	// Kubeconfig is the content of a discovery file; nil for discovery by token.
	Kubeconfig []byte
	// TLSBootstrapToken ("id.secret") is what the node authenticates with; "" where Kubeconfig has credentials of its own.
	TLSBootstrapToken string
	// KubeletConfigMap says, from kubeadm-config, what the cluster calls the ConfigMap with its kubelets' configuration; "" for none.
	KubeletConfigMap func(kubeadm *corev1.ConfigMap) (string, error)
	// Waiting is told what is waited for; nil for silence.
	Waiting Waiting
}

// Discovery finds a cluster and reads what a joining node needs from it. It finds it once; later calls repeat the answer.
type Discovery struct {
	dialer  *Dialer
	options DiscoveryOptions

	mu   sync.Mutex
	info *ClusterInfo
}

// NewDiscovery prepares a discovery; nothing is asked yet.
func NewDiscovery(d *Dialer, o DiscoveryOptions) *Discovery {
	return &Discovery{dialer: d, options: o}
}

// ClusterInfo finds the cluster.
func (x *Discovery) ClusterInfo(ctx context.Context) (*ClusterInfo, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.info != nil {
		return x.info, nil
	}
	info, err := x.discover(ctx)
	if err != nil {
		return nil, err
	}
	x.info = info
	return info, nil
}

func (x *Discovery) discover(ctx context.Context) (*ClusterInfo, error) {
	if x.options.Kubeconfig != nil {
		return DiscoverFromFile(ctx, x.dialer, x.options.Kubeconfig, x.options.Waiting)
	}
	return DiscoverByToken(ctx, x.dialer, x.options.Endpoint, x.options.Token, x.options.Pins, x.options.UnsafeSkipCA, x.options.Waiting)
}

// Client gives a client with the node's bootstrap credentials.
func (x *Discovery) Client(info *ClusterInfo) (*Client, error) {
	if x.options.TLSBootstrapToken == "" {
		if x.options.Kubeconfig == nil {
			return nil, errors.New("talk to the cluster: no token is given")
		}
		return FromKubeconfig(x.options.Kubeconfig, x.dialer)
	}
	return fromToken(info, x.options.TLSBootstrapToken, x.dialer)
}

// fromToken makes a client that authenticates with a bootstrap token.
func fromToken(info *ClusterInfo, token string, d *Dialer) (*Client, error) {
	if _, err := ParseToken(token); err != nil {
		return nil, err
	}
	server := info.Endpoint
	if server == "" {
		server = info.Server
	}
	return newClient(seal(&rest.Config{Host: server, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: info.CAPEM}}, d))
}

// ConfigMaps reads kubeadm-config and the kubelet's configuration with the node's bootstrap credentials. Where the cluster's version has
// no ConfigMap for the kubelet, that one is nil.
func (x *Discovery) ConfigMaps(ctx context.Context, info *ClusterInfo) (kubeadm, kubelet *corev1.ConfigMap, err error) {
	c, err := x.Client(info)
	if err != nil {
		return nil, nil, err
	}
	if kubeadm, err = c.configMap(ctx, "kubeadm-config"); err != nil {
		return nil, nil, x.readError(info, "ConfigMap kube-system/kubeadm-config", err)
	}
	name, err := x.options.KubeletConfigMap(kubeadm)
	if err != nil || name == "" {
		return kubeadm, nil, err
	}
	if kubelet, err = c.configMap(ctx, name); err != nil {
		return nil, nil, x.readError(info, "ConfigMap kube-system/"+name, err)
	}
	return kubeadm, kubelet, nil
}

// VirtualIP reads the ConfigMap of a virtual IP with the node's bootstrap credentials; nil where the cluster has none.
func (x *Discovery) VirtualIP(ctx context.Context, info *ClusterInfo, name string) (*corev1.ConfigMap, error) {
	c, err := x.Client(info)
	if err != nil {
		return nil, err
	}
	var cm *corev1.ConfigMap
	err = retry(ctx, func(ctx context.Context) (err error) {
		cm, err = c.Kube.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) { // the Role comes with it; neither is to be waited for
			cm = nil
			return nil
		}
		return err
	})
	if err != nil {
		return nil, x.readError(info, "ConfigMap kube-system/"+name, err)
	}
	return cm, nil
}

// NodeTaken reports whether the cluster has a Ready node of this name. A cluster that does not let joining nodes look answers no.
func (x *Discovery) NodeTaken(ctx context.Context, info *ClusterInfo, name string) (bool, error) {
	c, err := x.Client(info)
	if err != nil {
		return false, err
	}
	return c.NodeExistsReady(ctx, name)
}

func (x *Discovery) readError(info *ClusterInfo, what string, err error) error {
	endpoint := strings.TrimPrefix(info.Endpoint, "https://")
	switch {
	case apierrors.IsUnauthorized(err), apierrors.IsForbidden(err):
		return discoveryErrorf(DiscoveryRefused, endpoint, "read %s: %w", what, err)
	case unreachable(err):
		return discoveryErrorf(DiscoveryUnreachable, endpoint, "read %s: %w", what, err)
	}
	return fmt.Errorf("read %s: %w", what, err)
}

func (c *Client) configMap(ctx context.Context, name string) (cm *corev1.ConfigMap, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		cm, err = c.Kube.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	return cm, err
}
