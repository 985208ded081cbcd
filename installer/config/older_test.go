package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"kubebundle/installer/config"
)

const v1alpha1File = `apiVersion: kubeadm.k8s.io/v1alpha1
kind: MasterConfiguration
api:
  advertiseAddress: 10.77.0.11
  bindPort: 7443
  controlPlaneEndpoint: 10.77.0.200
etcd:
  dataDir: /data
  extraArgs: {quota-backend-bytes: "1"}
  image: ""
networking: {podSubnet: 10.244.0.0/16}
nodeName: first
criSocket: /var/run/dockershim.sock
noTaintMaster: true
token: abcdef.0123456789abcdef
tokenTTL: 1h
authorizationModes: [Node, RBAC, Webhook]
privilegedPods: false
apiServerExtraArgs: {v: "2"}
apiServerExtraVolumes:
- {name: a, hostPath: /a, mountPath: /b}
apiServerCertSANs: [api.example]
imagePullPolicy: Never
featureGates: {CoreDNS: true}
auditPolicy: {path: "", logDir: "", logMaxAge: 2}
kubeletConfiguration: {baseConfig: {maxPods: 50}}
kubeProxy:
  config: {mode: ipvs}
`

func TestInitV1alpha1(t *testing.T) {
	c, err := initFile(t, strings.Replace(v1alpha1File, "logMaxAge: 2", "logMaxAge: null", 1))
	if err != nil {
		t.Fatal(err)
	}
	got := []any{
		c.LocalAPIEndpoint, c.Cluster.ControlPlaneEndpoint, c.Cluster.Etcd.Local.DataDir, c.Cluster.Etcd.Local.ExtraArgs, c.Cluster.Networking.PodSubnet,
		c.NodeRegistration.Name, c.NodeRegistration.CRISocket, c.NodeRegistration.Taints, c.BootstrapTokens[0].Token, c.BootstrapTokens[0].TTL.Duration,
		c.Cluster.APIServer.ExtraArgs, c.Cluster.APIServer.ExtraVolumes, c.Cluster.APIServer.CertSANs, c.DNSType, c.KubeletConfig["maxPods"], c.KubeProxyConfig["mode"],
	}
	want := []any{
		config.APIEndpoint{AdvertiseAddress: "10.77.0.11", BindPort: 7443},
		"10.77.0.200:7443", "/data",
		[]config.Arg{{Name: "quota-backend-bytes", Value: "1"}},
		"10.244.0.0/16",
		"first", "unix:///var/run/dockershim.sock",
		[]corev1.Taint{},
		"abcdef.0123456789abcdef", time.Hour,
		[]config.Arg{{Name: "authorization-mode", Value: "Node,RBAC,Webhook"}, {Name: "v", Value: "2"}},
		[]config.HostPathMount{{Name: "a", HostPath: "/a", MountPath: "/b", ReadOnly: true}},
		[]string{"api.example"},
		"CoreDNS", float64(50), "ipvs",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestInitV1alpha3AndV1beta1(t *testing.T) {
	const v1alpha3 = `apiVersion: kubeadm.k8s.io/v1alpha3
kind: InitConfiguration
apiEndpoint: {bindPort: 7443}
---
apiVersion: kubeadm.k8s.io/v1alpha3
kind: ClusterConfiguration
schedulerExtraVolumes:
- {name: a, hostPath: /a, mountPath: /b, writable: true}
etcd: {local: {image: "reg.example:5000/mirror/etcd:3.2.24"}}
featureGates: {CoreDNS: false}
---
apiVersion: kubeadm.k8s.io/v1alpha3
kind: ClusterStatus
apiEndpoints: {cp1: {advertiseAddress: 10.0.0.1, bindPort: 6443}}
`
	const v1beta1 = `apiVersion: kubeadm.k8s.io/v1beta1
kind: InitConfiguration
localAPIEndpoint: {bindPort: 7443}
---
apiVersion: kubeadm.k8s.io/v1beta1
kind: ClusterConfiguration
scheduler:
  extraVolumes:
  - {name: a, hostPath: /a, mountPath: /b, readOnly: false}
etcd: {local: {imageRepository: "reg.example:5000/mirror", imageTag: 3.2.24}}
dns: {type: kube-dns}
`
	for name, file := range map[string]string{"v1alpha3": v1alpha3, "v1beta1": v1beta1, "v1beta2": strings.ReplaceAll(v1beta1, "v1beta1", "v1beta2")} {
		c, err := initFile(t, file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := []any{c.LocalAPIEndpoint.BindPort, c.Cluster.Scheduler.ExtraVolumes, c.Cluster.Etcd.Local.ImageMeta, c.DNSType}
		want := []any{
			int32(7443),
			[]config.HostPathMount{{Name: "a", HostPath: "/a", MountPath: "/b"}},
			config.ImageMeta{ImageRepository: "reg.example:5000/mirror", ImageTag: "3.2.24"},
			"kube-dns",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestJoinOlder(t *testing.T) {
	const common = `
discoveryToken: abcdef.0123456789abcdef
discoveryTokenAPIServers: ["10.77.0.1:6443"]
discoveryTokenCACertHashes: ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
token: abcdef.0123456789abcdef
`
	for name, file := range map[string]string{
		"v1alpha1": "apiVersion: kubeadm.k8s.io/v1alpha1\nkind: NodeConfiguration\nnodeName: w1" + common,
		"v1alpha2": "apiVersion: kubeadm.k8s.io/v1alpha2\nkind: NodeConfiguration\nnodeRegistration: {name: w1}" + common,
		"v1alpha3": "apiVersion: kubeadm.k8s.io/v1alpha3\nkind: JoinConfiguration\nnodeRegistration: {name: w1}" + common,
	} {
		j, err := joinArgs(t, file, "--config=c.yaml")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := []any{j.NodeRegistration.Name, j.Discovery.BootstrapToken.APIServerEndpoint, j.Discovery.BootstrapToken.Token, len(j.Discovery.BootstrapToken.CACertHashes), j.Discovery.TLSBootstrapToken}
		if diff := cmp.Diff([]any{"w1", "10.77.0.1:6443", "abcdef.0123456789abcdef", 1, "abcdef.0123456789abcdef"}, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// What a version does not know, or what no later version can say, is named where it stands in the file.
func TestOlderFilesAreStrict(t *testing.T) {
	for content, want := range map[string]string{
		strings.Replace(v1alpha1File, "logMaxAge: 2", "logMaxAgee: 2", 1):                                                                       "c.yaml:25: auditPolicy.logMaxAgee: unknown field",
		strings.Replace(v1alpha1File, `path: ""`, "path: /p", 1):                                                                                "auditPolicy.path: means nothing without featureGates.Auditing",
		strings.Replace(v1alpha1File, `logDir: ""`, "logDir: p", 1):                                                                             "auditPolicy.logDir: ",
		strings.Replace(v1alpha1File, "logMaxAge: 2", "logMaxAge: -1", 1):                                                                       "auditPolicy.logMaxAge: -1 is not a number of days",
		"apiVersion: kubeadm.k8s.io/v1alpha1\nkind: MasterConfiguration\nnonsense: 1\n":                                                         "c.yaml:3: nonsense: unknown field",
		"apiVersion: kubeadm.k8s.io/v1alpha1\nkind: MasterConfiguration\nprivilegedPods: true\n":                                                "c.yaml:3: privilegedPods: is not supported",
		"apiVersion: kubeadm.k8s.io/v1alpha1\nkind: MasterConfiguration\napi:\n  bindPort: abc\n":                                               "c.yaml:4: api.bindPort: is a string, not a whole number",
		"apiVersion: kubeadm.k8s.io/v1alpha1\nkind: MasterConfiguration\nnodeRegistration: {name: x}\nnodeName: [a]\n":                          "c.yaml:4: nodeName: is a array, not a string",
		"apiVersion: kubeadm.k8s.io/v1alpha2\nkind: MasterConfiguration\netcd:\n  local: {image: etcd}\n":                                       "c.yaml:4: etcd.local.image: \"etcd\" is not REPOSITORY/etcd:TAG",
		"apiVersion: kubeadm.k8s.io/v1alpha3\nkind: ClusterConfiguration\nunifiedControlPlaneImage: x\n":                                        "c.yaml:3: unifiedControlPlaneImage: is not supported",
		"apiVersion: kubeadm.k8s.io/v1beta1\nkind: InitConfiguration\ncertificateKey: x\n":                                                      "c.yaml:3: certificateKey: unknown field: only kubeadm.k8s.io/v1beta2 and later have it",
		"apiVersion: kubeadm.k8s.io/v1beta2\nkind: InitConfiguration\nskipPhases: [addon]\n":                                                    "c.yaml:3: skipPhases: unknown field: only kubeadm.k8s.io/v1beta3 and later have it",
		"apiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterConfiguration\ndns: {type: bind}\n":                                                   "c.yaml:3: dns.type: unknown \"bind\"",
		"apiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterConfiguration\nuseHyperKubeImage: true\n":                                             "c.yaml:3: useHyperKubeImage: is not supported",
		"apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\napiServer:\n  timeoutForControlPlane: 4m\n":                            "c.yaml:4: apiServer.timeoutForControlPlane: unknown field",
		"apiVersion: kubeadm.k8s.io/v1alpha2\nkind: MasterConfiguration\n---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n": "c.yaml:5: kind: a second ClusterConfiguration",
	} {
		_, err := initFile(t, content)
		refused(t, err, want)
	}
}

func TestMigrate(t *testing.T) {
	out, err := config.Migrate("c.yaml", files(strings.Replace(v1alpha1File, "logMaxAge: 2", "logMaxAge: null", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"apiVersion: kubeadm.k8s.io/v1beta4", "kind: InitConfiguration", "kind: ClusterConfiguration", "kind: KubeletConfiguration", "kind: KubeProxyConfiguration",
		"bindPort: 7443", "name: authorization-mode",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	before, err := initFile(t, strings.Replace(v1alpha1File, "logMaxAge: 2", "logMaxAge: null", 1))
	if err != nil {
		t.Fatal(err)
	}
	after, err := initFile(t, string(out))
	if err != nil {
		t.Fatal(err)
	}
	before.DNSType = "" // the newest version cannot say it; the bundle decides
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the migrated file means something else (-old +new):\n%s", diff)
	}
}

func TestDefaultsCanBeReadAgain(t *testing.T) {
	for _, components := range []bool{false, true} {
		out, err := config.InitDefaults("v1.34.4", components)
		if err != nil {
			t.Fatal(err)
		}
		c, err := initFile(t, string(out))
		if err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		if (c.KubeletConfig != nil) != components {
			t.Errorf("a KubeletConfiguration: %v, wanted %v", c.KubeletConfig != nil, components)
		}
	}
	out, err := config.JoinDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := joinArgs(t, string(out), "--config=c.yaml"); err != nil {
		t.Errorf("%v in\n%s", err, out)
	}
}
