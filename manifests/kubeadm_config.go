package manifests

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/yaml"
)

const (
	kubeadmConfigMapName = "kubeadm-config"
	clusterConfigKey     = "ClusterConfiguration" // 1.12+
	clusterStatusKey     = "ClusterStatus"        // 1.12 to 1.21
	masterConfigKey      = "MasterConfiguration"  // up to 1.11
	kubeadmGroup         = "kubeadm.k8s.io/"
)

// kubeadmAPI is the API version that the kubeadm of a minor stores (apis of kubeadm 1.10 … 1.37; facts section 8.1).
var kubeadmAPI = []row[string]{
	{until(10), "v1alpha1"},
	{between(11, 11), "v1alpha2"},
	{between(12, 12), "v1alpha3"},
	{between(13, 14), "v1beta1"},
	{between(15, 21), "v1beta2"},
	{between(22, 30), "v1beta3"},
	{since(31), "v1beta4"},
}

// KubeadmConfigMap is kubeadm-config in the API version that the cluster's own kubeadm would store. n is the node that init makes: up to
// 1.21 the ConfigMap also lists the API servers (facts section 6.4). No token is ever in it.
func KubeadmConfigMap(c *Cluster, n *Node) (*corev1.ConfigMap, error) {
	api := pick(c.Version, kubeadmAPI)
	data := map[string]string{}
	var err error
	switch {
	case !isSince(c.Version, 12):
		data[masterConfigKey], err = encodeDocument(masterConfiguration(c, n, api))
	case api == "v1alpha3":
		data[clusterConfigKey], err = encodeDocument(clusterConfigurationAlpha(c))
	default:
		data[clusterConfigKey], err = encodeDocument(clusterConfigurationBeta(c, api))
	}
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", kubeadmConfigMapName, err)
	}
	if between(12, 21).has(minorOf(c.Version)) {
		if data[clusterStatusKey], err = encodeDocument(clusterStatus(c, n, api)); err != nil {
			return nil, fmt.Errorf("render %s: %w", kubeadmConfigMapName, err)
		}
	}
	return configMap(kubeSystem, kubeadmConfigMapName, data), nil
}

// encodeDocument writes a document that has its own apiVersion and kind.
func encodeDocument(doc any) (string, error) {
	raw, err := yaml.Marshal(doc)
	if err != nil {
		return "", err
	}
	var generic map[string]any
	if err := yaml.Unmarshal(raw, &generic); err != nil {
		return "", err
	}
	data, err := encodeMap(generic)
	return string(data), err
}

// ParseKubeadmConfigMap reads a cluster's kubeadm-config back (for join), in any of the API versions since v1alpha1. Images are not in it,
// nor are the user's kubelet and kube-proxy documents, which have ConfigMaps of their own. Cluster.Version is the version that the
// ConfigMap names, so that a caller can compare it with its own; v stands in where it names none.
func ParseKubeadmConfigMap(v *version.Version, cm *corev1.ConfigMap) (*Cluster, error) {
	c, err := parseKubeadmConfig(cm)
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap %s: %w", kubeadmConfigMapName, err)
	}
	if c.Version == nil {
		c.Version = v
	}
	c.setDefaults()
	return c, nil
}

func parseKubeadmConfig(cm *corev1.ConfigMap) (*Cluster, error) {
	if cm == nil {
		return nil, errors.New("the cluster gave none")
	}
	data, found := cm.Data[clusterConfigKey]
	if !found {
		if data, found = cm.Data[masterConfigKey]; !found {
			return nil, fmt.Errorf("neither key %s nor %s is in it; was this cluster made by kubeadm or kubebundle?", clusterConfigKey, masterConfigKey)
		}
	}
	var head struct {
		APIVersion string `json:"apiVersion"`
	}
	if err := yaml.Unmarshal([]byte(data), &head); err != nil {
		return nil, err
	}
	var c *Cluster
	var err error
	switch api := strings.TrimPrefix(head.APIVersion, kubeadmGroup); api {
	case "v1alpha1", "v1alpha2", "v1alpha3":
		c, err = parseAlpha(api, []byte(data))
	case "v1beta1", "v1beta2", "v1beta3", "v1beta4":
		c, err = parseBeta([]byte(data))
	default:
		return nil, fmt.Errorf("its API version %q is unknown here; use a newer kubebundle", head.APIVersion)
	}
	if err != nil {
		return nil, err
	}
	if status := cm.Data[clusterStatusKey]; status != "" {
		if c.APIEndpoints, err = parseClusterStatus([]byte(status)); err != nil {
			return nil, fmt.Errorf("key %s: %w", clusterStatusKey, err)
		}
	}
	return c, nil
}

// setDefaults fills what a stored configuration may leave to kubeadm's defaults (facts section 8.1).
func (c *Cluster) setDefaults() {
	for _, d := range []struct {
		field *string
		value string
	}{
		{&c.Name, defaultClusterName},
		{&c.CertificatesDir, "/etc/kubernetes/pki"},
		{&c.ServiceSubnet, "10.96.0.0/12"},
		{&c.DNSDomain, "cluster.local"},
		{&c.KeyAlgorithm, "RSA-2048"},
	} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if c.Etcd.External == nil && c.Etcd.DataDir == "" {
		c.Etcd.DataDir = "/var/lib/etcd"
	}
}

// endpoints are the known API servers with this node's.
func (c *Cluster) endpoints(n *Node) map[string]endpointDoc {
	out := map[string]endpointDoc{}
	for name, e := range c.APIEndpoints {
		out[name] = endpointDoc(e)
	}
	out[n.Name] = endpointDoc{AdvertiseAddress: n.AdvertiseAddress.String(), BindPort: n.port()}
	return out
}

type endpointDoc struct {
	AdvertiseAddress string `json:"advertiseAddress,omitempty"`
	BindPort         int    `json:"bindPort,omitempty"`
}

type statusDoc struct {
	APIVersion   string                 `json:"apiVersion"`
	Kind         string                 `json:"kind"`
	APIEndpoints map[string]endpointDoc `json:"apiEndpoints"`
}

func clusterStatus(c *Cluster, n *Node, api string) statusDoc {
	return statusDoc{APIVersion: kubeadmGroup + api, Kind: clusterStatusKey, APIEndpoints: c.endpoints(n)}
}

func parseClusterStatus(data []byte) (map[string]APIEndpoint, error) {
	var doc statusDoc
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	out := map[string]APIEndpoint{}
	for name, e := range doc.APIEndpoints {
		out[name] = APIEndpoint(e)
	}
	return out, nil
}

// parseVersion reads kubernetesVersion; a label that is no version ("stable-1.9") counts as none given.
func parseVersion(s string) *version.Version {
	v, err := version.Parse(s)
	if err != nil {
		return nil
	}
	return v
}

// parseDuration reads a Go duration, 0 where there is none.
func parseDuration(field, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", field, err)
	}
	return d, nil
}

// duration writes d, or what kubeadm takes for a zero one.
func duration(d, otherwise time.Duration) string {
	if d <= 0 {
		d = otherwise
	}
	return d.String()
}

// argMap is how extraArgs are stored up to v1beta3: a name can only be there once, the last one wins.
func argMap(args []Arg) map[string]string {
	if len(args) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, a := range args {
		out[a.Name] = a.Value
	}
	return out
}

// fromArgMap gives them a stable order.
func fromArgMap(m map[string]string) []Arg {
	var out []Arg
	for name, value := range maps.All(m) {
		out = append(out, Arg{name, value})
	}
	return mergeArgs(out, nil)
}
