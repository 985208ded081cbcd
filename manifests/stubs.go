package manifests

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"
)

// KubeadmConfigMap is kubeadm-config in the API version that the cluster's own kubeadm would store.
func KubeadmConfigMap(c *Cluster, n *Node) (*corev1.ConfigMap, error) { panic("stub") }

// ParseKubeadmConfigMap reads a cluster's kubeadm-config back (for join); images are not in it.
func ParseKubeadmConfigMap(v *version.Version, cm *corev1.ConfigMap) (*Cluster, error) { panic("stub") }

// DNS renders CoreDNS (or kube-dns). hasNameservers is false on a host with an empty resolv.conf: then the Corefile must not forward.
func DNS(c *Cluster, hasNameservers bool) ([]runtime.Object, error) { panic("stub") }

// KubeProxy renders kube-proxy. server is the API address that it uses.
func KubeProxy(c *Cluster, server string) ([]runtime.Object, error) { panic("stub") }

// Encode writes objects as YAML, apiVersion and kind first in each document, keys sorted, no status, no creationTimestamp.

// ServiceIP gives the n-th address (1: API server, 10: DNS) of a service CIDR.

const kubeadmConfigMapName = "kubeadm-config"
