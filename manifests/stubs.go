package manifests

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"
)

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
func KubeadmConfigMap(c *Cluster, n *Node) (*corev1.ConfigMap, error) { panic("stub") }

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

// ServiceIP gives the n-th address (1: API server, 10: DNS) of a service CIDR.
