package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	// minServiceAddresses: the tenth address of the range is the DNS server's (kubeadm's rule).
	minServiceBits = 4
	// maxServiceBits is the API server's limit on a service range: its allocator keeps a bit per address.
	maxServiceBits = 20
	// maxNodeBits is the controller manager's limit: 2^16 nodes.
	maxNodeBits = 16
)

func (p *problems) networking(c *ClusterConfiguration, advertise net.IP) {
	n := &c.Networking
	if msgs := validation.IsDNS1123Subdomain(n.DNSDomain); len(msgs) > 0 {
		p.add("networking.dnsDomain", "%q is not a DNS domain: lower case letters, digits, dashes and dots", n.DNSDomain)
	}
	services := p.cidrs("networking.serviceSubnet", n.ServiceSubnet)
	for _, s := range services {
		ones, bits := s.Mask.Size()
		switch {
		case bits-ones < minServiceBits:
			p.add("networking.serviceSubnet", "%s is too small: the DNS Service alone needs its tenth address; the longest mask is /%d", s, bits-minServiceBits)
		case bits-ones > maxServiceBits:
			p.add("networking.serviceSubnet", "%s is too large: the shortest mask is /%d", s, bits-maxServiceBits)
		}
	}
	var pods []*net.IPNet
	if n.PodSubnet != "" {
		pods = p.cidrs("networking.podSubnet", n.PodSubnet)
	}
	for _, s := range pods {
		ones, bits := s.Mask.Size()
		mask := nodeMask(c, bits == 128)
		switch {
		case ones > mask:
			p.add("networking.podSubnet", "%s is too small: each node gets a /%d of it", s, mask)
		case mask-ones > maxNodeBits:
			p.add("networking.podSubnet", "%s is too large for nodes of /%d each: the shortest mask is /%d", s, mask, mask-maxNodeBits)
		}
	}
	for _, s := range services {
		for _, pod := range pods {
			if s.Contains(pod.IP) || pod.Contains(s.IP) {
				p.add("networking.podSubnet", "%s overlaps with the service range %s", pod, s)
			}
		}
	}
	if advertise == nil {
		return
	}
	p.apart("networking.serviceSubnet", services, advertise)
	p.apart("networking.podSubnet", pods, advertise)
}

func (p *problems) apart(field string, ranges []*net.IPNet, node net.IP) {
	for _, r := range ranges {
		if r.Contains(node) {
			p.add(field, "%s contains the address %s of this node, which would no longer be reachable: choose another range", r, node)
		}
	}
}

// cidrs parses one range, or two of different families for a dual stack.
func (p *problems) cidrs(field, text string) []*net.IPNet {
	parts := strings.Split(text, ",")
	if len(parts) > 2 {
		p.add(field, "%q has more than two ranges", text)
		return nil
	}
	var all []*net.IPNet
	for _, part := range parts {
		_, n, err := net.ParseCIDR(strings.TrimSpace(part))
		if err != nil {
			p.add(field, "%q is not a range such as 10.96.0.0/12", part)
			continue
		}
		all = append(all, n)
	}
	if len(all) == 2 && (all[0].IP.To4() == nil) == (all[1].IP.To4() == nil) {
		p.add(field, "%q has two ranges of the same family: a dual stack has one of IPv4 and one of IPv6", text)
	}
	return all
}

// endpoint brings host or host:port into the form host:port, with brackets around IPv6 addresses.
func endpoint(field, text string, port int32, p *problems) string {
	if text == "" {
		return ""
	}
	host, number := text, strconv.Itoa(int(port))
	if h, n, err := net.SplitHostPort(text); err == nil {
		host, number = h, n
	} else if inner, ok := strings.CutPrefix(text, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	if n, err := strconv.Atoi(number); err != nil || n < 1 || n > 65535 {
		p.add(field, "%q: %q is not a port between 1 and 65535", text, number)
		return text
	}
	if strings.Contains(text, "://") {
		p.add(field, "%q is a URL: write host:port alone", text)
		return text
	}
	if net.ParseIP(host) == nil && len(validation.IsDNS1123Subdomain(strings.ToLower(host))) > 0 {
		p.add(field, "%q: %q is neither an IP address nor a DNS name", text, host)
		return text
	}
	return net.JoinHostPort(strings.ToLower(host), number)
}

func (p *problems) port(field string, port int32) {
	if port < 1 || port > 65535 {
		p.add(field, "%d is not a port between 1 and 65535", port)
	}
}

func (p *problems) unicast(field string, ip net.IP) {
	if !ip.IsGlobalUnicast() {
		p.add(field, "%s cannot be reached by other nodes: use a unicast address of this node's network", ip)
	}
}

func (p *problems) sans(field string, sans []string) {
	for i, s := range sans {
		dns := strings.ToLower(s)
		if net.ParseIP(s) == nil && len(validation.IsDNS1123Subdomain(dns)) > 0 && len(validation.IsWildcardDNS1123Subdomain(dns)) > 0 {
			p.add(fmt.Sprintf("%s[%d]", field, i), "%q is neither an IP address nor a DNS name", s)
		}
	}
}
