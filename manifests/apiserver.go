package manifests

import (
	"net"
	"path"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// advertiseAddressAnnotation tells joining nodes where this API server is (1.18+; constants of kubeadm 1.34).
const advertiseAddressAnnotation = "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint"

// admissionControl is the whole ordered list that kubeadm 1.10 passed, before admission plugins ordered themselves.
const admissionControl = "NamespaceLifecycle,LimitRanger,ServiceAccount,DefaultStorageClass,DefaultTolerationSeconds," +
	"NodeRestriction,MutatingAdmissionWebhook,ValidatingAdmissionWebhook,ResourceQuota"

func apiServerPod(c *Cluster, n *Node) (*corev1.Pod, error) {
	m := mounts{}
	m.add("k8s-certs", c.CertificatesDir, true, corev1.HostPathDirectoryOrCreate)
	m.add("ca-certs", caCertsDir, true, corev1.HostPathDirectoryOrCreate)
	m.addAudit(c)
	m.addExternalEtcd(c)
	m.addCADirs(n)
	m.addExtra(c.APIServer.ExtraVolumes)
	extra, probed := c.APIServer.ExtraArgs, n.AdvertiseAddress.String()
	if c.DynamicKubelet() {
		extra = withGate(extra, dynamicGate)
	}
	if c.SelfHosting() { // the pod will run on nodes of other addresses (kubeadm 1.10 util/staticpod)
		probed = n.localhost()
	}
	return c.podFor(staticPod{
		name:        apiServerName,
		command:     command(apiServerName, apiServerArgs(c, n), extra),
		mounts:      m,
		health:      pick(c.Version, apiServerHealth),
		probeHost:   probeHost(probed),
		probePort:   n.port(),
		requests:    cpu("250m"),
		env:         mergeEnv(n.Proxy, c.APIServer.ExtraEnvs),
		annotations: map[string]string{advertiseAddressAnnotation: n.endpoint()},
	})
}

// apiServerArgs are kubeadm's defaults (phases/controlplane of kubeadm 1.10 … 1.37; facts section 4.2).
func apiServerArgs(c *Cluster, n *Node) []Arg {
	args := flagsFor(c.Version, []argRow{
		{always, "advertise-address", n.AdvertiseAddress.String()},
		{always, "allow-privileged", "true"},
		{until(10), "admission-control", admissionControl},
		{since(11), "enable-admission-plugins", "NodeRestriction"},
		{between(11, 11), "disable-admission-plugins", "PersistentVolumeLabel"},
		{always, "authorization-mode", "Node,RBAC"},
		{always, "client-ca-file", c.pki("ca.crt")},
		{always, "enable-bootstrap-token-auth", "true"},
		{until(21), "insecure-port", "0"},
		{always, "kubelet-client-certificate", c.pki("apiserver-kubelet-client.crt")},
		{always, "kubelet-client-key", c.pki("apiserver-kubelet-client.key")},
		{always, "kubelet-preferred-address-types", "InternalIP,ExternalIP,Hostname"},
		{always, "proxy-client-cert-file", c.pki("front-proxy-client.crt")},
		{always, "proxy-client-key-file", c.pki("front-proxy-client.key")},
		{always, "requestheader-allowed-names", "front-proxy-client"},
		{always, "requestheader-client-ca-file", c.pki("front-proxy-ca.crt")},
		{always, "requestheader-extra-headers-prefix", "X-Remote-Extra-"},
		{always, "requestheader-group-headers", "X-Remote-Group"},
		{always, "requestheader-username-headers", "X-Remote-User"},
		{always, "secure-port", strconv.Itoa(n.port())},
		{since(20), "service-account-issuer", "https://kubernetes.default.svc." + c.DNSDomain},
		{always, "service-account-key-file", c.pki("sa.pub")},
		{since(20), "service-account-signing-key-file", c.pki("sa.key")},
		{always, "service-cluster-ip-range", c.ServiceSubnet},
		{always, "tls-cert-file", c.pki("apiserver.crt")},
		{always, "tls-private-key-file", c.pki("apiserver.key")},
	})
	args = append(append(args, c.gateArgs()...), c.oldGateArgs()...)
	// A structured authorization file replaces the modes: the API server refuses both.
	if _, structured := argValue(c.APIServer.ExtraArgs, "authorization-config"); structured {
		args = without(args, "authorization-mode")
	}
	return append(args, c.etcdClientArgs(n)...)
}

// etcdClientArgs tell the API server how to reach etcd: the external one, what the user makes the local one advertise, or loopback.
func (c *Cluster) etcdClientArgs(n *Node) []Arg {
	if e := c.Etcd.External; e != nil {
		args := []Arg{{"etcd-servers", strings.Join(e.Endpoints, ",")}}
		if e.CAFile != "" {
			args = append(args, Arg{"etcd-cafile", e.CAFile})
		}
		if e.CertFile != "" && e.KeyFile != "" {
			args = append(args, Arg{"etcd-certfile", e.CertFile}, Arg{"etcd-keyfile", e.KeyFile})
		}
		return args
	}
	servers := "https://" + net.JoinHostPort(n.localhost(), strconv.Itoa(etcdClientPort))
	if advertised, given := argValue(c.Etcd.Local.ExtraArgs, "advertise-client-urls"); given {
		servers = advertised
	}
	return []Arg{
		{"etcd-servers", servers},
		{"etcd-cafile", c.pki("etcd/ca.crt")},
		{"etcd-certfile", c.pki("apiserver-etcd-client.crt")},
		{"etcd-keyfile", c.pki("apiserver-etcd-client.key")},
	}
}

// pki is the path of a file below the certificates dir.
func (c *Cluster) pki(name string) string { return path.Join(c.CertificatesDir, name) }
