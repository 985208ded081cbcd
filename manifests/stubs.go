package manifests

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

// KubeadmConfigMap is kubeadm-config in the API version that the cluster's own kubeadm would store.
func KubeadmConfigMap(c *Cluster, n *Node) (*corev1.ConfigMap, error) { panic("stub") }

// ParseKubeadmConfigMap reads a cluster's kubeadm-config back (for join); images are not in it.
func ParseKubeadmConfigMap(v *version.Version, cm *corev1.ConfigMap) (*Cluster, error) { panic("stub") }

const kubeadmConfigMapName = "kubeadm-config"
