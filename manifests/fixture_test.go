package manifests

import (
	"net"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/version"

	catalog "kubebundle/release"
)

// release is what a bundle of one Kubernetes version holds; the image names are upstream's of that version.
type release struct {
	version, repository, suffix string
	etcd, coredns, pause        string
}

// releases are the versions with golden files: every minor at which the rendering changed much, and the newest ones.
var releases = []release{
	{"1.10.6", "k8s.gcr.io", "-arm64", "3.1.12", "coredns/coredns:1.0.6", "3.1"},
	{"1.11.10", "k8s.gcr.io", "-amd64", "3.2.18", "k8s.gcr.io/coredns:1.1.3", "3.1"},
	{"1.12.10", "k8s.gcr.io", "", "3.2.24", "k8s.gcr.io/coredns:1.2.2", "3.1"},
	{"1.13.12", "k8s.gcr.io", "", "3.2.24", "k8s.gcr.io/coredns:1.2.6", "3.1"},
	{"1.14.10", "k8s.gcr.io", "", "3.3.10", "k8s.gcr.io/coredns:1.3.1", "3.1"},
	{"1.16.15", "k8s.gcr.io", "", "3.3.15-0", "k8s.gcr.io/coredns:1.6.2", "3.1"},
	{"1.18.20", "k8s.gcr.io", "", "3.4.3-0", "k8s.gcr.io/coredns:1.6.7", "3.2"},
	{"1.20.15", "k8s.gcr.io", "", "3.4.13-0", "k8s.gcr.io/coredns:1.7.0", "3.2"},
	{"1.22.17", "registry.k8s.io", "", "3.5.6-0", "registry.k8s.io/coredns/coredns:v1.8.4", "3.5"},
	{"1.24.17", "registry.k8s.io", "", "3.5.6-0", "registry.k8s.io/coredns/coredns:v1.8.6", "3.7"},
	{"1.28.15", "registry.k8s.io", "", "3.5.15-0", "registry.k8s.io/coredns/coredns:v1.10.1", "3.9"},
	{"1.34.4", "registry.k8s.io", "", "3.6.5-0", "registry.k8s.io/coredns/coredns:v1.12.1", "3.10.1"},
	{"1.35.4", "registry.k8s.io", "", "3.6.6-0", "registry.k8s.io/coredns/coredns:v1.13.1", "3.10.1"},
	{"1.36.3", "registry.k8s.io", "", "3.6.8-0", "registry.k8s.io/coredns/coredns:v1.14.2", "3.10.2"},
	{"1.37.2", "registry.k8s.io", "", "3.7.0-0", "registry.k8s.io/coredns/coredns:v1.14.6", "3.10.2"},
}

func (r release) cluster() *Cluster {
	image := func(name, tag string) string { return r.repository + "/" + name + r.suffix + ":" + tag }
	c := &Cluster{
		Version:         version.MustParseGeneric(r.version),
		Name:            "kubernetes",
		CertificatesDir: "/etc/kubernetes/pki",
		ImageRepository: r.repository,
		ServiceSubnet:   "10.96.0.0/12",
		PodSubnet:       "10.244.0.0/16",
		DNSDomain:       "cluster.local",
		KeyAlgorithm:    "RSA-2048",
		Images: map[string]string{
			"kube-apiserver":          image("kube-apiserver", "v"+r.version),
			"kube-controller-manager": image("kube-controller-manager", "v"+r.version),
			"kube-scheduler":          image("kube-scheduler", "v"+r.version),
			"kube-proxy":              image("kube-proxy", "v"+r.version),
			"etcd":                    image("etcd", r.etcd),
			"pause":                   image("pause", r.pause),
			"coredns":                 r.coredns,
			"k8s-dns-kube-dns":        image("k8s-dns-kube-dns", "1.14.8"),
			"k8s-dns-dnsmasq-nanny":   image("k8s-dns-dnsmasq-nanny", "1.14.8"),
			"k8s-dns-sidecar":         image("k8s-dns-sidecar", "1.14.8"),
		},
	}
	c.Etcd.DataDir = "/var/lib/etcd"
	return c
}

// controlPlane is the node that init makes, on a Debian host with systemd-resolved.
func controlPlane() *Node {
	return &Node{
		Name:             "cp1",
		Hostname:         "cp1",
		AdvertiseAddress: net.IPv4(10, 77, 0, 11),
		BindPort:         6443,
		CRISocket:        "unix:///run/containerd/containerd.sock",
		ControlPlane:     true,
		ResolvConf:       "/run/systemd/resolve/resolv.conf",
		CADirs:           []string{"/etc/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/ca-certificates"},
		CgroupVersion:    2,
		CgroupDriver:     "systemd",
	}
}

// at is a cluster of any version: the newest release's images do.
func at(t *testing.T, v string) *Cluster {
	t.Helper()
	r := releases[len(releases)-1]
	r.version = v
	minor := version.MustParseGeneric(v).Minor()
	if minor < 34 {
		r.etcd = "3.5.24-0"
	}
	if minor < 12 {
		r.suffix = "-amd64"
	}
	return r.cluster()
}

// everyMinor is each minor of the catalog at a late patch.
func everyMinor() []string {
	minors, err := catalog.Minors()
	if err != nil {
		panic(err)
	}
	var out []string
	for _, m := range minors {
		out = append(out, strings.TrimPrefix(m.Minor, "v")+".9")
	}
	return out
}
