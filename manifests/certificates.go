package manifests

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	clusterAdminsGroup      = "kubeadm:cluster-admins" // 1.29+
	mastersGroup            = "system:masters"
	kubeletClientCommonName = "kube-apiserver-kubelet-client"
)

// Certificates lists the PKI of a control plane node, CAs before what they sign, under the phase names of kubeadm 1.34. An external
// etcd leaves out everything of etcd. Sources: kubeadm 1.10 … 1.37 phases/certs and util/pkiutil; facts section 5, with the changes
// of 1.11, 1.13 and 1.29 read from their trees. The service account pair is a plain key and is not listed.
func Certificates(c *Cluster, n *Node) ([]CertSpec, error) {
	if n.AdvertiseAddress == nil {
		return nil, errors.New("list certificates: the node has no advertise address; give --apiserver-advertise-address")
	}
	apiServer, err := apiServerCert(c, n)
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	specs := []CertSpec{
		c.authority("ca", "ca", "kubernetes"),
		apiServer,
		clientCert("apiserver-kubelet-client", "apiserver-kubelet-client", "ca", kubeletClientCommonName, c.kubeletClientGroups()),
		c.authority("front-proxy-ca", "front-proxy-ca", "front-proxy-ca"),
		clientCert("front-proxy-client", "front-proxy-client", "front-proxy-ca", "front-proxy-client", nil),
	}
	if c.Etcd.External != nil {
		return specs, nil
	}
	server, err := etcdServerCert(c, n)
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	peer, err := etcdPeerCert(c, n)
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	groups := pick(c.Version, []row[[]string]{{until(28), []string{mastersGroup}}})
	return append(specs,
		c.authority("etcd-ca", "etcd/ca", "etcd-ca"),
		server,
		peer,
		clientCert("etcd-healthcheck-client", "etcd/healthcheck-client", "etcd-ca", "kube-etcd-healthcheck-client", groups),
		clientCert("apiserver-etcd-client", "apiserver-etcd-client", "etcd-ca", "kube-apiserver-etcd-client", groups),
	), nil
}

// authority is a self-signed CA. All three were called "kubernetes" up to 1.11. A CA names itself as a DNS name since client-go
// learned to (about 1.24).
func (c *Cluster) authority(name, baseName, commonName string) CertSpec {
	if !isSince(c.Version, 12) {
		commonName = "kubernetes"
	}
	spec := CertSpec{Name: name, BaseName: baseName, CommonName: commonName}
	if isSince(c.Version, 24) {
		spec.DNSNames = []string{commonName}
	}
	return spec
}

func clientCert(name, baseName, ca, commonName string, groups []string) CertSpec {
	return CertSpec{
		Name: name, BaseName: baseName, CA: ca, CommonName: commonName, Organization: groups,
		Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// kubeletClientGroups give the API server its rights on kubelets. From 1.36.1 on (and in late patches of 1.33 to 1.35)
// it has none through its certificate but a ClusterRoleBinding of its user; see BootstrapTokenRBAC.
func (c *Cluster) kubeletClientGroups() []string {
	switch {
	case c.kubeletClientByBinding():
		return nil
	case isSince(c.Version, 29):
		return []string{clusterAdminsGroup}
	default:
		return []string{mastersGroup}
	}
}

// kubeletClientByBinding: kubernetes PR 138957 went into 1.36.1 and, as a security fix, into 1.35.5, 1.34.8 and 1.33.12 (Cluster API's
// troubleshooting page lists them; kubeadm 1.33.13 does it, 1.34.4 and 1.35.4 do not: test/differential).
func (c *Cluster) kubeletClientByBinding() bool {
	first, fixed := map[uint]uint{33: 12, 34: 8, 35: 5, 36: 1}[minorOf(c.Version)]
	if !fixed {
		return isSince(c.Version, 37)
	}
	return c.Version.Patch() >= first
}

// sans collects the names and addresses of a serving certificate.
type sans struct {
	dns []string
	ips []net.IP
	err error
}

// add sorts user input into names and addresses; what is neither is an error, not a warning as in kubeadm.
func (s *sans) add(field string, values ...string) {
	for _, v := range values {
		switch ip := net.ParseIP(v); {
		case ip != nil:
			s.ips = append(s.ips, ip)
		case len(validation.IsDNS1123Subdomain(v)) == 0, len(validation.IsWildcardDNS1123Subdomain(v)) == 0:
			s.dns = append(s.dns, v)
		case s.err == nil:
			s.err = fmt.Errorf("%s: %q is neither an IP address nor a DNS name (lower case letters, digits, '-', '.')", field, v)
		}
	}
}

// into fills a certificate: names sorted, addresses in order, each once (kubeadm 1.34 RemoveDuplicateAltNames).
func (s *sans) into(spec CertSpec) (CertSpec, error) {
	slices.Sort(s.dns)
	spec.DNSNames = slices.Compact(s.dns)
	for _, ip := range s.ips {
		if !slices.ContainsFunc(spec.IPAddresses, ip.Equal) {
			spec.IPAddresses = append(spec.IPAddresses, ip)
		}
	}
	return spec, s.err
}

func apiServerCert(c *Cluster, n *Node) (CertSpec, error) {
	serviceIP, err := ServiceIP(c.ServiceSubnet, apiServerServiceIP)
	if err != nil {
		return CertSpec{}, err
	}
	s := sans{
		dns: []string{
			n.Name, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + c.DNSDomain,
		},
		ips: []net.IP{serviceIP, n.AdvertiseAddress},
	}
	if c.ControlPlaneEndpoint != "" {
		host, _ := splitEndpoint(c.ControlPlaneEndpoint)
		s.add("controlPlaneEndpoint", host)
	}
	s.add("apiServer.certSANs", c.CertSANs...)
	return s.into(CertSpec{
		Name: "apiserver", BaseName: "apiserver", CA: "ca", CommonName: apiServerName,
		Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

var bothAuth = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}

// etcdServerCert: 1.10 served loopback only, under a fixed name; 1.13 added the node's address.
func etcdServerCert(c *Cluster, n *Node) (CertSpec, error) {
	spec := CertSpec{Name: "etcd-server", BaseName: "etcd/server", CA: "etcd-ca", CommonName: n.Name, Usages: slices.Clone(bothAuth)}
	s := sans{dns: []string{n.Name, "localhost"}}
	switch {
	case !isSince(c.Version, 11):
		spec.CommonName, spec.Usages = "kube-etcd", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		s = sans{dns: []string{"localhost"}, ips: []net.IP{net.IPv4(127, 0, 0, 1)}}
	case !isSince(c.Version, 13):
		s.ips = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	default:
		s.ips = []net.IP{n.AdvertiseAddress, net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	s.add("etcd.local.serverCertSANs", c.Etcd.ServerCertSANs...)
	return s.into(spec)
}

func etcdPeerCert(c *Cluster, n *Node) (CertSpec, error) {
	spec := CertSpec{Name: "etcd-peer", BaseName: "etcd/peer", CA: "etcd-ca", CommonName: n.Name, Usages: slices.Clone(bothAuth)}
	s := sans{
		dns: []string{n.Name, "localhost"},
		ips: []net.IP{n.AdvertiseAddress, net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if !isSince(c.Version, 11) {
		spec.CommonName = "kube-etcd-peer"
		s = sans{dns: []string{n.Name}, ips: []net.IP{n.AdvertiseAddress}}
	}
	s.add("etcd.local.peerCertSANs", c.Etcd.PeerCertSANs...)
	return s.into(spec)
}
