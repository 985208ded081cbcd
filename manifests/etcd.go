package manifests

import (
	"errors"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/version"
)

// etcdClientURLAnnotation tells joining nodes where this member serves clients (1.18+; constants of kubeadm 1.34).
const etcdClientURLAnnotation = "kubeadm.kubernetes.io/etcd.advertise-client-urls"

func etcdPod(c *Cluster, n *Node) (*corev1.Pod, error) {
	if c.Etcd.External != nil {
		return nil, errors.New("this cluster uses an external etcd")
	}
	image, err := c.image(etcdName)
	if err != nil {
		return nil, err
	}
	m := mounts{}
	m.add("etcd-data", c.Etcd.DataDir, false, corev1.HostPathDirectoryOrCreate)
	m.add("etcd-certs", c.pki("etcd"), false, corev1.HostPathDirectoryOrCreate)
	m.addExtra(c.Etcd.Local.ExtraVolumes)

	host, port, scheme := etcdMetrics(c, n)
	h := pick(c.Version, etcdHealth)
	h.scheme = scheme
	s := staticPod{
		name:        etcdName,
		command:     command(etcdName, etcdArgs(c, n, image), c.Etcd.Local.ExtraArgs),
		mounts:      m,
		health:      h,
		probeHost:   host,
		probePort:   port,
		env:         mergeEnv(c.Etcd.Local.ExtraEnvs),
		annotations: map[string]string{etcdClientURLAnnotation: clientURL(n.AdvertiseAddress.String())},
	}
	if isSince(c.Version, 20) {
		s.requests = cpu("100m")
		s.requests[corev1.ResourceMemory] = resource.MustParse("100Mi")
	}
	pod, err := c.podFor(s)
	if err != nil {
		return nil, err
	}
	if !isSince(c.Version, 16) {
		pod.Spec.Containers[0].LivenessProbe = etcdctlProbe(c)
	}
	return pod, nil
}

// etcdArgs are kubeadm's defaults (phases/etcd of kubeadm 1.10 … 1.37; facts section 4.5, with 1.11 and 1.12 from their trees:
// their single member listened to itself only).
func etcdArgs(c *Cluster, n *Node, image string) []Arg {
	ip := n.AdvertiseAddress.String()
	args := flagsFor(c.Version, []argRow{
		{since(11), "name", n.Name},
		{until(12), "listen-client-urls", clientURL(ipv4Loopback)},
		{since(13), "listen-client-urls", clientURL(n.localhost()) + "," + clientURL(ip)},
		{until(12), "advertise-client-urls", clientURL(ipv4Loopback)},
		{since(13), "advertise-client-urls", clientURL(ip)},
		{between(11, 12), "listen-peer-urls", peerURL(ipv4Loopback)},
		{since(13), "listen-peer-urls", peerURL(ip)},
		{between(11, 12), "initial-advertise-peer-urls", peerURL(ipv4Loopback)},
		{since(13), "initial-advertise-peer-urls", peerURL(ip)},
		{between(11, 12), "initial-cluster", n.Name + "=" + peerURL(ipv4Loopback)},
		{always, "data-dir", c.Etcd.DataDir},
		{always, "cert-file", c.pki("etcd/server.crt")},
		{always, "key-file", c.pki("etcd/server.key")},
		{always, "trusted-ca-file", c.pki("etcd/ca.crt")},
		{always, "client-cert-auth", "true"},
		{always, "peer-cert-file", c.pki("etcd/peer.crt")},
		{always, "peer-key-file", c.pki("etcd/peer.key")},
		{always, "peer-trusted-ca-file", c.pki("etcd/ca.crt")},
		{always, "peer-client-cert-auth", "true"},
		{since(11), "snapshot-count", "10000"},
		{since(16), "listen-metrics-urls", "http://" + net.JoinHostPort(n.localhost(), strconv.Itoa(etcdMetricsPort))},
	})
	args = append(args, etcdSafetyArgs(c.Version, image)...)
	if !isSince(c.Version, 13) {
		return args
	}
	if len(c.Etcd.InitialCluster) == 0 {
		return append(args, Arg{"initial-cluster", n.Name + "=" + peerURL(ip)})
	}
	return append(args,
		Arg{"initial-cluster", strings.Join(c.Etcd.InitialCluster, ",")},
		Arg{"initial-cluster-state", "existing"})
}

// etcdSafetyArgs have other names in etcd 3.6, and 3.5 does not know those: the image decides, not the Kubernetes version.
func etcdSafetyArgs(v *version.Version, image string) []Arg {
	if etcdAtLeast36(v, image) {
		return flagsFor(v, []argRow{
			{since(22), "feature-gates", "InitialCorruptCheck=true"},
			{since(25), "watch-progress-notify-interval", "5s"},
		})
	}
	return flagsFor(v, []argRow{
		{since(22), "experimental-initial-corrupt-check", "true"},
		{since(25), "experimental-watch-progress-notify-interval", "5s"},
	})
}

// etcdAtLeast36 reads the image's tag; where it is no version, kubeadm's default etcd of that minor counts (3.6 from 1.34).
func etcdAtLeast36(v *version.Version, image string) bool {
	ref, _, _ := strings.Cut(image, "@")
	tag := path.Base(ref)
	if _, after, found := strings.Cut(tag, ":"); found {
		if etcd, err := version.ParseGeneric(after); err == nil {
			return etcd.Major() > 3 || etcd.Major() == 3 && etcd.Minor() >= 6
		}
	}
	return isSince(v, 34)
}

// etcdMetrics is where etcd answers probes: the first of the user's listen-metrics-urls, or the default (kubeadm 1.34 util/staticpod).
func etcdMetrics(c *Cluster, n *Node) (host string, port int, scheme corev1.URIScheme) {
	host, port, scheme = n.localhost(), etcdMetricsPort, corev1.URISchemeHTTP
	given, ok := argValue(c.Etcd.Local.ExtraArgs, "listen-metrics-urls")
	if !ok {
		return host, port, scheme
	}
	first, _, _ := strings.Cut(given, ",")
	u, err := url.Parse(first)
	if err != nil {
		return host, port, scheme
	}
	if u.Scheme == "https" {
		scheme = corev1.URISchemeHTTPS
	}
	if u.Hostname() != "" {
		host = u.Hostname()
	}
	if p, err := strconv.Atoi(u.Port()); err == nil {
		port = p
	}
	return host, port, scheme
}

// etcdctlProbe is how kubeadm asked etcd up to 1.15 (kubeadm 1.10 and 1.11 util/staticpod: the scheme came with 1.11).
func etcdctlProbe(c *Cluster) *corev1.Probe {
	endpoint := pick(c.Version, []row[string]{
		{until(10), "127.0.0.1:2379"},
		{since(11), "https://[127.0.0.1]:2379"},
	})
	t := pick(c.Version, livenessTimings)
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{
			"/bin/sh", "-ec",
			"ETCDCTL_API=3 etcdctl --endpoints=" + endpoint +
				" --cacert=" + c.pki("etcd/ca.crt") +
				" --cert=" + c.pki("etcd/healthcheck-client.crt") +
				" --key=" + c.pki("etcd/healthcheck-client.key") +
				" get foo",
		}}},
		InitialDelaySeconds: t.delay,
		TimeoutSeconds:      t.timeout,
		FailureThreshold:    t.failures,
	}
}
