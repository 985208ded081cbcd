package manifests

import (
	"crypto/x509"
	"io/fs"
	"net"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
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
	FeatureGates      map[string]bool
	KeyAlgorithm      string // RSA-2048, …
	// KubeletConfig and KubeProxyConfig are the user's documents as generic JSON objects; rendering lays them over the defaults.
	KubeletConfig   map[string]any
	KubeProxyConfig map[string]any
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

// Etcd is the local (stacked) or the external etcd.
type Etcd struct {
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
}

// Node is what differs from node to node.
type Node struct {
	Name             string
	AdvertiseAddress net.IP
	BindPort         int
	CRISocket        string         // unix:///run/containerd/containerd.sock
	Taints           []corev1.Taint // nil: the version's default for a control plane; for a worker none
	ControlPlane     bool
	KubeletExtraArgs []Arg
	// What the host looks like.
	ResolvConf    string   // "" for the kubelet's default; /run/systemd/resolve/resolv.conf where systemd-resolved runs
	CADirs        []string // those of ExtraCADirs(v) that exist on the host
	CgroupVersion int
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

// Certificates lists the PKI of a control plane node, CAs before what they sign.
func Certificates(c *Cluster, n *Node) ([]CertSpec, error) { panic("stub") }

// Kubeconfigs lists the kubeconfigs that init writes.
func Kubeconfigs(c *Cluster, n *Node) []KubeconfigSpec { panic("stub") }

// Kubeconfig encodes a kubeconfig with an embedded client certificate.
func Kubeconfig(c *Cluster, k KubeconfigSpec, caPEM, certPEM, keyPEM []byte) ([]byte, error) {
	panic("stub")
}

// BootstrapKubeconfig encodes bootstrap-kubelet.conf: token instead of certificate. server is the address given to join.
func BootstrapKubeconfig(c *Cluster, server string, caPEM []byte, token string) ([]byte, error) {
	panic("stub")
}

// RotatedKubeletKubeconfig is kubelet.conf after kubelet-finalize: it points to the rotating certificate file.
func RotatedKubeletKubeconfig(c *Cluster, n *Node, server string, caPEM []byte) ([]byte, error) {
	panic("stub")
}

// StaticPod renders one of kube-apiserver, kube-controller-manager, kube-scheduler, etcd as the file in /etc/kubernetes/manifests.
func StaticPod(c *Cluster, n *Node, component string) (File, error) { panic("stub") }

// ExtraCADirs lists the CA folders that static pods mount if the host has them.
func ExtraCADirs(v *version.Version) []string { panic("stub") }

// KubeletUnits renders kubelet.service and 10-kubeadm.conf as upstream's packages install them: no site's values inside.
// Paths are relative to /etc/systemd/system.
func KubeletUnits(v *version.Version) []File { panic("stub") }

// KubeletFiles renders what the kubelet reads on this node: config.yaml, kubeadm-flags.env, instance-config.yaml,
// and for v1.10 the drop-in with the site's values. nodeIP is always passed to the kubelet.
func KubeletFiles(c *Cluster, n *Node) ([]File, error) { panic("stub") }

// KubeletConfigMap is kubelet-config (or kubelet-config-1.N) with the cluster's KubeletConfiguration.
func KubeletConfigMap(c *Cluster) (*corev1.ConfigMap, error) { panic("stub") }

// KubeletFilesFromConfigMap renders the joining node's files from the cluster's ConfigMap data.
func KubeletFilesFromConfigMap(c *Cluster, n *Node, cm *corev1.ConfigMap) ([]File, error) {
	panic("stub")
}

// KubeadmConfigMap is kubeadm-config in the API version that the cluster's own kubeadm would store.
func KubeadmConfigMap(c *Cluster) (*corev1.ConfigMap, error) { panic("stub") }

// ParseKubeadmConfigMap reads a cluster's kubeadm-config back (for join); images are not in it.
func ParseKubeadmConfigMap(v *version.Version, cm *corev1.ConfigMap) (*Cluster, error) { panic("stub") }

// UploadConfigRBAC, BootstrapTokenRBAC and ClusterAdminsBinding are the objects beside the ConfigMaps.
func UploadConfigRBAC(c *Cluster) []runtime.Object   { panic("stub") }
func BootstrapTokenRBAC(c *Cluster) []runtime.Object { panic("stub") }

// ClusterAdminsBinding is kubeadm:cluster-admins (1.29+), nil before.
func ClusterAdminsBinding(c *Cluster) runtime.Object { panic("stub") }

// ClusterInfo is kube-public/cluster-info with its Role and RoleBinding.
func ClusterInfo(c *Cluster, server string, caPEM []byte) ([]runtime.Object, error) { panic("stub") }

// ControlPlaneLabels and ControlPlaneTaints are the version's marks of a control plane node; NodeAnnotations kubeadm's.
func ControlPlaneLabels(v *version.Version) map[string]string { panic("stub") }
func ControlPlaneTaints(v *version.Version) []corev1.Taint    { panic("stub") }
func NodeAnnotations(c *Cluster, n *Node) map[string]string   { panic("stub") }

// DNS renders CoreDNS (or kube-dns). hasNameservers is false on a host with an empty resolv.conf: then the Corefile must not forward.
func DNS(c *Cluster, hasNameservers bool) ([]runtime.Object, error) { panic("stub") }

// KubeProxy renders kube-proxy. server is the API address that it uses.
func KubeProxy(c *Cluster, server string) ([]runtime.Object, error) { panic("stub") }

// Encode writes objects as YAML, apiVersion and kind first in each document, keys sorted, no status, no creationTimestamp.
func Encode(objs ...runtime.Object) ([]byte, error) { panic("stub") }

// ServiceIP gives the n-th address (1: API server, 10: DNS) of a service CIDR.
func ServiceIP(cidr string, n int) (net.IP, error) { panic("stub") }
