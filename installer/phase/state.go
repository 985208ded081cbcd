package phase

import (
	"context"
	"io"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/bundle"
	"kubebundle/installer/cluster"
	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/manifests"
	"kubebundle/release"
)

// State is what phases of one run hand to each other. Plans fill it in; steps do not see it.
type State struct {
	Bundle  *bundle.Bundle
	Release *release.Release
	Init    *config.Init // set for init
	Join    *config.Join // set for join
	Facts   host.Facts
	Cluster *manifests.Cluster
	Node    *manifests.Node
	Now     time.Time
	Rand    io.Reader
	Log     *slog.Logger

	Certs        map[string]*pki.Pair // by manifests.CertSpec.Name
	SAKey        []byte
	SAPub        []byte
	Kubeconfigs  map[string][]byte // by manifests.KubeconfigSpec.Name
	Token        *cluster.Token
	ExtraObjects []byte // the user's manifests, YAML
	Discovery    Discoverer
	KubeletCM    *corev1.ConfigMap
}

// Discoverer is what join needs to read from the cluster while planning.
type Discoverer interface {
	ClusterInfo(ctx context.Context) (*cluster.ClusterInfo, error)
	// ConfigMaps reads kubeadm-config and kubelet-config with the bootstrap token.
	ConfigMaps(ctx context.Context, info *cluster.ClusterInfo) (kubeadm, kubelet *corev1.ConfigMap, err error)
}
