package phase

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

// ClusterVersion reads a cluster's Kubernetes version out of its ConfigMap kubeadm-config.
func ClusterVersion(kubeadm *corev1.ConfigMap) (*version.Version, error) {
	return versionOf(kubeadm.Data)
}
