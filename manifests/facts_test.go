package manifests

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/version"
)

// TestNodeMarks: labels and taints (facts section 6.6).
func TestNodeMarks(t *testing.T) {
	for v, want := range map[string]struct{ labels, taints string }{
		"1.10.6": {"master", "master"}, "1.19.1": {"master", "master"}, "1.20.15": {"control-plane,master", "master"},
		"1.21.1": {"control-plane,exclude,master", "master"}, "1.23.1": {"control-plane,exclude,master", "master"},
		"1.24.17": {"control-plane,exclude", "control-plane,master"},
		"1.25.1":  {"control-plane,exclude", "control-plane"}, "1.36.3": {"control-plane,exclude", "control-plane"},
	} {
		short := func(key string) string {
			_, name, _ := strings.Cut(key, "/")
			return strings.TrimSuffix(name, "-from-external-load-balancers")
		}
		var labels, taints []string
		for key := range ControlPlaneLabels(version.MustParseGeneric(v)) {
			labels = append(labels, short(key))
		}
		for _, taint := range ControlPlaneTaints(version.MustParseGeneric(v)) {
			taints = append(taints, short(taint.Key))
		}
		slices.Sort(labels)
		slices.Sort(taints)
		if strings.Join(labels, ",") != want.labels || strings.Join(taints, ",") != want.taints {
			t.Errorf("v%s: labels %v taints %v, want %+v", v, labels, taints, want)
		}
	}
	for v, want := range map[string]string{
		"1.10.6": "", "1.18.20": "/run/containerd/containerd.sock", "1.33.1": "unix:///run/containerd/containerd.sock", "1.34.4": "",
	} {
		if got := NodeAnnotations(at(t, v), controlPlane())[criSocketNote]; got != want {
			t.Errorf("v%s: CRI socket noted as %q, want %q", v, got, want)
		}
	}
}

// TestFeatureGates: kubeadm's gates change what is rendered until they are locked.
func TestFeatureGates(t *testing.T) {
	for _, tc := range []struct {
		version string
		gates   map[string]bool
		local   bool
	}{
		{"1.32.1", nil, false},
		{"1.32.1", map[string]bool{"ControlPlaneKubeletLocalMode": true}, true},
		{"1.33.1", nil, true},
		{"1.34.4", map[string]bool{"ControlPlaneKubeletLocalMode": false}, false},
		{"1.36.3", map[string]bool{"ControlPlaneKubeletLocalMode": false}, true},
	} {
		c := at(t, tc.version)
		c.FeatureGates, c.ControlPlaneEndpoint = tc.gates, "lb.example:8443"
		for _, k := range Kubeconfigs(c, controlPlane()) {
			want := "https://lb.example:8443"
			if k.Name == "controller-manager" || k.Name == "scheduler" || k.Name == "kubelet" && tc.local {
				want = "https://10.77.0.11:6443"
			}
			if k.Server != want {
				t.Errorf("v%s %v: %s uses %s, want %s", tc.version, tc.gates, k.Name, k.Server, want)
			}
		}
	}
	old := at(t, "1.18.20")
	old.ControlPlaneEndpoint = "lb.example"
	for _, k := range Kubeconfigs(old, controlPlane()) {
		if k.Server != "https://lb.example:6443" {
			t.Errorf("v1.18: %s uses %s", k.Name, k.Server)
		}
	}
}

// TestCertificates: what changed over the versions (facts section 5).
func TestCertificates(t *testing.T) {
	cert := func(v, name string) CertSpec {
		t.Helper()
		specs, err := Certificates(at(t, v), controlPlane())
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(specs, func(s CertSpec) bool { return s.Name == name })
		if i < 0 {
			t.Fatalf("v%s has no %s", v, name)
		}
		return specs[i]
	}
	for _, tc := range []struct{ version, name, cn, org string }{
		{"1.11.1", "etcd-ca", "kubernetes", ""},
		{"1.12.1", "etcd-ca", "etcd-ca", ""},
		{"1.12.1", "front-proxy-ca", "front-proxy-ca", ""},
		{"1.10.1", "etcd-server", "kube-etcd", ""},
		{"1.11.1", "etcd-server", "cp1", ""},
		{"1.10.1", "etcd-peer", "kube-etcd-peer", ""},
		{"1.28.1", "apiserver-kubelet-client", kubeletClientCommonName, "system:masters"},
		{"1.29.1", "apiserver-kubelet-client", kubeletClientCommonName, "kubeadm:cluster-admins"},
		{"1.36.0", "apiserver-kubelet-client", kubeletClientCommonName, "kubeadm:cluster-admins"},
		{"1.36.1", "apiserver-kubelet-client", kubeletClientCommonName, ""},
		{"1.35.4", "apiserver-kubelet-client", kubeletClientCommonName, "kubeadm:cluster-admins"},
		{"1.35.5", "apiserver-kubelet-client", kubeletClientCommonName, ""},
		{"1.34.7", "apiserver-kubelet-client", kubeletClientCommonName, "kubeadm:cluster-admins"},
		{"1.34.8", "apiserver-kubelet-client", kubeletClientCommonName, ""},
		{"1.33.11", "apiserver-kubelet-client", kubeletClientCommonName, "kubeadm:cluster-admins"},
		{"1.33.12", "apiserver-kubelet-client", kubeletClientCommonName, ""},
		{"1.37.0", "apiserver-kubelet-client", kubeletClientCommonName, ""},
		{"1.28.1", "etcd-healthcheck-client", "kube-etcd-healthcheck-client", "system:masters"},
		{"1.29.1", "etcd-healthcheck-client", "kube-etcd-healthcheck-client", ""},
		{"1.28.1", "apiserver-etcd-client", "kube-apiserver-etcd-client", "system:masters"},
		{"1.29.1", "apiserver-etcd-client", "kube-apiserver-etcd-client", ""},
	} {
		got := cert(tc.version, tc.name)
		if got.CommonName != tc.cn || strings.Join(got.Organization, ",") != tc.org {
			t.Errorf("v%s %s: CN=%s O=%v, want CN=%s O=%s", tc.version, tc.name, got.CommonName, got.Organization, tc.cn, tc.org)
		}
	}
	server := cert("1.36.3", "apiserver")
	if diff := cmp.Diff([]string{"cp1", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}, server.DNSNames); diff != "" {
		t.Error(diff)
	}
	if got := server.IPAddresses; len(got) != 2 || got[0].String() != "10.96.0.1" || got[1].String() != "10.77.0.11" {
		t.Errorf("apiserver addresses: %v", got)
	}
	if got := cert("1.12.1", "etcd-server").IPAddresses; len(got) != 2 {
		t.Errorf("v1.12 etcd-server has the node's address: %v", got)
	}

	c := at(t, "1.36.3")
	c.CertSANs = []string{"Not_A_Name"}
	if _, err := Certificates(c, controlPlane()); err == nil || !strings.Contains(err.Error(), "certSANs") {
		t.Errorf("a bad SAN: %v", err)
	}
	c = at(t, "1.36.3")
	c.Etcd.External = &ExternalEtcd{Endpoints: []string{"https://e:2379"}}
	specs, err := Certificates(c, controlPlane())
	if err != nil || len(specs) != 5 {
		t.Errorf("external etcd: %v %v", specs, err)
	}
}

