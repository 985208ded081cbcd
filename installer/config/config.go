package config

import (
	"net"
	"time"
)

// Init is a complete, defaulted and validated configuration of `init`: kubeadm's InitConfiguration, ClusterConfiguration
// and the component documents beside them.
type Init struct {
	// Cluster has every default applied: Etcd has exactly one of Local and External, the two validity periods are set,
	// KubernetesVersion is a full version ("v1.34.4").
	Cluster          ClusterConfiguration
	NodeRegistration NodeRegistration // Name is lower case, CRISocket has a scheme
	LocalAPIEndpoint APIEndpoint      // AdvertiseAddress is an IP address
	NodeIP           net.IP           // what the kubelet is told: node-ip of KubeletExtraArgs, else the advertise address
	// BootstrapTokens has at least one entry. An empty Token in it means: make a random one. TTL and Expires: exactly one is set.
	BootstrapTokens []BootstrapToken
	CertificateKey  string // 64 hex digits, "" for none given
	UploadCerts     bool
	SkipPhases      []string // kubeadm's names, "addon/coredns" form, lower case
	PatchesDir      string   // "" for none
	Timeouts        Timeouts
	// KubeletConfig and KubeProxyConfig are the user's documents as generic JSON objects (with apiVersion and kind); nil where none was given.
	KubeletConfig   map[string]any
	KubeProxyConfig map[string]any
	// DNSType is CoreDNS or kube-dns where a file before v1beta3 chooses; what there is to choose from is the bundle's.
	DNSType string
	// Audit goes with the gate Auditing, which Kubernetes had up to v1.12.
	Audit *AuditPolicy
	// VirtualIP is nil where the control planes share no address of ours; else the cluster's controlPlaneEndpoint is it.
	VirtualIP *VirtualIP

	IgnorePreflightErrors   []string // of the file and the flag together, lower case, no duplicates
	DryRun                  bool
	SkipTokenPrint          bool
	SkipCertificateKeyPrint bool
}

// Join is the same for `join`.
type Join struct {
	// Discovery has exactly one of BootstrapToken and File; TLSBootstrapToken is set unless the file may bring its own credentials.
	Discovery        Discovery
	NodeRegistration NodeRegistration
	// NodeIP is what the kubelet is told. It is nil where a host has several addresses, no default route, and a discovery file: the
	// cluster's address, once read from the file, decides then (NodeAddress).
	NodeIP       net.IP
	CACertPath   string            // /etc/kubernetes/pki/ca.crt
	ControlPlane *JoinControlPlane // nil for a worker; else AdvertiseAddress and BindPort are set
	CertValidity time.Duration     // of this control plane's certificates; 0 means what the cluster's configuration says
	SkipPhases   []string
	PatchesDir   string
	Timeouts     Timeouts

	IgnorePreflightErrors []string
	DryRun                bool
}

// Reset is a complete configuration of `reset`.
type Reset struct {
	CertificatesDir       string
	CRISocket             string // "" means: the one that the node was made with
	CleanupTmpDir         bool
	Force                 bool
	SkipPhases            []string
	UnmountFlags          []string
	IgnorePreflightErrors []string
	DryRun                bool
	Timeouts              Timeouts
}

// Timeouts bound every wait of the installer.
type Timeouts struct {
	ControlPlaneComponentHealthCheck time.Duration // each static pod answers its health check; 4m
	KubeletHealthCheck               time.Duration // the kubelet answers /healthz; 4m
	KubernetesAPICall                time.Duration // one operation on the API, with its retries; 1m
	EtcdAPICall                      time.Duration // one operation on etcd, with its retries; 2m
	TLSBootstrap                     time.Duration // the kubelet has got its certificate; 5m
	Discovery                        time.Duration // cluster-info has been read and checked; 5m
	UpgradeManifests                 time.Duration // a static pod has restarted with a new manifest; 5m
}

// Environment is what a configuration's defaults depend on. The caller looks at the host and the bundle; this package looks at nothing.
type Environment struct {
	Hostname       string
	Addresses      []net.IPNet // global unicast addresses of this node
	DefaultRouteIP net.IP      // source address of the default route; nil where there is none
	// KubernetesVersion is the bundle's ("v1.34.4"): the only one that can be installed. Another one in the configuration is refused. "" for join.
	KubernetesVersion string
	ImageRepository   string // the version's own registry; "" means registry.k8s.io
	CRISocket         string // "" means unix:///var/run/containerd/containerd.sock
}
