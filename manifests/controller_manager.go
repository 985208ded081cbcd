package manifests

import (
	"net"
	"path"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	netutils "k8s.io/utils/net"
)

const (
	controllerManagerConf = "controller-manager.conf"
	flexVolumeDir         = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec"
)

func controllerManagerPod(c *Cluster, n *Node) (*corev1.Pod, error) {
	kubeconfig := path.Join(kubernetesDir, controllerManagerConf)
	m := mounts{}
	m.add("k8s-certs", c.CertificatesDir, true, corev1.HostPathDirectoryOrCreate)
	m.add("ca-certs", caCertsDir, true, corev1.HostPathDirectoryOrCreate)
	m.add("kubeconfig", kubeconfig, true, corev1.HostPathFileOrCreate)
	// Flexvolume drivers talk through sockets in their folder, so it is mounted writable; kubeadm dropped it in 1.36.
	if !isSince(c.Version, 36) {
		dir := flexVolumeDir
		if given, ok := argValue(c.ControllerManager.ExtraArgs, "flex-volume-plugin-dir"); ok {
			dir = given
		}
		m.add("flexvolume-dir", dir, false, corev1.HostPathDirectoryOrCreate)
	}
	m.addCADirs(n)
	m.addExtra(c.ControllerManager.ExtraVolumes)
	return c.podFor(staticPod{
		name:      controllerManagerName,
		command:   command(controllerManagerName, controllerManagerArgs(c, kubeconfig), c.ControllerManager.ExtraArgs),
		mounts:    m,
		health:    pick(c.Version, controllerManagerHealth),
		probeHost: c.listensOn(c.ControllerManager),
		probePort: pick(c.Version, []row[int]{{until(15), controllerManagerOldPort}, {since(16), controllerManagerPort}}),
		requests:  cpu("200m"),
		env:       mergeEnv(n.Proxy, c.ControllerManager.ExtraEnvs),
	})
}

// controllerManagerArgs are kubeadm's defaults (phases/controlplane of kubeadm 1.10 … 1.37; facts section 4.3).
func controllerManagerArgs(c *Cluster, kubeconfig string) []Arg {
	args := flagsFor(c.Version, []argRow{
		{until(13), "address", ipv4Loopback},
		{since(14), "bind-address", ipv4Loopback},
		{since(12), "authentication-kubeconfig", kubeconfig},
		{since(12), "authorization-kubeconfig", kubeconfig},
		{since(12), "client-ca-file", c.pki("ca.crt")},
		{since(18), "cluster-name", c.Name},
		{always, "cluster-signing-cert-file", c.caFile("ca.crt")},
		{always, "cluster-signing-key-file", c.caFile("ca.key")},
		{always, "controllers", "*,bootstrapsigner,tokencleaner"},
		{always, "kubeconfig", kubeconfig},
		{always, "leader-elect", "true"},
		{between(16, 22), "port", "0"},
		{since(12), "requestheader-client-ca-file", c.pki("front-proxy-ca.crt")},
		{always, "root-ca-file", c.pki("ca.crt")},
		{always, "service-account-private-key-file", c.pki("sa.key")},
		{always, "use-service-account-credentials", "true"},
	})
	args = append(args, c.gateArgs()...)
	if c.Name == "" {
		args = without(args, "cluster-name")
	}
	if c.PodSubnet == "" {
		return args
	}
	args = append(args, flagsFor(c.Version, []argRow{
		{always, "allocate-node-cidrs", "true"},
		{always, "cluster-cidr", c.PodSubnet},
		{since(16), "service-cluster-ip-range", c.ServiceSubnet},
	})...)
	if !isSince(c.Version, 20) {
		args = append(args, nodeMaskArgs(c.PodSubnet)...)
	}
	return args
}

// caFile is a CA file that the controller manager signs with, or empty where the key is kept elsewhere: its signer then stays off.
func (c *Cluster) caFile(name string) string {
	if c.ExternalCA {
		return ""
	}
	return c.pki(name)
}

// listensOn is where a component of the control plane answers its probes.
func (c *Cluster) listensOn(component Component) string {
	name := pick(c.Version, []row[string]{{until(13), "address"}, {since(14), "bind-address"}})
	if addr, given := argValue(component.ExtraArgs, name); given {
		return probeHost(addr)
	}
	return ipv4Loopback
}

// nodeMaskArgs size each node's share of the pod subnet, which kubeadm did itself up to 1.19 (kubeadm 1.12, 1.18 calcNodeCidrSize).
func nodeMaskArgs(podSubnet string) []Arg {
	subnets := strings.Split(podSubnet, ",")
	if len(subnets) == 1 {
		return []Arg{{"node-cidr-mask-size", nodeMask(podSubnet)}}
	}
	var args []Arg
	for _, s := range subnets {
		name := "node-cidr-mask-size-ipv4"
		if netutils.IsIPv6CIDRString(s) {
			name = "node-cidr-mask-size-ipv6"
		}
		args = append(args, Arg{name, nodeMask(s)})
	}
	return args
}

// nodeMask is /24 for IPv4. For IPv6 a node's share ends on a byte, and the subnet keeps 9 to 16 bits of node numbers; a /112
// is split into 256 shares of 256, and a smaller subnet into none: Kubernetes then says that it is too small.
func nodeMask(subnet string) string {
	const (
		ipv4Mask   = 24
		byteBits   = 8
		wideSubnet = 112
	)
	ip, parsed, err := net.ParseCIDR(strings.TrimSpace(subnet))
	if err != nil || ip.To4() != nil {
		return strconv.Itoa(ipv4Mask)
	}
	size, bits := parsed.Mask.Size()
	switch {
	case size > wideSubnet:
		return strconv.Itoa(size)
	case size == wideSubnet:
		return strconv.Itoa(size + byteBits)
	default:
		podBytes := (bits-size-1)/byteBits - 1
		return strconv.Itoa(bits - podBytes*byteBits)
	}
}