// TestRBACSpans: which object a version has (facts section 6.3; nodes-kubeadm-config is ours in all).
func TestRBACSpans(t *testing.T) {
	for name, want := range map[string]span{
		"ClusterRoleBinding kubeadm:kubelet-bootstrap":          since(10),
		"ClusterRoleBinding kubeadm:get-nodes":                  since(18),
		"ClusterRole kubeadm:get-nodes":                         since(18),
		"Role kubeadm:kubelet-config":                           since(24),
		"Role kubeadm:nodes-kubeadm-config":                     since(10),
		"ClusterRoleBinding kubeadm:apiserver-kubelet-client":   since(34), // patch 9 of each minor; 1.33 has it from patch 12 on
		"ClusterRoleBinding kubeadm:cluster-admins":             since(29),
		"ClusterRoleBinding kubeadm:node-autoapprove-bootstrap": since(10),
	} {
		for _, v := range everyMinor() {
			c := at(t, v)
			objs := append(UploadConfigRBAC(c), BootstrapTokenRBAC(c)...)
			if b := ClusterAdminsBinding(c); b != nil {
				objs = append(objs, b)
			}
			found := false
			for _, o := range objs {
				doc, err := toMap(o)
				if err != nil {
					t.Fatal(err)
				}
				found = found || text(doc, "kind")+" "+text(doc, "metadata", "name") == name
			}
			if found != want.has(minorOf(c.Version)) {
				t.Errorf("v%s: %s is there: %v, want %v", v, name, found, !found)
			}
		}
	}
	for v, want := range map[string]string{"1.10.6": "", "1.11.1": "kubelet-config-1.11", "1.23.1": "kubelet-config-1.23", "1.24.1": "kubelet-config"} {
		cm, err := KubeletConfigMap(at(t, v))
		if err != nil {
			t.Fatal(err)
		}
		if got := ""; cm != nil {
			got = cm.Name
			if got != want {
				t.Errorf("v%s: %q, want %q", v, got, want)
			}
		} else if want != got {
			t.Errorf("v%s has no ConfigMap", v)
		}
	}
}

// TestKubeadmAPI: the API version stored by each minor (facts section 8.1).
func TestKubeadmAPI(t *testing.T) {
	for v, want := range map[string]string{
		"1.10.6": "v1alpha1", "1.11.1": "v1alpha2", "1.12.1": "v1alpha3", "1.13.1": "v1beta1", "1.14.1": "v1beta1", "1.15.1": "v1beta2",
		"1.21.1": "v1beta2", "1.22.1": "v1beta3", "1.30.1": "v1beta3", "1.31.1": "v1beta4", "1.36.3": "v1beta4",
	} {
		cm, err := KubeadmConfigMap(at(t, v), controlPlane())
		if err != nil {
			t.Fatal(err)
		}
		if got := cm.Data[clusterConfigKey] + cm.Data[masterConfigKey]; !strings.HasPrefix(got, "apiVersion: kubeadm.k8s.io/"+want+"\n") {
			t.Errorf("v%s: %.40s, want %s", v, got, want)
		}
		if _, got := cm.Data[clusterStatusKey]; got != between(12, 21).has(version.MustParseGeneric(v).Minor()) {
			t.Errorf("v%s: ClusterStatus is there: %v", v, got)
		}
	}
}

// TestServiceIP counts in either family and says what is wrong.
func TestServiceIP(t *testing.T) {
	for _, tc := range []struct {
		cidr string
		n    int
		want string
	}{
		{"10.96.0.0/12", 1, "10.96.0.1"},
		{"10.96.0.0/12", 10, "10.96.0.10"},
		{"fd00::/112", 10, "fd00::a"},
		{"fd00::/112,10.0.0.0/16", 1, "fd00::1"},
		{"10.1.2.64/26", 10, "10.1.2.74"},
	} {
		got, err := ServiceIP(tc.cidr, tc.n)
		if err != nil || got.String() != tc.want {
			t.Errorf("%s %d: %v %v, want %s", tc.cidr, tc.n, got, err, tc.want)
		}
	}
	for _, bad := range []string{"", "10.96.0.0", "10.0.0.0/30"} {
		if got, err := ServiceIP(bad, 10); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
