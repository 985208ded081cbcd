package manifests

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/yaml"
)

const (
	kubeletConfigKey  = "kubelet"
	kubeletConfigKind = "KubeletConfiguration"
	kubeletHealthPort = 10248
	configHashNote    = "kubeadm.kubernetes.io/component-config.hash"
	// baseConfigMap is what kubeadm 1.10 made for DynamicKubeletConfig, with the number of the version before.
	baseConfigMap = "kubelet-base-config-1.9"
	// baseConfigFile is the same document on the node, for the first start of its kubelet.
	baseConfigFile   = kubeletDir + "/config/init/kubelet"
	dynamicConfigDir = kubeletDir + "/dynamic-config"
)

// KubeletConfigMapName is the ConfigMap with the cluster's kubelet configuration: kubelet-config-1.N from 1.11 to 1.23, kubelet-config
// since, "" for 1.10, which had none (facts section 6.4).
func KubeletConfigMapName(v *version.Version) string {
	return pick(v, []row[string]{
		{between(11, 23), "kubelet-config-1." + strconv.FormatUint(uint64(minorOf(v)), 10)},
		{since(24), "kubelet-config"},
	})
}

// clusterKubeletConfig is the cluster's KubeletConfiguration: what kubeadm decides, with the user's document over it (kubeadm 1.34
// componentconfigs/kubelet.go; facts section 3.4). As in kubeadm the user cannot turn certificate rotation off.
func clusterKubeletConfig(c *Cluster) (map[string]any, error) {
	dns, err := ServiceIP(c.ServiceSubnet, dnsServiceIP)
	if err != nil {
		return nil, err
	}
	doc := map[string]any{
		"apiVersion":    "kubelet.config.k8s.io/v1beta1",
		"kind":          kubeletConfigKind,
		"staticPodPath": manifestsDir,
		"clusterDNS":    []any{dns.String()},
		"clusterDomain": c.DNSDomain,
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": c.pki("ca.crt")},
		},
		"authorization":      map[string]any{"mode": "Webhook"},
		"healthzBindAddress": ipv4Loopback,
		"healthzPort":        kubeletHealthPort,
	}
	if d := KubeletCgroupDriver(c.Version); d != "cgroupfs" { // which is the kubelet's own default, and kubeadm writes nothing
		doc["cgroupDriver"] = d
	}
	doc = overlay(overlay(doc, c.gatedConfig()), c.KubeletConfig)
	doc["rotateCertificates"] = true
	return doc, nil
}

// overlay lays one JSON object over another: objects are merged key by key, everything else is replaced. Neither input is changed.
func overlay(base, over map[string]any) map[string]any {
	out := maps.Clone(base)
	for key, value := range over {
		under, isObject := out[key].(map[string]any)
		if object, ok := value.(map[string]any); ok && isObject {
			out[key] = overlay(under, object)
			continue
		}
		out[key] = value
	}
	return out
}

// KubeletConfigMapOf is the same for a cluster whose gates may ask for another one: kubelet-base-config-1.9 of v1.10 with
// DynamicKubeletConfig, and either name where UnversionedKubeletConfigMap is said.
func KubeletConfigMapOf(c *Cluster) string {
	_, chosen := c.FeatureGates[unversionedKubelet.name]
	switch {
	case !isSince(c.Version, 11) && c.DynamicKubelet():
		return baseConfigMap
	case chosen && c.enabled(unversionedKubelet):
		return "kubelet-config"
	case chosen && isSince(c.Version, 11):
		return "kubelet-config-1." + strconv.FormatUint(uint64(minorOf(c.Version)), 10)
	default:
		return KubeletConfigMapName(c.Version)
	}
}

// KubeletConfigMap is kubelet-config (or kubelet-config-1.N) with the cluster's KubeletConfiguration; nil for v1.10, which has one only
// with DynamicKubeletConfig.
// A configuration that no user touched carries a hash from 1.19 on, by which kubeadm knows that it may rewrite it.
func KubeletConfigMap(c *Cluster) (*corev1.ConfigMap, error) {
	name := KubeletConfigMapOf(c)
	if name == "" {
		return nil, nil
	}
	doc, err := clusterKubeletConfig(c)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	data, err := encodeMap(doc)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	cm := configMap(kubeSystem, name, map[string]string{kubeletConfigKey: string(data)})
	if isSince(c.Version, 19) && len(c.KubeletConfig) == 0 {
		sign(cm)
	}
	return cm, nil
}

