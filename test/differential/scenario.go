package differential

import (
	"fmt"
	"net"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"kubebundle/release"
)

// token is the bootstrap token of every scenario: its value must be the same on both sides.
const token = "abcdef.0123456789abcdef"

// scenario is one cluster that both sides make.
type scenario struct {
	Name     string
	From     uint   // the first minor that knows what it asks for
	Address  string // of the control plane node
	Network  string // its network, CIDR
	Node     string // the host's name
	Init     func(minor uint) string
	Join     string // the worker's JoinConfiguration without its discovery; "" for no join
	Resolved bool   // systemd-resolved runs
	Environ  []string
	Files    map[string]string // on the host before
}

// scenarios are what a person can ask for, in as few runs as show all of it.
func scenarios() []scenario {
	return []scenario{
		{
			Name: "plain", Node: "cp1", Address: "10.77.0.11", Network: "10.77.0.11/24", Init: plainInit,
			Join: "{}",
		},
		{
			Name: "options", Node: "cp1", Address: "10.77.0.11", Network: "10.77.0.11/24", Init: optionsInit, Resolved: true,
			Environ: []string{"HTTPS_PROXY=http://proxy.example:3128", "no_proxy=10.0.0.0/8,api.example,.svc"},
			Join: `
  name: worker-b
  taints: [{key: gpu, value: "1", effect: NoSchedule}]
  kubeletExtraArgs: ` + "%ARGS%",
		},
		{
			Name: "no-addons", From: 31, Node: "cp1", Address: "10.77.0.11", Network: "10.77.0.11/24", Init: noAddonsInit,
			Join: "{}",
		},
		{
			Name: "ipv6", Node: "cp1", Address: "fd00:77::11", Network: "fd00:77::11/64", Init: ipv6Init,
		},
		{
			Name: "external-etcd", Node: "cp1", Address: "10.77.0.11", Network: "10.77.0.11/24", Init: externalEtcdInit,
		},
	}
}

// api is the configuration version that a person would write for a minor.
func api(minor uint) string {
	if minor >= 31 {
		return "kubeadm.k8s.io/v1beta4"
	}
	return "kubeadm.k8s.io/v1beta3"
}

// extraArgs writes arguments as the version has them: a list from v1beta4 on, a map before.
func extraArgs(minor uint, pairs ...string) string {
	var out []string
	for i := 0; i < len(pairs); i += 2 {
		if minor >= 31 {
			out = append(out, fmt.Sprintf("{name: %q, value: %q}", pairs[i], pairs[i+1]))
		} else {
			out = append(out, fmt.Sprintf("%q: %q", pairs[i], pairs[i+1]))
		}
	}
	if minor >= 31 {
		return "[" + strings.Join(out, ", ") + "]"
	}
	return "{" + strings.Join(out, ", ") + "}"
}

// since gives a text from a minor on.
func since(minor, from uint, text string) string {
	if minor < from {
		return ""
	}
	return text
}

func plainInit(minor uint) string {
	return `
apiVersion: ` + api(minor) + `
kind: InitConfiguration
bootstrapTokens: [{token: ` + token + `}]
localAPIEndpoint: {advertiseAddress: 10.77.0.11}
nodeRegistration: {criSocket: "unix:///run/containerd/containerd.sock"}
---
apiVersion: ` + api(minor) + `
kind: ClusterConfiguration
kubernetesVersion: %VERSION%
networking: {podSubnet: 10.244.0.0/16}
`
}

func optionsInit(minor uint) string {
	envs := since(minor, 31, "\n  extraEnvs: [{name: GODEBUG, value: x=1}]")
	return `
apiVersion: ` + api(minor) + `
kind: InitConfiguration
bootstrapTokens:
- token: ` + token + `
  description: for the second rack
  ttl: 2h0m0s
  usages: [authentication, signing]
  groups: ["system:bootstrappers:rack2"]
- token: zzzzzz.0123456789abcdef
  ttl: 0s
  usages: [authentication]
localAPIEndpoint: {advertiseAddress: 10.77.0.11, bindPort: 7443}
nodeRegistration:
  name: first.example
  criSocket: unix:///run/crio/crio.sock
  taints: [{key: dedicated, value: control, effect: NoExecute}]
  kubeletExtraArgs: ` + extraArgs(minor, "v", "3", "node-labels", "rack=1") + `
---
apiVersion: ` + api(minor) + `
kind: ClusterConfiguration
kubernetesVersion: %VERSION%
clusterName: prod
controlPlaneEndpoint: api.example:8443
certificatesDir: /etc/kubernetes/certs
networking: {podSubnet: "10.200.0.0/16,fd00:200::/56", serviceSubnet: "10.100.0.0/16,fd00:100::/112", dnsDomain: prod.example}
dns: {imageTag: %COREDNS%}
apiServer:
  certSANs: [api.public.example, "*.wild.example", 192.0.2.1]
  extraArgs: ` + extraArgs(minor, "audit-log-path", "/var/log/audit.log", "enable-admission-plugins", "NodeRestriction,PodNodeSelector", "authorization-mode", "Node,RBAC,Webhook") + `
  extraVolumes: [{name: audit, hostPath: /var/log, mountPath: /var/log, pathType: DirectoryOrCreate}]` + envs + `
controllerManager:
  extraArgs: ` + extraArgs(minor, "bind-address", "0.0.0.0", "node-cidr-mask-size-ipv4", "25") + `
  extraVolumes: [{name: flags, hostPath: /etc/flags, mountPath: /etc/flags, readOnly: true}]` + envs + `
scheduler:
  extraArgs: ` + extraArgs(minor, "v", "4") + envs + `
etcd:
  local:
    imageTag: %ETCD%
    dataDir: /srv/etcd
    extraArgs: ` + extraArgs(minor, "listen-metrics-urls", "http://0.0.0.0:2391", "quota-backend-bytes", "4294967296") + `
    serverCertSANs: [etcd.example, 192.0.2.2]
    peerCertSANs: [peer.example]` + strings.ReplaceAll(envs, "\n  ", "\n    ") + since(minor, 31, `
encryptionAlgorithm: ECDSA-P256
certificateValidityPeriod: 2160h0m0s
caCertificateValidityPeriod: 17520h0m0s`) + `
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
maxPods: 42
cgroupDriver: cgroupfs
authentication: {webhook: {cacheTTL: 3m0s}}
evictionHard: {nodefs.available: 1Gi}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ipvs
ipvs: {strictARP: true}
conntrack: {maxPerCore: 0}
`
}

