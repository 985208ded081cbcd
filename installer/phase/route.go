package phase

import (
	"context"
	"fmt"
	"net"
	"strings"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

const (
	routeUnit = "kubebundle-service-route.service"
	routePath = "/etc/systemd/system/" + routeUnit
)

// ServiceRoute keeps a route for the service range on a host that has no default route. Without any route the kernel refuses a
// connection to a service IP before kube-proxy's rules can send it elsewhere, so that nothing in the host's network namespace (the
// kubelet's probes, webhooks, pods with host network such as flannel) reaches a service.
//
// The route leads to the loopback device. That is enough: kube-proxy's rules change the address on the way out, and the kernel then
// decides again where to. A packet for which there is no rule (yet) ends there, where a route through a network card would have
// asked that network for the owner of a service IP. IPv6 refuses such a route through loopback, so there the node's own interface is named.
type ServiceRoute struct{}

// Name is ours.
func (ServiceRoute) Name() string { return "service-route" }

// Plan does nothing where there is a default route.
func (ServiceRoute) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	f, err := s.facts(ctx, r)
	if err != nil || f.DefaultRouteIP != nil || s.member {
		return nil, err
	}
	var c *manifests.Cluster
	var n *manifests.Node
	if s.Join != nil {
		c = s.Cluster
		n, err = s.joinNode(ctx, r)
	} else {
		c, n, err = s.initCluster(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, errDiscoverFirst
	}
	var routes []route
	for cidr := range strings.SplitSeq(c.ServiceSubnet, ",") {
		_, subnet, err := net.ParseCIDR(strings.TrimSpace(cidr))
		if err != nil {
			return nil, fmt.Errorf("read service subnet %q: %w", cidr, err)
		}
		if src := sourceFor(subnet, n.AdvertiseAddress, f); src != nil {
			routes = append(routes, route{subnet: subnet.String(), src: src.String(), v6: src.To4() == nil})
		}
	}
	if len(routes) == 0 {
		return nil, nil
	}
	return []step.Step{
		step.File{Path: routePath, Mode: 0o644, Data: routeFile(routes)},
		step.Unit{Name: routeUnit, Enable: true, Start: true, Files: []string{routePath}},
	}, nil
}

type route struct {
	subnet, src string
	v6          bool
}

// sourceFor is the node's address in the family of a subnet, nil if it has none.
func sourceFor(subnet *net.IPNet, advertise net.IP, f host.Facts) net.IP {
	v4 := subnet.IP.To4() != nil
	if (advertise.To4() != nil) == v4 {
		return advertise
	}
	for _, a := range f.Addresses {
		if (a.IP.To4() != nil) == v4 {
			return a.IP
		}
	}
	return nil
}

// routeFile renders the unit. The kernel forgets routes when their source address goes away (an interface that goes down and comes up
// again), and the address may come late, so the unit looks again every ten seconds. The MTU keeps loopback's 64 KiB out of TCP. In a
// unit file $ of the shell is doubled.
func routeFile(routes []route) []byte {
	var loop, stop []string
	for _, rt := range routes {
		if rt.v6 {
			loop = append(loop, fmt.Sprintf(`set -- $$(ip -o -6 addr show to %s); [ -z "$$2" ] || ip -6 route replace %s dev "$$2" src %s;`, rt.src, rt.subnet, rt.src))
			stop = append(stop, fmt.Sprintf("ExecStopPost=-/bin/sh -c 'exec ip -6 route del %s'\n", rt.subnet))
			continue
		}
		loop = append(loop, fmt.Sprintf("ip route replace %s dev lo src %s mtu 1500;", rt.subnet, rt.src))
		stop = append(stop, fmt.Sprintf("ExecStopPost=-/bin/sh -c 'exec ip route del %s dev lo'\n", rt.subnet))
	}
	return []byte(`# Written by kubebundle: this host has no default route, and without any route service IPs cannot be reached from it.
[Unit]
Description=Route for the Kubernetes service range
After=network.target
Before=kubelet.service

[Service]
ExecStart=/bin/sh -c 'while :; do ` + strings.Join(loop, " ") + ` sleep 10; done'
` + strings.Join(stop, "") + `Restart=always
RestartSec=10

[Install]
WantedBy=multi-user.target
`)
}
