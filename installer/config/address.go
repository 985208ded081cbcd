package config

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// NodeAddress chooses the address by which a node is known: the source address of the default route; else the one in whose subnet
// toward lies (an address that the node must reach anyway, nil for none); else the only global address. A host without default
// route is the normal case here, and to guess between several networks would make a cluster that works until the first pod
// is scheduled, so several candidates are an error that lists them. Addresses inside the excluded ranges count only where there is no
// other: the bridge of a CNI plugin has an address of the pod range on every run but the first.
func NodeAddress(addresses []net.IPNet, defaultRoute, toward net.IP, excluded ...*net.IPNet) (net.IP, error) {
	var candidates []net.IP
	for _, a := range addresses {
		if !a.IP.IsGlobalUnicast() || within(a.IP, excluded) {
			continue
		}
		if toward != nil && defaultRoute == nil && a.Contains(toward) {
			return a.IP, nil
		}
		candidates = append(candidates, a.IP)
	}
	if defaultRoute != nil && !within(defaultRoute, excluded) {
		return defaultRoute, nil
	}
	// A node with one IPv4 address and an IPv6 address beside it is an IPv4 node, as it is for kubeadm.
	if v4 := onlyIPv4(candidates); len(v4) > 0 {
		candidates = v4
	}
	switch len(candidates) {
	case 0:
		if len(excluded) > 0 {
			return NodeAddress(addresses, defaultRoute, toward)
		}
		return nil, errors.New("this host has no global IP address")
	case 1:
		return candidates[0], nil
	}
	names := make([]string, len(candidates))
	for i, c := range candidates {
		names[i] = c.String()
	}
	return nil, fmt.Errorf("this host has several addresses and no default route: %s", strings.Join(names, ", "))
}

func within(ip net.IP, ranges []*net.IPNet) bool {
	for _, r := range ranges {
		if r != nil && r.Contains(ip) {
			return true
		}
	}
	return false
}

func onlyIPv4(ips []net.IP) []net.IP {
	var v4 []net.IP
	for _, ip := range ips {
		if ip.To4() != nil {
			v4 = append(v4, ip)
		}
	}
	return v4
}

// ArgValue gives the value of the last argument of a name, as a component would see it.
func ArgValue(args []Arg, name string) (string, bool) {
	for i := len(args) - 1; i >= 0; i-- {
		if args[i].Name == name {
			return args[i].Value, true
		}
	}
	return "", false
}

// nodeIP is the address that the kubelet is told: the user's node-ip if there is one (of a dual stack's two the first), else the given one.
func nodeIP(r *NodeRegistration, otherwise net.IP) net.IP {
	if v, ok := ArgValue(r.KubeletExtraArgs, "node-ip"); ok {
		first, _, _ := strings.Cut(v, ",")
		if ip := net.ParseIP(first); ip != nil && !ip.IsUnspecified() {
			return ip
		}
	}
	return otherwise
}

// ranges parses the CIDRs of a "a,b" field; those that are wrong are left out, since validation names them.
func ranges(field string) []*net.IPNet {
	var all []*net.IPNet
	for _, text := range strings.Split(field, ",") {
		if _, n, err := net.ParseCIDR(strings.TrimSpace(text)); err == nil {
			all = append(all, n)
		}
	}
	return all
}