func noAddonsInit(minor uint) string {
	return `
apiVersion: ` + api(minor) + `
kind: InitConfiguration
bootstrapTokens: [{token: ` + token + `}]
localAPIEndpoint: {advertiseAddress: 10.77.0.11}
---
apiVersion: ` + api(minor) + `
kind: ClusterConfiguration
kubernetesVersion: %VERSION%
dns: {disabled: true}
proxy: {disabled: true}
featureGates: ` + gates(minor) + "\n"
}

// gates turns every gate of kubeadm's that shapes what is rendered to the other side of its default; later versions refuse the name.
func gates(minor uint) string {
	return map[uint]string{
		31: "{ControlPlaneKubeletLocalMode: true}",
		32: "{ControlPlaneKubeletLocalMode: true, NodeLocalCRISocket: true}",
		33: "{ControlPlaneKubeletLocalMode: false, NodeLocalCRISocket: true}",
		34: "{ControlPlaneKubeletLocalMode: false, NodeLocalCRISocket: false}",
		35: "{NodeLocalCRISocket: false}",
		36: "{}",
		37: "{}",
	}[minor]
}

func ipv6Init(minor uint) string {
	return `
apiVersion: ` + api(minor) + `
kind: InitConfiguration
bootstrapTokens: [{token: ` + token + `}]
localAPIEndpoint: {advertiseAddress: "fd00:77::11"}
nodeRegistration: {criSocket: "unix:///run/containerd/containerd.sock", taints: []}
---
apiVersion: ` + api(minor) + `
kind: ClusterConfiguration
kubernetesVersion: %VERSION%
networking: {podSubnet: "fd00:244::/56", serviceSubnet: "fd00:96::/112"}
`
}

func externalEtcdInit(minor uint) string {
	return `
apiVersion: ` + api(minor) + `
kind: InitConfiguration
bootstrapTokens: [{token: ` + token + `}]
localAPIEndpoint: {advertiseAddress: 10.77.0.11}
nodeRegistration: {criSocket: "unix:///run/containerd/containerd.sock"}
---
apiVersion: ` + api(minor) + `
kind: ClusterConfiguration
kubernetesVersion: %VERSION%
controlPlaneEndpoint: 10.77.0.11
etcd:
  external:
    endpoints: ["https://192.0.2.7:2379", "https://192.0.2.8:2379"]
    caFile: /etc/etcd/ca.crt
    certFile: /etc/etcd/client.crt
    keyFile: /etc/etcd/client.key
`
}

// initConfig is the file that both sides read.
func (s scenario) initConfig(v *version.Version) string {
	rel, err := release.Find(v, release.Options{})
	if err != nil {
		panic(err) // the versions of this test are in the catalog
	}
	return strings.NewReplacer("%VERSION%", "v"+v.String(), "%ETCD%", rel.EtcdVersion(), "%COREDNS%", rel.CoreDNSVersion()).Replace(s.Init(v.Minor()))
}

// endpoint is what a worker is given.
func (s scenario) endpoint() string {
	if s.Name == "options" {
		return "api.example:8443"
	}
	return net.JoinHostPort(s.Address, "6443")
}

// joinConfig is the file that both sides read on a worker.
func (s scenario) joinConfig(v *version.Version, pin string) string {
	node := strings.ReplaceAll(s.Join, "%ARGS%", extraArgs(v.Minor(), "v", "5"))
	return `
apiVersion: ` + api(v.Minor()) + `
kind: JoinConfiguration
discovery:
  bootstrapToken: {token: ` + token + `, apiServerEndpoint: "` + s.endpoint() + `", caCertHashes: ["` + pin + `"]}
nodeRegistration: ` + node + "\n"
}
