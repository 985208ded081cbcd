package installer

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"kubebundle/installer/cluster"
	"kubebundle/installer/config"
	"kubebundle/installer/phase"
	"kubebundle/manifests"
)

// Discovery finds the cluster that a node joins, over the one dialer, to the one address that the user gave.
type Discovery struct {
	cfg    *config.Join
	file   []byte // the discovery kubeconfig, nil with a token
	token  cluster.Token
	dialer *cluster.Dialer
}

var _ phase.Discoverer = (*Discovery)(nil)

// NewDiscovery reads what the configuration names; nothing goes over the network yet.
func NewDiscovery(cfg *config.Join, read config.ReadFile) (*Discovery, error) {
	d := &Discovery{cfg: cfg}
	if f := cfg.Discovery.File; f != nil {
		data, err := read(f.KubeConfigPath)
		if err != nil {
			return nil, fmt.Errorf("--discovery-file: %w", err)
		}
		server, err := cluster.ServerOf(data)
		if err != nil {
			return nil, fmt.Errorf("--discovery-file %s: %w", f.KubeConfigPath, err)
		}
		d.file, d.dialer = data, cluster.NewDialer(strings.TrimPrefix(server, "https://"))
		return d, nil
	}
	bt := cfg.Discovery.BootstrapToken
	tok, err := cluster.ParseToken(bt.Token)
	if err != nil {
		return nil, err
	}
	d.token, d.dialer = tok, cluster.NewDialer(bt.APIServerEndpoint)
	return d, nil
}

// ClusterInfo implements phase.Discoverer. The server that it gives is the address that the user gave, not the one in cluster-info: that is
// the one which is known to be reachable from here.
func (d *Discovery) ClusterInfo(ctx context.Context) (*cluster.ClusterInfo, error) {
	if d.file != nil {
		return cluster.DiscoverFromFile(ctx, d.dialer, d.file)
	}
	bt := d.cfg.Discovery.BootstrapToken
	info, err := cluster.DiscoverByToken(ctx, d.dialer, bt.APIServerEndpoint, d.token, bt.CACertHashes, bt.UnsafeSkipCAVerification)
	if err != nil {
		return nil, err
	}
	given := *info
	given.Server = "https://" + bt.APIServerEndpoint
	return &given, nil
}

// ConfigMaps implements phase.Discoverer.
func (d *Discovery) ConfigMaps(ctx context.Context, info *cluster.ClusterInfo) (kubeadm, kubelet *corev1.ConfigMap, err error) {
	c, err := d.client(info)
	if err != nil {
		return nil, nil, err
	}
	maps := c.Kube.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	if kubeadm, err = maps.Get(ctx, "kubeadm-config", metav1.GetOptions{}); err != nil {
		return nil, nil, fmt.Errorf("read ConfigMap kubeadm-config: %w", err)
	}
	v, err := phase.ClusterVersion(kubeadm)
	if err != nil {
		return nil, nil, err
	}
	name := manifests.KubeletConfigMapName(v)
	if name == "" {
		return kubeadm, nil, nil
	}
	if kubelet, err = maps.Get(ctx, name, metav1.GetOptions{}); err != nil {
		return nil, nil, fmt.Errorf("read ConfigMap %s: %w", name, err)
	}
	return kubeadm, kubelet, nil
}

// NodeTaken implements phase.NodeLooker.
func (d *Discovery) NodeTaken(ctx context.Context, info *cluster.ClusterInfo, name string) (bool, error) {
	c, err := d.client(info)
	if err != nil {
		return false, err
	}
	return c.NodeExistsReady(ctx, name)
}

// client has the rights of a joining node.
func (d *Discovery) client(info *cluster.ClusterInfo) (_ *cluster.Client, err error) {
	kubeconfig := d.file
	if d.cfg.Discovery.TLSBootstrapToken != "" {
		if kubeconfig, err = tokenKubeconfig(info, d.cfg.Discovery.TLSBootstrapToken); err != nil {
			return nil, err
		}
	}
	return cluster.FromKubeconfig(kubeconfig, d.dialer)
}

// tokenKubeconfig is a kubeconfig that lives in memory only.
func tokenKubeconfig(info *cluster.ClusterInfo, token string) ([]byte, error) {
	const name = "bootstrap"
	return yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": name,
		"clusters": []any{map[string]any{"name": name, "cluster": map[string]any{"server": info.Server, "certificate-authority-data": info.CAPEM}}},
		"users":    []any{map[string]any{"name": name, "user": map[string]any{"token": token}}},
		"contexts": []any{map[string]any{"name": name, "context": map[string]any{"cluster": name, "user": name}}},
	})
}
