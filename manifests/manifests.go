package manifests

import (
	"crypto/x509"
	"io/fs"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

// Cluster is what every node of a cluster shares; all defaults are already applied.
type Cluster struct {
	Version              *version.Version
	Name                 string // "kubernetes"
	ControlPlaneEndpoint string // host:port, "" where the cluster has none
	CertificatesDir      string // /etc/kubernetes/pki
	ImageRepository      string
	ServiceSubnet        string
	PodSubnet            string // "" where none was given
	DNSDomain            string
	// Images maps a component name ("kube-apiserver", "etcd", "pause", "coredns", …) to the full reference.
	Images            map[string]string
	APIServer         Component
	ControllerManager Component
	Scheduler         Component
	CertSANs          []string
	Etcd              Etcd
	KubeDNS           bool
	// DNSImage, DNSDisabled and ProxyDisabled are kept in kubeadm-config, where a later upgrade reads them; whether an add-on is applied
	// is the caller's to decide.
	DNSImage      ImageMeta
	DNSDisabled   bool
	ProxyDisabled bool
	FeatureGates  map[string]bool
	// Audit goes with the gate Auditing.
	Audit        AuditPolicy
	KeyAlgorithm string // RSA-2048, …: what the configuration says; see KeyType
	// CertificateValidity and CACertificateValidity are how long new certificates live; 0 means kubeadm's one and ten years.
	CertificateValidity   time.Duration
	CACertificateValidity time.Duration
	// ExternalCA says that the CA key is kept elsewhere: the controller manager then signs nothing.
	ExternalCA bool
	// HealthCheckTimeout is how long a control plane component may take to start; 0 means kubeadm's 4 minutes.
	HealthCheckTimeout time.Duration
	// APIEndpoints are the API servers by node name, as kubeadm-config holds them up to v1.21 (ClusterStatus).
	APIEndpoints map[string]APIEndpoint
	// KubeletConfig and KubeProxyConfig are the user's documents as generic JSON objects; rendering lays them over the defaults.
	KubeletConfig   map[string]any
	KubeProxyConfig map[string]any
}

// APIEndpoint is where one API server listens.
type APIEndpoint struct {
	AdvertiseAddress string
	BindPort         int
}

// Component is what a user adds to a control plane component.
type Component struct {
	ExtraArgs    []Arg
	ExtraVolumes []HostPathMount
	ExtraEnvs    []corev1.EnvVar
}

// Arg is one command line argument without dashes.
type Arg struct{ Name, Value string }

// HostPathMount is a host path seen in a static pod.
type HostPathMount struct {
	Name, HostPath, MountPath string
	ReadOnly                  bool
	PathType                  corev1.HostPathType
}

// ImageMeta is what a user says about an image beside the version's own name of it; Cluster.Images has the result.
type ImageMeta struct{ ImageRepository, ImageTag string }

// Etcd is the local (stacked) or the external etcd.
type Etcd struct {
	Image          ImageMeta
	DataDir        string // /var/lib/etcd
	Local          Component
	ServerCertSANs []string
	PeerCertSANs   []string
	// InitialCluster lists the members (name=https://ip:2380) when this node joins existing ones.
	InitialCluster []string
	External       *ExternalEtcd
}

// ExternalEtcd is an etcd that others run.
type ExternalEtcd struct {
	Endpoints                 []string
	CAFile, CertFile, KeyFile string
	// HTTPEndpoints are where HTTP (metrics, health) is answered, if not at Endpoints. Kubernetes has them since 1.35.
	HTTPEndpoints []string
}

// Node is what differs from node to node.
type Node struct {
	Name             string
	Hostname         string // the host's own name; "" where it is not known
	AdvertiseAddress net.IP // the node's address, also of a worker
	BindPort         int
	CRISocket        string         // unix:///run/containerd/containerd.sock
	Taints           []corev1.Taint // nil: the version's default for a control plane; for a worker none
	ControlPlane     bool
	KubeletExtraArgs []Arg
	// What the host looks like.
	ResolvConf    string   // "" for the kubelet's default; /run/systemd/resolve/resolv.conf where systemd-resolved runs
	CADirs        []string // those of ExtraCADirs(v) that exist on the host
	CgroupVersion int
	CgroupDriver  string          // what the container runtime uses: systemd or cgroupfs; "" leaves the version's default
	Proxy         []corev1.EnvVar // proxy variables of the installer's environment
}

// File is a rendered file.
type File struct {
	Path string
	Mode fs.FileMode
	Data []byte
}

// CertSpec is one certificate of the PKI, by kubeadm's phase name.
type CertSpec struct {
	Name         string // "apiserver", "etcd-server", "ca", …
	BaseName     string // path below the certificates dir without extension: "etcd/server"
	CA           string // Name of its CA, "" for a CA itself
	CommonName   string
	Organization []string
	DNSNames     []string
	IPAddresses  []net.IP
	Usages       []x509.ExtKeyUsage
}

// KubeconfigSpec is one kubeconfig of a node.
type KubeconfigSpec struct {
	Name         string // kubeadm's phase name: admin, super-admin, kubelet, controller-manager, scheduler
	Path         string // /etc/kubernetes/admin.conf
	CommonName   string
	Organization []string
	Server       string // https://host:port
}
