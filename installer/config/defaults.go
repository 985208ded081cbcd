package config

import "time"

// The defaults of kubeadm, the same in every version unless release says otherwise (kubernetes-facts 8.1).
const (
	DefaultBindPort        = 6443
	DefaultCertificatesDir = "/etc/kubernetes/pki"
	DefaultServiceSubnet   = "10.96.0.0/12"
	DefaultDNSDomain       = "cluster.local"
	DefaultClusterName     = "kubernetes"
	DefaultImageRepository = "registry.k8s.io"
	DefaultEtcdDataDir     = "/var/lib/etcd"
	DefaultCACertPath      = "/etc/kubernetes/pki/ca.crt"
	DefaultCRISocket       = "unix:///var/run/containerd/containerd.sock"
	DefaultKeyAlgorithm    = "RSA-2048"
	DefaultTokenTTL        = 24 * time.Hour
	DefaultTokenGroup      = "system:bootstrappers:kubeadm:default-node-token"

	DefaultCertificateValidity = 365 * 24 * time.Hour
	DefaultCAValidity          = 10 * DefaultCertificateValidity
)

// DefaultTokenUsages is what a token may be used for unless the user says otherwise.
func DefaultTokenUsages() []string { return []string{"signing", "authentication"} }

// DefaultTimeouts are kubeadm's.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		ControlPlaneComponentHealthCheck: 4 * time.Minute,
		KubeletHealthCheck:               4 * time.Minute,
		KubernetesAPICall:                time.Minute,
		EtcdAPICall:                      2 * time.Minute,
		TLSBootstrap:                     5 * time.Minute,
		Discovery:                        5 * time.Minute,
		UpgradeManifests:                 5 * time.Minute,
	}
}
