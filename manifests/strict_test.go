package manifests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kubeproxyv1alpha1 "k8s.io/kube-proxy/config/v1alpha1"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"
)

// TestEveryMinorDecodesStrictly renders all minors, and the releases that have golden files, and lets the API's own types judge each
// document: an unknown or doubled field is an error.
func TestEveryMinorDecodesStrictly(t *testing.T) {
	decode := strictDecoder(t)
	clusters := map[string]*Cluster{}
	for _, v := range everyMinor() {
		clusters[v] = at(t, v)
	}
	for _, r := range releases {
		clusters[r.version] = r.cluster()
	}
	for v, c := range clusters {
		t.Run(v, func(t *testing.T) {
			out := renderAll(t, c, controlPlane())
			seen := 0
			for name, data := range out {
				if !strings.HasSuffix(name, ".yaml") || name == "node.yaml" || name == "instance-config.yaml" {
					continue
				}
				for _, doc := range documents(t, data) {
					decode(t, name, doc)
					seen++
				}
			}
			if seen < 20 {
				t.Errorf("only %d documents", seen)
			}
		})
	}
}

// strictDecoder decodes API objects and, inside them, the configuration documents of the components.
func strictDecoder(t *testing.T) func(t *testing.T, name string, doc []byte) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, rbacv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	return func(t *testing.T, name string, doc []byte) {
		t.Helper()
		if bytes.Contains(doc, []byte("kind: KubeletConfiguration")) && name == "config.yaml" {
			strictInto(t, name, doc, &kubeletv1beta1.KubeletConfiguration{})
			return
		}
		obj, _, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, doc)
			return
		}
		cm, ok := obj.(*corev1.ConfigMap)
		if !ok {
			return
		}
		if data := cm.Data["kubelet"]; data != "" {
			strictInto(t, name, []byte(data), &kubeletv1beta1.KubeletConfiguration{})
		}
		if data := cm.Data["config.conf"]; data != "" {
			strictInto(t, name, []byte(data), &kubeproxyv1alpha1.KubeProxyConfiguration{})
		}
		if data := cm.Data[clusterConfigKey]; strings.Contains(data, "/v1beta") {
			strictInto(t, name, []byte(data), &clusterDoc{})
		} else if data += cm.Data[masterConfigKey]; data != "" {
			strictInto(t, name, []byte(data), &alphaDoc{})
		}
	}
}

func strictInto(t *testing.T, name string, data []byte, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(data, into); err != nil {
		t.Errorf("%s: %v\n%s", name, err, data)
	}
}

// documents splits YAML as kubectl does.
func documents(t *testing.T, data []byte) [][]byte {
	t.Helper()
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	var out [][]byte
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, doc)
	}
}

// TestEncodeIsCanonical: apiVersion and kind lead, nothing that the server owns is written, equal input gives equal bytes.
func TestEncodeIsCanonical(t *testing.T) {
	c := at(t, "1.36.3")
	first := renderAll(t, c, controlPlane())
	second := renderAll(t, c, controlPlane())
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("a second rendering differs:\n%s", diff)
	}
	for name, data := range first {
		if !strings.HasSuffix(name, ".yaml") || name == "node.yaml" || name == "instance-config.yaml" {
			continue
		}
		for _, doc := range documents(t, data) {
			text := strings.TrimPrefix(string(doc), "---\n")
			if strings.HasPrefix(text, "#") { // the path that renderAll notes
				_, text, _ = strings.Cut(text, "\n")
			}
			lines := strings.Split(text, "\n")
			if !strings.HasPrefix(lines[0], "apiVersion: ") || !strings.HasPrefix(lines[1], "kind: ") {
				t.Errorf("%s starts with %q", name, lines[:2])
			}
			if strings.Contains(text, "creationTimestamp") || strings.Contains(text, "\nstatus:") {
				t.Errorf("%s holds what the server owns:\n%s", name, text)
			}
		}
	}
}

// TestEncodeRefusesNameless: an object without apiVersion and kind would be lost in a file.
func TestEncodeRefusesNameless(t *testing.T) {
	if _, err := Encode(&corev1.ConfigMap{}); err == nil || !strings.Contains(err.Error(), "apiVersion or kind") {
		t.Errorf("got %v", err)
	}
}

