package manifests

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	netutils "k8s.io/utils/net"
)

// Ports of the control plane (kubeadm 1.34 constants; the insecure ones kubeadm 1.10).
const (
	defaultAPIPort           = 6443
	controllerManagerPort    = 10257
	controllerManagerOldPort = 10252
	schedulerPort            = 10259
	schedulerOldPort         = 10251
	etcdClientPort           = 2379
	etcdPeerPort             = 2380
	etcdMetricsPort          = 2381
	apiServerServiceIP       = 1
	dnsServiceIP             = 10
	ipv4Loopback             = "127.0.0.1"
	ipv6Loopback             = "::1"
)

// ServiceIP gives the n-th address (1: API server, 10: DNS) of a service CIDR. Of a dual-stack pair "A,B" the first counts: it
// decides the family of the cluster's own Services (kubeadm 1.34 constants, GetKubernetesServiceCIDR).
func ServiceIP(cidr string, n int) (net.IP, error) {
	first, _, _ := strings.Cut(cidr, ",")
	_, subnet, err := net.ParseCIDR(strings.TrimSpace(first))
	if err != nil {
		return nil, fmt.Errorf("read service subnet %q: %w; give one such as 10.96.0.0/12", cidr, err)
	}
	ip, err := netutils.GetIndexedIP(subnet, n)
	if err != nil {
		return nil, fmt.Errorf("find address %d of service subnet %s: %w; give a larger subnet", n, subnet, err)
	}
	return ip, nil
}

// localhost is the loopback address of the family that the node advertises.
func (n *Node) localhost() string {
	if isIPv6(n.AdvertiseAddress) {
		return ipv6Loopback
	}
	return ipv4Loopback
}

// port is where the node's API server listens.
func (n *Node) port() int {
	if n.BindPort == 0 {
		return defaultAPIPort
	}
	return n.BindPort
}

// endpoint is the node's own API server as host:port.
func (n *Node) endpoint() string {
	return net.JoinHostPort(n.AdvertiseAddress.String(), strconv.Itoa(n.port()))
}

// localServer is the address of the API server on this node.
func (n *Node) localServer() string { return "https://" + n.endpoint() }

// clusterServer is the address that everybody shares: the control plane endpoint, or the only node's own address. An endpoint
// without port gets the node's (kubeadm 1.34 util/endpoint.go).
func clusterServer(c *Cluster, n *Node) string {
	if c.ControlPlaneEndpoint == "" {
		return n.localServer()
	}
	host, port := splitEndpoint(c.ControlPlaneEndpoint)
	if port == "" {
		port = strconv.Itoa(n.port())
	}
	return "https://" + net.JoinHostPort(host, port)
}

// splitEndpoint cuts host:port, [v6]:port, or a host alone.
func splitEndpoint(s string) (host, port string) {
	if h, p, err := net.SplitHostPort(s); err == nil {
		return h, p
	}
	return strings.Trim(s, "[]"), ""
}

// clusterIsIPv6 reports whether the address of server (https://host:port) or, where that is a name, the first service subnet is IPv6.
func clusterIsIPv6(c *Cluster, server string) bool {
	if u, err := url.Parse(server); err == nil {
		if ip := net.ParseIP(u.Hostname()); ip != nil {
			return isIPv6(ip)
		}
	}
	first, _, _ := strings.Cut(c.ServiceSubnet, ",")
	return netutils.IsIPv6CIDRString(first)
}

func isIPv6(ip net.IP) bool { return ip != nil && ip.To4() == nil }

// clientURL and peerURL are etcd's addresses on an IP.
func clientURL(ip string) string {
	return "https://" + net.JoinHostPort(ip, strconv.Itoa(etcdClientPort))
}

func peerURL(ip string) string { return "https://" + net.JoinHostPort(ip, strconv.Itoa(etcdPeerPort)) }
