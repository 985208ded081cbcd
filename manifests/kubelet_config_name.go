package manifests

import "k8s.io/apimachinery/pkg/util/version"

// KubeletConfigMapName is the name of the ConfigMap with the cluster's kubelet configuration: kubelet-config-1.N until v1.23,
// kubelet-config from v1.24 on, "" where the version has none.
func KubeletConfigMapName(v *version.Version) string { return kubeletConfigMapName(v) }
