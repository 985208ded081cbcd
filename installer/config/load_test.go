package config_test

import (
	"errors"
	"io/fs"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"kubebundle/installer/config"
)

func address(cidr string) net.IPNet {
	ip, n, err := net.ParseCIDR(cidr)
	if err != nil {
		panic(err)
	}
	return net.IPNet{IP: ip, Mask: n.Mask}
}

func environment() config.Environment {
	return config.Environment{
		Hostname: "CP1", Addresses: []net.IPNet{address("10.77.0.11/24"), address("fe80::1/64")},
		KubernetesVersion: "v1.34.4", ImageRepository: "registry.k8s.io", CRISocket: "unix:///run/containerd/containerd.sock",
	}
}

// files is a ReadFile of one file, "c.yaml".
func files(content string) config.ReadFile {
	return func(path string) ([]byte, error) {
		if path != "c.yaml" {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return []byte(content), nil
	}
}

func initArgs(t *testing.T, content string, args ...string) (*config.Init, error) {
	t.Helper()
	var f config.InitFlags
	set := pflag.NewFlagSet("init", pflag.ContinueOnError)
	set.String("bundle", "", "a flag of the command that is not ours")
	f.AddFlags(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config.LoadInit(&f, files(content), environment())
}

func initFile(t *testing.T, content string, args ...string) (*config.Init, error) {
	t.Helper()
	return initArgs(t, content, append([]string{"--config", "c.yaml"}, args...)...)
}

func joinArgs(t *testing.T, content string, args ...string) (*config.Join, error) {
	t.Helper()
	var f config.JoinFlags
	set := pflag.NewFlagSet("join", pflag.ContinueOnError)
	f.AddFlags(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config.LoadJoin(&f, set.Args(), files(content), environment())
}

// refused demands an error of usage with all of the given texts.
func refused(t *testing.T, err error, want ...string) {
	t.Helper()
	if !errors.Is(err, config.ErrUsage) {
		t.Errorf("not an error of usage: %v", err)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in: %v", w, err)
		}
	}
}

func TestInitDefaults(t *testing.T) {
	c, err := initArgs(t, "")
	if err != nil {
		t.Fatal(err)
	}
	cl := c.Cluster
	got := []string{
		c.NodeRegistration.Name, c.NodeRegistration.CRISocket, string(c.NodeRegistration.ImagePullPolicy), c.LocalAPIEndpoint.AdvertiseAddress,
		strconv.Itoa(int(c.LocalAPIEndpoint.BindPort)), c.NodeIP.String(), cl.KubernetesVersion, cl.ClusterName, cl.CertificatesDir, cl.ImageRepository, cl.EncryptionAlgorithm,
		cl.Networking.ServiceSubnet, cl.Networking.PodSubnet, cl.Networking.DNSDomain, cl.Etcd.Local.DataDir, cl.CertificateValidityPeriod.Duration.String(),
		cl.CACertificateValidityPeriod.Duration.String(), cl.ControlPlaneEndpoint,
	}
	want := []string{
		"cp1", "unix:///run/containerd/containerd.sock", "IfNotPresent", "10.77.0.11",
		"6443", "10.77.0.11", "v1.34.4", "kubernetes", "/etc/kubernetes/pki", "registry.k8s.io", "RSA-2048",
		"10.96.0.0/12", "", "cluster.local", "/var/lib/etcd", "8760h0m0s",
		"87600h0m0s", "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	token := c.BootstrapTokens[0]
	if token.Token != "" || token.TTL.Duration != 24*time.Hour || len(token.Usages) != 2 || token.Groups[0] != config.DefaultTokenGroup || len(c.BootstrapTokens) != 1 {
		t.Errorf("token: %+v", token)
	}
	if c.NodeRegistration.Taints != nil || cl.Etcd.External != nil || c.KubeletConfig != nil {
		t.Errorf("something was set that nobody asked for: %+v", c)
	}
	if diff := cmp.Diff(config.DefaultTimeouts(), c.Timeouts); diff != "" {
		t.Error(diff)
	}
}

func TestInitFlags(t *testing.T) {
	c, err := initArgs(t, "", "--pod-network-cidr=10.244.0.0/16", "--service-cidr", "10.32.0.0/16", "--service-dns-domain=site.example", "--apiserver-advertise-address=10.1.1.1",
		"--apiserver-bind-port=7443", "--apiserver-cert-extra-sans=api.example,10.9.9.9", "--control-plane-endpoint=API.example", "--cri-socket=/run/x.sock", "--node-name=Other",
		"--feature-gates=A=true,B=false", "--token=abcdef.0123456789abcdef", "--token-ttl=0", "--ignore-preflight-errors=Swap,NumCPU", "--skip-phases=addon/kube-proxy",
		"--image-repository=registry.example:5000/k8s", "--kubernetes-version=1.34.4", "--upload-certs", "--dry-run", "--patches=/p", "--cert-dir=/pki", "--skip-token-print",
		"--certificate-key="+strings.Repeat("a1", 32))
	if err != nil {
		t.Fatal(err)
	}
	cl := c.Cluster
	got := []any{
		cl.Networking.PodSubnet, cl.Networking.ServiceSubnet, cl.Networking.DNSDomain, c.LocalAPIEndpoint.AdvertiseAddress, c.LocalAPIEndpoint.BindPort, cl.APIServer.CertSANs,
		cl.ControlPlaneEndpoint, c.NodeRegistration.CRISocket, c.NodeRegistration.Name, cl.FeatureGates, c.BootstrapTokens[0].Token, c.BootstrapTokens[0].TTL.Duration,
		c.IgnorePreflightErrors, c.SkipPhases, cl.ImageRepository, cl.KubernetesVersion, c.UploadCerts, c.DryRun, c.PatchesDir, cl.CertificatesDir, c.SkipTokenPrint, len(c.CertificateKey),
	}
	want := []any{
		"10.244.0.0/16", "10.32.0.0/16", "site.example", "10.1.1.1", int32(7443),
		[]string{"api.example", "10.9.9.9"},
		"api.example:7443", "unix:///run/x.sock", "other",
		map[string]bool{"A": true, "B": false},
		"abcdef.0123456789abcdef", time.Duration(0),
		[]string{"numcpu", "swap"},
		[]string{"addon/kube-proxy"},
		"registry.example:5000/k8s", "v1.34.4", true, true, "/p", "/pki", true, 64,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

const initV1beta4 = `# a comment before
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens:
- token: abcdef.0123456789abcdef
  ttl: 1h0m0s
nodeRegistration:
  name: cp1
  taints: []
  kubeletExtraArgs:
  - name: node-ip
    value: 10.77.0.12
  ignorePreflightErrors: [Swap]
localAPIEndpoint:
  advertiseAddress: 10.77.0.11
  bindPort: 6443
timeouts:
  kubeletHealthCheck: 30s
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.34.4
networking:
  podSubnet: 10.244.0.0/16
apiServer:
  certSANs: [api.example]
  extraArgs:
  - name: audit-log-path
    value: /var/log/audit
dns: {}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
maxPods: 50
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ipvs
`

func TestInitFile(t *testing.T) {
	c, err := initFile(t, initV1beta4, "--ignore-preflight-errors=Mem", "--node-name=cp9")
	if err != nil {
		t.Fatal(err)
	}
	got := []any{
		c.NodeRegistration.Name, c.NodeRegistration.Taints != nil && len(c.NodeRegistration.Taints) == 0, c.NodeIP.String(), c.IgnorePreflightErrors, c.Timeouts.KubeletHealthCheck,
		c.Timeouts.Discovery, c.Cluster.Networking.PodSubnet, c.Cluster.APIServer.ExtraArgs, c.KubeletConfig["maxPods"], c.KubeProxyConfig["mode"], c.BootstrapTokens[0].TTL.Duration,
	}
	want := []any{
		"cp9", true, "10.77.0.12",
		[]string{"mem", "swap"},
		30 * time.Second,
		5 * time.Minute, "10.244.0.0/16",
		[]config.Arg{{Name: "audit-log-path", Value: "/var/log/audit"}},
		float64(50), "ipvs", time.Hour,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestInitV1beta3(t *testing.T) {
	c, err := initFile(t, `apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
apiServer:
  timeoutForControlPlane: 2m0s
  extraArgs: {z: "2", a: "1"}
etcd:
  local:
    dataDir: /data
    extraArgs: {quota-backend-bytes: "1"}
---
apiVersion: kubeadm.k8s.io/v1beta3
kind: InitConfiguration
nodeRegistration:
  kubeletExtraArgs: {v: "4"}
`)
	if err != nil {
		t.Fatal(err)
	}
	got := []any{c.Cluster.APIServer.ExtraArgs, c.Cluster.Etcd.Local.ExtraArgs, c.Cluster.Etcd.Local.DataDir, c.NodeRegistration.KubeletExtraArgs, c.Timeouts.ControlPlaneComponentHealthCheck}
	want := []any{[]config.Arg{{Name: "a", Value: "1"}, {Name: "z", Value: "2"}}, []config.Arg{{Name: "quota-backend-bytes", Value: "1"}}, "/data", []config.Arg{{Name: "v", Value: "4"}}, 2 * time.Minute}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err = initFile(t, "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nproxy: {disabled: true}\ncontrollerManager:\n  extraArgs:\n  - name: v\n    value: \"1\"\n")
	refused(t, err, "c.yaml:3: proxy: unknown field: only kubeadm.k8s.io/v1beta4 has it", "c.yaml:5: controllerManager.extraArgs: in v1beta3 it is a mapping")
	j, err := joinArgs(t, "apiVersion: kubeadm.k8s.io/v1beta3\nkind: JoinConfiguration\ndiscovery:\n  timeout: 90s\n  bootstrapToken: {token: abcdef.0123456789abcdef, apiServerEndpoint: '10.0.0.1:6443', unsafeSkipCAVerification: true}\n", "--config=c.yaml")
	if err != nil || j.Timeouts.Discovery != 90*time.Second || j.Timeouts.TLSBootstrap != 90*time.Second {
		t.Errorf("%+v, %v", j, err)
	}
}

func TestFileProblemsNameTheirLine(t *testing.T) {
	const head = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n"
	for content, want := range map[string]string{
		head + "nodeRegistration:\n  name: a\n  nom: b\n":                          "c.yaml:5: nodeRegistration.nom: unknown field",
		"---\n# x\n---\n" + head + "localAPIEndpoint: {bindPort: abc}\n":           "c.yaml:6: localAPIEndpoint.bindPort: is a string, not a whole number",
		head + "nodeRegistration:\n  kubeletExtraArgs:\n  - name: a\n  - nam: b\n": "c.yaml:6: nodeRegistration.kubeletExtraArgs[1].nam: unknown field",
		head + "skipPhases: [a]\nskipPhases: [b]\n":                                "c.yaml:4: ",
		head + "a: b: c\n": "c.yaml:3: ",
		head + "\tx: 1\n":  "c.yaml:3: ",
		"apiVersion: kubeadm.k8s.io/v1beta5\nkind: InitConfiguration\n":     `c.yaml:1: apiVersion: unknown "kubeadm.k8s.io/v1beta5": known are kubeproxy.config.k8s.io/v1alpha1, kubelet.config.k8s.io/v1beta1, kubeadm.k8s.io/v1beta4, kubeadm.k8s.io/v1beta3, kubeadm.k8s.io/v1beta2, kubeadm.k8s.io/v1beta1, kubeadm.k8s.io/v1alpha3, kubeadm.k8s.io/v1alpha2, kubeadm.k8s.io/v1alpha1`,
		"apiVersion: kubeadm.k8s.io/v1beta4\n\nkind: MasterConfiguration\n": `c.yaml:3: kind: unknown "MasterConfiguration": kubeadm.k8s.io/v1beta4 has InitConfiguration, ClusterConfiguration`,
		head + "---\n" + head: "c.yaml:5: kind: a second InitConfiguration",
		"- a\n":               "c.yaml:1: not a YAML mapping",
		"":                    "c.yaml: has neither InitConfiguration nor ClusterConfiguration",
		"apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n":             "has neither",
		"apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery: {x: 1}\n":    "c.yaml:3: discovery.x: unknown field",
		"apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\napiServer: {a: 1}\n": "c.yaml:3: apiServer.a: unknown field",
	} {
		_, err := initFile(t, content)
		refused(t, err, want)
	}
	var f config.InitFlags
	f.Config = "missing.yaml"
	_, err := config.LoadInit(&f, files(""), environment())
	refused(t, err, "read configuration: open missing.yaml")
}

func TestConfigExcludesFlags(t *testing.T) {
	_, err := initFile(t, initV1beta4, "--pod-network-cidr=10.0.0.0/16", "--token=abcdef.0123456789abcdef")
	refused(t, err, "--config cannot be combined with --pod-network-cidr, --token")
	if _, err := initFile(t, initV1beta4, "--dry-run", "--skip-phases=addon", "--skip-token-print", "--upload-certs", "--node-name=x", "--ignore-preflight-errors=all", "--bundle=x"); err != nil {
		t.Error(err)
	}
}

func TestInitReportsAllProblemsAtOnce(t *testing.T) {
	_, err := initFile(t, `apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens:
- {token: "abc", usages: [x], groups: [why], ttl: 1h0m0s, expires: "2030-01-01T00:00:00Z"}
certificateKey: abc
nodeRegistration:
  name: "a_b"
  criSocket: tcp://1.2.3.4
  imagePullPolicy: Always
  taints: [{key: "!", effect: Never}]
  kubeletExtraArgs: [{name: "--v", value: "1"}, {name: "", value: "1"}, {name: "a b", value: "1"}]
localAPIEndpoint: {advertiseAddress: 127.0.0.1, bindPort: 99999}
timeouts: {discovery: 0s}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.33.1
controlPlaneEndpoint: https://x:1
networking: {serviceSubnet: 10.0.0.0/8, podSubnet: 10.0.0.0/28, dnsDomain: a_b}
apiServer:
  certSANs: ["a b"]
  extraVolumes: [{name: A, hostPath: x, mountPath: /, pathType: Blob}]
  extraEnvs: [{name: "a b"}]
certificatesDir: pki
imageRepository: https://x
dns: {imageTag: "a b"}
etcd:
  local: {dataDir: ""}
  external: {endpoints: ["10.0.0.1:2379"], caFile: "", certFile: c, keyFile: ""}
encryptionAlgorithm: DSA
featureGates: {"a b": true}
caCertificateValidityPeriod: 1h0m0s
`)
	refused(t, err,
		"bootstrapTokens[0].token: is not a token", "bootstrapTokens[0]: both ttl and expires", "bootstrapTokens[0].usages: ", "bootstrapTokens[0].groups: ", "certificateKey: is not 64",
		`nodeRegistration.name: "a_b"`, "nodeRegistration.criSocket: ", "imagePullPolicy: Always needs a registry", "taints[0].key", "taints[0].effect",
		`kubeletExtraArgs[0].name: "--v": write the name without dashes`, "kubeletExtraArgs[1].name: is needed", "kubeletExtraArgs[2].name", "localAPIEndpoint.advertiseAddress: 127.0.0.1",
		"localAPIEndpoint.bindPort: 99999", "timeouts.discovery: 0s", "kubernetesVersion: v1.33.1 is not what this bundle holds, which is v1.34.4",
		"controlPlaneEndpoint: ", "networking.serviceSubnet: 10.0.0.0/8 is too large: the shortest mask is /12", "networking.podSubnet: 10.0.0.0/28 is too small: each node gets a /24",
		"networking.podSubnet: 10.0.0.0/28 overlaps with the service range 10.0.0.0/8", "networking.dnsDomain", "apiServer.certSANs[0]", "extraVolumes[0].name", "extraVolumes[0].hostPath",
		"extraVolumes[0].mountPath", "extraVolumes[0].pathType", "extraEnvs[0].name", `certificatesDir: "pki" is not an absolute path`, "imageRepository", "dns.imageTag", "etcd: both local and external",
		"etcd.external.endpoints[0]", "etcd.external: certFile and keyFile belong together", "encryptionAlgorithm", "featureGates", "caCertificateValidityPeriod: 1h0m0s is shorter")
}

func TestNetworks(t *testing.T) {
	for args, want := range map[string]string{
		"--pod-network-cidr=10.244.0.0/16,fd00:1::/56 --service-cidr=10.96.0.0/16,fd00:2::/112": "",
		"--pod-network-cidr=10.77.0.0/16":                             "contains the address 10.77.0.11 of this node",
		"--service-cidr=10.96.0.0/29":                                 "too small: the DNS Service alone needs its tenth address; the longest mask is /28",
		"--service-cidr=fd00::/64":                                    "the shortest mask is /108",
		"--pod-network-cidr=10.0.0.0/7 --service-cidr=192.168.0.0/16": "too large for nodes of /24 each: the shortest mask is /8",
		"--pod-network-cidr=10.244.0.0/16,10.245.0.0/16":              "two ranges of the same family",
		"--pod-network-cidr=1.0.0.0/16,2.0.0.0/16,3.0.0.0/16":         "more than two ranges",
		"--pod-network-cidr=10.244.0.0":                               "is not a range",
		"--control-plane-endpoint=10.77.0.9:70000":                    "is not a port between 1 and 65535",
		"--control-plane-endpoint=[fd00::1]":                          "",
		"--control-plane-endpoint=fd00::1":                            "",
		"--control-plane-endpoint=a_b":                                "neither an IP address nor a DNS name",
		"--feature-gates=A":                                           "is not name=true",
		"--kubernetes-version=stable-1":                               "",
		"--kubernetes-version=stable-1.33":                            "is not a version such as",
		"--kubernetes-version=v1.35.0":                                "bundler build --version v1.35.0",
		"--apiserver-advertise-address=x":                             "is not an IP address",
		"--apiserver-advertise-address=0.0.0.0":                       "",
	} {
		_, err := initArgs(t, "", strings.Fields(args)...)
		if want == "" && err != nil {
			t.Errorf("%s: %v", args, err)
		}
		if want != "" {
			refused(t, err, want)
		}
	}
}

func TestNodeAddress(t *testing.T) {
	a, b, six, link := address("10.77.0.11/24"), address("192.168.5.1/24"), address("fd00::11/64"), address("169.254.1.1/16")
	_, pods, _ := net.ParseCIDR("10.244.0.0/16")
	bridge := address("10.244.0.1/24")
	for name, c := range map[string]struct {
		addresses       []net.IPNet
		route, toward   net.IP
		excluded        []*net.IPNet
		want, wantError string
	}{
		"the only one":            {addresses: []net.IPNet{a, link}, want: "10.77.0.11"},
		"default route":           {addresses: []net.IPNet{a, b}, route: b.IP, want: "192.168.5.1"},
		"default route first":     {addresses: []net.IPNet{a, b}, route: b.IP, toward: net.IPv4(10, 77, 0, 1), want: "192.168.5.1"},
		"toward":                  {addresses: []net.IPNet{b, a}, toward: net.IPv4(10, 77, 0, 1), want: "10.77.0.11"},
		"IPv4 before IPv6":        {addresses: []net.IPNet{six, a}, want: "10.77.0.11"},
		"IPv6 alone":              {addresses: []net.IPNet{six}, want: "fd00::11"},
		"a bridge of a CNI":       {addresses: []net.IPNet{a, bridge}, excluded: []*net.IPNet{pods}, want: "10.77.0.11"},
		"several":                 {addresses: []net.IPNet{a, b}, wantError: "several addresses and no default route: 10.77.0.11, 192.168.5.1"},
		"several, none reachable": {addresses: []net.IPNet{a, b}, toward: net.IPv4(10, 1, 1, 1), wantError: "several"},
		"none":                    {addresses: []net.IPNet{link}, wantError: "no global IP address"},
	} {
		got, err := config.NodeAddress(c.addresses, c.route, c.toward, c.excluded...)
		if c.wantError == "" && (err != nil || got.String() != c.want) || c.wantError != "" && (err == nil || !strings.Contains(err.Error(), c.wantError)) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	env := environment()
	env.Addresses = append(env.Addresses, b)
	var f config.InitFlags
	_, err := config.LoadInit(&f, nil, env)
	refused(t, err, "10.77.0.11, 192.168.5.1; say which one the API server advertises with --apiserver-advertise-address")
}
