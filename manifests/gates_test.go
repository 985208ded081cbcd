package manifests

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	catalog "kubebundle/release"
)

// TestGatesOfEveryMinor: each of kubeadm's gates changes what is rendered in the minors where kubeadm had it change that, and in no others;
// and where it changes something, the catalog accepts it.
func TestGatesOfEveryMinor(t *testing.T) {
	plain := map[string]string{}
	for _, tc := range []struct {
		gate  string
		on    bool
		spans []span
	}{
		{"Auditing", true, []span{until(12)}},
		{"DynamicKubeletConfig", true, []span{until(12)}},
		{"HighAvailability", true, []span{until(12)}},
		{"SelfHosting", true, []span{until(12)}},
		{"StoreCertsInSecrets", true, nil}, // changes the DaemonSets only
		{"IPv6DualStack", true, []span{between(16, 22)}},
		{"IPv6DualStack", false, []span{between(16, 22)}},
		{"PublicKeysECDSA", true, []span{between(18, 36)}},
		{"UnversionedKubeletConfigMap", true, []span{between(23, 23)}},
		{"UnversionedKubeletConfigMap", false, []span{between(24, 24)}},
		{"NodeLocalCRISocket", true, []span{between(32, 33)}},
		{"NodeLocalCRISocket", false, []span{between(34, 35)}},
		{"ControlPlaneKubeletLocalMode", true, []span{between(31, 32)}},
		{"ControlPlaneKubeletLocalMode", false, []span{between(33, 34)}},
		{"RootlessControlPlane", true, nil}, // refused
		{"EtcdLearnerMode", true, nil},      // the rest is about how kubeadm works, not about what it makes
		{"UpgradeAddonsBeforeControlPlane", true, nil},
		{"WaitForAllControlPlaneComponents", true, nil},
	} {
		for _, v := range everyMinor() {
			c := at(t, v)
			c.ControlPlaneEndpoint = "lb.example:8443"
			if plain[v] == "" {
				plain[v] = shown(t, c)
			}
			c.FeatureGates = map[string]bool{tc.gate: tc.on}
			ver, err := catalog.Parse("v" + v)
			if err != nil {
				t.Fatal(err)
			}
			rel, err := catalog.Find(ver, catalog.Options{})
			if err != nil {
				t.Fatal(err)
			}
			known := rel.CheckKubeadmGate(tc.gate, tc.on) == nil
			changed := shown(t, c) != plain[v]
			want := slices.ContainsFunc(tc.spans, func(s span) bool { return s.has(minorOf(c.Version)) })
			if known && changed != want {
				t.Errorf("v%s %s=%t changes what is rendered: %t, want %t", v, tc.gate, tc.on, changed, want)
			}
			if want && !known {
				t.Errorf("v%s does not know %s=%t", v, tc.gate, tc.on)
			}
		}
	}
}

// shown is all that a gate may change, as text. The gates themselves, which kubeadm-config keeps, are not in it.
func shown(t *testing.T, c *Cluster) string {
	t.Helper()
	n := controlPlane()
	var out strings.Builder
	out.WriteString(c.KeyType() + KubeletConfigMapOf(c) + describeKubeconfigs(Kubeconfigs(c, n)))
	for _, component := range []string{etcdName, apiServerName, controllerManagerName, schedulerName} {
		f, err := StaticPod(c, n, component)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(f.Data)
	}
	files, err := KubeletFiles(c, n)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		out.WriteString(f.Path)
		out.Write(f.Data)
	}
	proxy, err := KubeProxy(c, n, Kubeconfigs(c, n)[0].Server)
	if err != nil {
		t.Fatal(err)
	}
	data, err := Encode(append(proxy, UploadConfigRBAC(c)...)...)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(data)
	return out.String()
}

// TestGoldenGates is v1.10.6 and v1.12.10 with everything that their own gates can ask for.
func TestGoldenGates(t *testing.T) {
	for _, v := range []string{"1.10.6", "1.12.10"} {
		c := releases[slices.IndexFunc(releases, func(r release) bool { return r.version == v })].cluster()
		c.FeatureGates = map[string]bool{auditingGate: true, dynamicGate: true, availabilityGate: true, selfHostingGate: true}
		days := int32(9)
		c.Audit = AuditPolicy{Path: "/srv/policy.yaml", LogMaxAge: &days}
		c.APIServer.ExtraArgs = []Arg{{"feature-gates", "CustomPodDNS=true"}}
		out := renderAll(t, c, controlPlane())
		for _, secrets := range []bool{false, true} {
			c.FeatureGates[certsInSecretGate] = secrets
			name := "self-hosted.yaml"
			if secrets {
				name = "self-hosted-with-secrets.yaml"
			}
			out[name] = selfHostedAll(t, c)
		}
		for name := range out { // the rest does not depend on gates
			if !slices.Contains([]string{"kube-apiserver.yaml", "kubeadm-config.yaml", "kubelet-config.yaml", "rbac.yaml", "20-kubebundle.conf", "kubeadm-flags.env", "kubelet"}, name) &&
				!strings.HasPrefix(name, "self-hosted") {
				delete(out, name)
			}
		}
		compareDir(t, filepath.Join("testdata", "gates-"+v), out)
		back, err := ParseKubeadmConfigMap(c.Version, parsedConfigMap(t, c))
		if err != nil || !back.Auditing() || back.Audit.Path != "/srv/policy.yaml" || !back.DynamicKubelet() {
			t.Errorf("v%s: read back: %v, %+v", v, err, back)
		}
	}
}

func parsedConfigMap(t *testing.T, c *Cluster) *corev1.ConfigMap {
	t.Helper()
	cm, err := KubeadmConfigMap(c, controlPlane())
	if err != nil {
		t.Fatal(err)
	}
	return cm
}

func selfHostedAll(t *testing.T, c *Cluster) []byte {
	t.Helper()
	var objs []runtime.Object
	for _, comp := range []string{apiServerName, controllerManagerName, schedulerName} {
		f, err := StaticPod(c, controlPlane(), comp)
		if err != nil {
			t.Fatal(err)
		}
		var pod corev1.Pod
		if err := yaml.Unmarshal(f.Data, &pod); err != nil {
			t.Fatal(err)
		}
		ds, err := SelfHosted(c, comp, &pod)
		if err != nil {
			t.Fatal(err)
		}
		objs = append(objs, ds)
	}
	data, err := Encode(objs...)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A file that is in no Secret cannot be seen by a pod that has only Secrets.
func TestSelfHostedWithAFileOfTheUsers(t *testing.T) {
	c := releases[0].cluster()
	c.FeatureGates = map[string]bool{selfHostingGate: true, certsInSecretGate: true}
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Command: []string{apiServerName, "--tls-cert-file=" + path.Join(c.CertificatesDir, "own.crt")}}},
		Volumes:    []corev1.Volume{{Name: certsVolume}},
	}}
	if _, err := SelfHosted(c, apiServerName, pod); err == nil || !strings.Contains(err.Error(), "own.crt, which is in no Secret") {
		t.Errorf("got %v", err)
	}
}
