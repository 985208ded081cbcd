package installer

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/installer/cluster"
	"kubebundle/installer/config"
	"kubebundle/installer/phase"
	"kubebundle/manifests"
)

var (
	_ phase.Discoverer = (*cluster.Discovery)(nil)
	_ phase.NodeLooker = (*cluster.Discovery)(nil)

	_ phase.VirtualIPReader = (*cluster.Discovery)(nil)
)

// NewDiscovery prepares the discovery of the cluster that a node joins: over a dialer of its own, to the one address that the user gave.
// It reads what the configuration names; nothing goes over the network yet. waiting may be nil.
func NewDiscovery(cfg *config.Join, read config.ReadFile, waiting func(text string)) (*cluster.Discovery, error) {
	o := cluster.DiscoveryOptions{TLSBootstrapToken: cfg.Discovery.TLSBootstrapToken, KubeletConfigMap: kubeletConfigMap, Waiting: waiting}
	if f := cfg.Discovery.File; f != nil {
		data, err := read(f.KubeConfigPath)
		if err != nil {
			return nil, fmt.Errorf("--discovery-file: %w", err)
		}
		server, err := cluster.ServerOf(data)
		if err != nil {
			return nil, fmt.Errorf("--discovery-file %s: %w", f.KubeConfigPath, err)
		}
		o.Kubeconfig = data
		return cluster.NewDiscovery(cluster.NewDialer(strings.TrimPrefix(server, "https://")), o), nil
	}
	bt := cfg.Discovery.BootstrapToken
	token, err := cluster.ParseToken(bt.Token)
	if err != nil {
		return nil, err
	}
	o.Endpoint, o.Token, o.Pins, o.UnsafeSkipCA = bt.APIServerEndpoint, token, bt.CACertHashes, bt.UnsafeSkipCAVerification
	return cluster.NewDiscovery(cluster.NewDialer(bt.APIServerEndpoint), o), nil
}

// kubeletConfigMap goes by the version and the gates in kubeadm-config, as kubeadm does.
func kubeletConfigMap(kubeadm *corev1.ConfigMap) (string, error) {
	v, err := phase.ClusterVersion(kubeadm)
	if err != nil {
		return "", err
	}
	c, err := manifests.ParseKubeadmConfigMap(v, kubeadm)
	if err != nil {
		return "", err
	}
	return manifests.KubeletConfigMapOf(c), nil
}