// sign adds the hash over all values in the order of their keys (kubeadm 1.34 componentconfigs/checksums.go).
func sign(cm *corev1.ConfigMap) {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(cm.Data)) {
		h.Write([]byte(cm.Data[key]))
	}
	cm.Annotations = map[string]string{configHashNote: "sha256:" + hex.EncodeToString(h.Sum(nil))}
}

// Untouched reports whether a ConfigMap of a component's configuration is as an installer wrote it: its signature fits. Then nobody has chosen what is
// in it, and an upgrade may write what the new version wants.
func Untouched(cm *corev1.ConfigMap) bool {
	signed := cm.Annotations[configHashNote]
	if signed == "" {
		return false
	}
	fresh := &corev1.ConfigMap{Data: cm.Data}
	sign(fresh)
	return fresh.Annotations[configHashNote] == signed
}

// KubeletFiles renders what the kubelet reads on this node: config.yaml, kubeadm-flags.env, from 1.34 instance-config.yaml, and for
// v1.10 the drop-in with the site's values. The node's address is always passed to the kubelet.
func KubeletFiles(c *Cluster, n *Node) ([]File, error) {
	doc, err := clusterKubeletConfig(c)
	if err != nil {
		return nil, fmt.Errorf("render kubelet files: %w", err)
	}
	return kubeletFiles(c, n, doc)
}

// KubeletFilesFromConfigMap renders the joining node's files from the cluster's ConfigMap data. For v1.10, which has no such ConfigMap,
// cm is nil and the files follow the Cluster.
func KubeletFilesFromConfigMap(c *Cluster, n *Node, cm *corev1.ConfigMap) ([]File, error) {
	if !isSince(c.Version, 11) {
		return KubeletFiles(c, n)
	}
	if cm == nil {
		return nil, errors.New("read kubelet configuration: the cluster gave no ConfigMap")
	}
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(cm.Data[kubeletConfigKey]), &doc); err != nil {
		return nil, fmt.Errorf("read ConfigMap %s: %w", cm.Name, err)
	}
	if text(doc, "kind") != kubeletConfigKind {
		return nil, fmt.Errorf("read ConfigMap %s: key %q holds no %s", cm.Name, kubeletConfigKey, kubeletConfigKind)
	}
	return kubeletFiles(c, n, doc)
}

// kubeletFiles adds to the cluster's configuration what only this node knows.
func kubeletFiles(c *Cluster, n *Node, doc map[string]any) ([]File, error) {
	if !isSince(c.Version, 11) {
		return kubeletFlagFiles(c, n, doc)
	}
	flags, err := kubeletFlags(c, n, doc)
	if err != nil {
		return nil, err
	}
	files := []File{{Path: kubeletFlagsEnv, Mode: readableFileMode, Data: flags}}
	own := map[string]any{}
	if isSince(c.Version, 19) && n.ResolvConf != "" && doc["resolvConf"] == nil {
		own["resolvConf"] = n.ResolvConf
	}
	if c.enabled(nodeLocalCRISocket) {
		instance := map[string]any{"containerRuntimeEndpoint": c.criSocket(n)}
		own = overlay(own, instance)
		data, err := yaml.Marshal(instance)
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", kubeletInstance, err)
		}
		files = append(files, File{Path: kubeletInstance, Mode: readableFileMode, Data: data})
	}
	data, err := encodeMap(overlay(doc, own))
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", kubeletConfig, err)
	}
	return append(files, File{Path: kubeletConfig, Mode: readableFileMode, Data: data}), nil
}

// KubeletCgroupDriver is what the kubelet uses when nobody says otherwise: cgroupfs, its own default, and systemd from v1.22 on, where
// kubeadm writes it when it is unset (CHANGELOG-1.22).
func KubeletCgroupDriver(v *version.Version) string {
	if isSince(v, 22) {
		return "systemd"
	}
	return "cgroupfs"
}
