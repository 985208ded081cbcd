package phase

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/yaml"

	"kubebundle/installer/host"
	"kubebundle/manifests"
	"kubebundle/release"
)

// clusterDocs are the cluster's configuration as it was when the upgrade began.
type clusterDocs struct {
	kubeadm, kubelet, proxy, dns, vip *corev1.ConfigMap
	dnsReplicas                       *int32
}

// readDocs takes the cluster's configuration from the cluster; when the upgrade has begun, from what was kept, since the API may be away by then.
func (u *Upgrade) readDocs(ctx context.Context, s *State, r host.Reader) (*version.Version, error) {
	if u.pending != nil {
		data, err := r.ReadFile(keptObjects)
		if err != nil {
			return nil, fmt.Errorf("go on with the upgrade to %s: %w", u.pending.To, err)
		}
		if u.docs, err = parseKept(data, s.version()); err != nil {
			return nil, fmt.Errorf("go on with the upgrade to %s: %s: %w", u.pending.To, keptObjects, err)
		}
		return release.Parse(u.pending.From)
	}
	limit, cancel := context.WithTimeout(ctx, s.timeouts().KubernetesAPICall/3)
	defer cancel()
	c, err := u.API(limit)
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	kubeadm, err := c.SystemConfigMap(limit, "kubeadm-config")
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	if kubeadm == nil {
		return nil, errors.New("read the cluster's configuration: there is no ConfigMap kube-system/kubeadm-config; was this cluster made by kubeadm or kubebundle?")
	}
	have, err := ClusterVersion(kubeadm)
	if err != nil {
		return nil, err
	}
	u.docs.kubeadm = kubeadm
	if name := manifests.KubeletConfigMapName(have); name != "" {
		if u.docs.kubelet, err = c.SystemConfigMap(limit, name); err != nil {
			return nil, err
		}
	}
	if !u.controlPlane {
		return have, nil
	}
	if u.docs.proxy, err = c.SystemConfigMap(limit, "kube-proxy"); err != nil {
		return nil, err
	}
	if u.docs.dns, err = c.SystemConfigMap(limit, "coredns"); err != nil {
		return nil, err
	}
	if u.docs.vip, err = c.SystemConfigMap(limit, manifests.VirtualIPConfigMap); err != nil {
		return nil, err
	}
	u.docs.dnsReplicas, err = c.Replicas(limit, "kube-system", "coredns")
	return have, err
}

// parseKept reads the documents out of what UpgradeBackup kept.
func parseKept(data []byte, target *version.Version) (clusterDocs, error) {
	var docs clusterDocs
	var list []struct {
		Kind     string `json:"kind"`
		Metadata struct {
			Name        string            `json:"name"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Data map[string]string `json:"data"`
		Spec struct {
			Replicas *int32 `json:"replicas"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(data, &list); err != nil {
		return docs, err
	}
	for _, o := range list {
		cm := &corev1.ConfigMap{Data: o.Data}
		cm.Name, cm.Annotations = o.Metadata.Name, o.Metadata.Annotations
		switch {
		case o.Kind == "Deployment" && o.Metadata.Name == "coredns":
			docs.dnsReplicas = o.Spec.Replicas
		case o.Kind != "ConfigMap":
		case cm.Name == "kubeadm-config":
			docs.kubeadm = cm
		case cm.Name == "kube-proxy":
			docs.proxy = cm
		case cm.Name == "coredns":
			docs.dns = cm
		case cm.Name == manifests.VirtualIPConfigMap:
			docs.vip = cm
		case strings.HasPrefix(cm.Name, "kubelet-config"):
			// Where both the old and the new name are there, the old one is what the upgrade began with.
			if docs.kubelet == nil || docs.kubelet.Name == manifests.KubeletConfigMapName(target) {
				docs.kubelet = cm
			}
		}
	}
	if docs.kubeadm == nil {
		return docs, errors.New("it has no kubeadm-config")
	}
	return docs, nil
}

// userDocument is a component's configuration as the cluster keeps it, to be laid over the new version's defaults; nil where nobody has changed what
// an installer wrote, which it signed (kubeadm 1.34 componentconfigs).
func userDocument(cm *corev1.ConfigMap, key string) (map[string]any, error) {
	if cm == nil || manifests.Untouched(cm) {
		return nil, nil
	}
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(cm.Data[key]), &doc); err != nil {
		return nil, fmt.Errorf("read ConfigMap kube-system/%s: %w", cm.Name, err)
	}
	return doc, nil
}
