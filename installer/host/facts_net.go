package host

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// clusterInterfaces are interfaces that container runtimes and network plugins make. Their addresses are not the node's.
var clusterInterfaces = []string{
	"antrea-gw", "br-", "cali", "cilium", "cni", "docker", "flannel", "genev_sys", "kube-bridge", "kube-dummy-if", "kube-ipvs",
	"lxc", "nodelocaldns", "ovn-k8s", "podman", "tunl", "veth", "vxlan.calico", "vxlan_sys", "weave", "wireguard.cali",
}

func isClusterInterface(name string) bool {
	for _, p := range clusterInterfaces {
		if strings.HasPrefix(name, p) {
			// "br-" and 12 hex digits is Docker's; a site may well call its own bridge br-lan.
			if p == "br-" && (len(name) != len("br-0123456789ab") || strings.Trim(name[3:], "0123456789abcdef") != "") {
				continue
			}
			return true
		}
	}
	return false
}

// addresses lists the node's global addresses, whose interface has each, and the one that the default route would use as source.
func addresses(route4, route6 string) ([]net.IPNet, map[string]string, net.IP, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var all []net.IPNet
	byName, names := map[string][]net.IP{}, map[string]string{}
	for _, i := range ifaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || isClusterInterface(i.Name) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, nil, nil, fmt.Errorf("list addresses of %s: %w", i.Name, err)
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
				all = append(all, *n)
				byName[i.Name] = append(byName[i.Name], n.IP)
				names[n.IP.String()] = i.Name
			}
		}
	}
	if iface := defaultRoute4(route4); iface != "" {
		for _, ip := range byName[iface] {
			if ip.To4() != nil {
				return all, names, ip, nil
			}
		}
	}
	if iface := defaultRoute6(route6); iface != "" {
		for _, ip := range byName[iface] {
			if ip.To4() == nil {
				return all, names, ip, nil
			}
		}
	}
	return all, names, nil, nil
}

const (
	rtfUp     = 0x1   // <linux/route.h>
	rtfReject = 0x200 // "unreachable" routes
)

// defaultRoute4 gives the interface of the best default route in /proc/net/route: Iface Destination Gateway Flags RefCnt Use Metric Mask …
func defaultRoute4(s string) string {
	best, bestMetric := "", uint64(0)
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) < 8 || f[1] != "00000000" || f[7] != "00000000" {
			continue
		}
		flags, err1 := strconv.ParseUint(f[3], 16, 32)
		metric, err2 := strconv.ParseUint(f[6], 10, 32)
		if err1 != nil || err2 != nil || flags&rtfUp == 0 || flags&rtfReject != 0 {
			continue
		}
		if best == "" || metric < bestMetric {
			best, bestMetric = f[0], metric
		}
	}
	return best
}

// defaultRoute6 is the same for /proc/net/ipv6_route: dest destlen src srclen nexthop metric refcnt use flags iface, all numbers hexadecimal.
func defaultRoute6(s string) string {
	best, bestMetric := "", uint64(0)
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) < 10 || strings.Trim(f[0], "0") != "" || f[1] != "00" || f[9] == "lo" {
			continue
		}
		flags, err1 := strconv.ParseUint(f[8], 16, 32)
		metric, err2 := strconv.ParseUint(f[5], 16, 32)
		if err1 != nil || err2 != nil || flags&rtfUp == 0 || flags&rtfReject != 0 {
			continue
		}
		if best == "" || metric < bestMetric {
			best, bestMetric = f[9], metric
		}
	}
	return best
}
