package manifests

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

// EtcdPeerURL is where other members reach this node's etcd. A member is known by it.
func EtcdPeerURL(n *Node) string { return peerURL(n.AdvertiseAddress.String()) }

// EtcdMembers reports whether the etcd of this version can have more than one member: up to 1.12 it listens to its own node only.
func EtcdMembers(v *version.Version) bool { return isSince(v, 13) }

// EtcdLearners reports whether the etcd of this version lets a member join without a vote first. etcd 3.5 is the first whose learners are
// stable (its release notes), and 1.22 the first Kubernetes with it; kubeadm joins so from 1.29 on.
func EtcdLearners(v *version.Version) bool { return isSince(v, 22) }

// KubeletLocalMode reports whether the kubelet of a control plane node talks to that node's own API server.
func KubeletLocalMode(c *Cluster) bool { return c.enabled(kubeletLocalMode) }

// ClusterStatusConfigMap is the part of kubeadm-config that lists the API servers, with this node's; nil where the version has none
// (it had from 1.12 to 1.21).
func ClusterStatusConfigMap(c *Cluster, n *Node) (*corev1.ConfigMap, error) {
	if !between(12, 21).has(minorOf(c.Version)) {
		return nil, nil //nolint:nilnil // none is no error
	}
	doc, err := encodeDocument(clusterStatus(c, n, pick(c.Version, kubeadmAPI)))
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", kubeadmConfigMapName, err)
	}
	return configMap(kubeSystem, kubeadmConfigMapName, map[string]string{clusterStatusKey: doc}), nil
}