// TestKubeadmConfigRoundTrip: what is stored comes back, in the API of every minor.
func TestKubeadmConfigRoundTrip(t *testing.T) {
	for _, v := range everyMinor() {
		t.Run(v, func(t *testing.T) {
			want := roundTripCluster(t, v)
			cm, err := KubeadmConfigMap(want, controlPlane())
			if err != nil {
				t.Fatal(err)
			}
			for key, data := range cm.Data {
				if strings.Contains(data, "token") {
					t.Errorf("%s mentions a token", key)
				}
			}
			got, err := ParseKubeadmConfigMap(nil, cm)
			if err != nil {
				t.Fatal(err)
			}
			normalize(want, got)
			if diff := cmp.Diff(asJSON(t, want), asJSON(t, got)); diff != "" {
				t.Errorf("(-stored +read):\n%s", diff)
			}
		})
	}
}

func roundTripCluster(t *testing.T, v string) *Cluster {
	t.Helper()
	c := at(t, v)
	c.ControlPlaneEndpoint = "lb.example:6443"
	c.CertSANs = []string{"api.example"}
	c.FeatureGates = map[string]bool{"Some": true}
	c.APIServer = Component{
		ExtraArgs:    []Arg{{"profiling", "false"}, {"v", "4"}},
		ExtraVolumes: []HostPathMount{{Name: "x", HostPath: "/x", MountPath: "/y"}},
	}
	c.Etcd.Local.ExtraArgs = []Arg{{"quota-backend-bytes", "8589934592"}}
	c.Etcd.ServerCertSANs = []string{"etcd.example"}
	c.HealthCheckTimeout = defaultHealthCheckTimeout
	c.CertificateValidity, c.CACertificateValidity = defaultValidity, defaultCAValidity
	c.KubeDNS = !isSince(c.Version, 21)
	return c
}

// normalize drops what a version does not store.
func normalize(want, got *Cluster) {
	want.Images = nil
	v := want.Version
	if !isSince(v, 31) {
		want.CertificateValidity, want.CACertificateValidity = 0, 0
	}
	if isSince(v, 31) || !isSince(v, 13) {
		want.HealthCheckTimeout = 0
	}
	if !isSince(v, 22) {
		want.APIEndpoints = map[string]APIEndpoint{"cp1": {"10.77.0.11", 6443}}
	}
	got.Version = v
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestParseKubeadmConfigRefuses what it cannot read, with a word on what to do.
func TestParseKubeadmConfigRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		cm   *corev1.ConfigMap
		want string
	}{
		"nothing":     {nil, "gave none"},
		"no key":      {&corev1.ConfigMap{Data: map[string]string{"x": "y"}}, "made by kubeadm"},
		"future":      {configOf("apiVersion: kubeadm.k8s.io/v1\nkind: ClusterConfiguration\n"), "newer kubebundle"},
		"no yaml":     {configOf("{"), "yaml"},
		"wrong type":  {configOf("apiVersion: kubeadm.k8s.io/v1beta4\ncertificatesDir: {}\n"), "certificatesDir"},
		"bad period":  {configOf("apiVersion: kubeadm.k8s.io/v1beta4\ncertificateValidityPeriod: soon\n"), "certificateValidityPeriod"},
		"bad status":  {&corev1.ConfigMap{Data: map[string]string{clusterConfigKey: "apiVersion: kubeadm.k8s.io/v1beta2\n", clusterStatusKey: "[]"}}, "ClusterStatus"},
		"bad alpha":   {configOf("apiVersion: kubeadm.k8s.io/v1alpha3\netcd: 7\n"), "etcd"},
		"bad extra":   {configOf("apiVersion: kubeadm.k8s.io/v1beta4\nscheduler: {extraArgs: 7}\n"), "unmarshal"},
		"empty value": {configOf(""), "unknown here"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseKubeadmConfigMap(nil, tc.cm)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want it to say %q", err, tc.want)
			}
		})
	}
}

func configOf(doc string) *corev1.ConfigMap {
	return &corev1.ConfigMap{Data: map[string]string{clusterConfigKey: doc}}
}
