package config

import (
	"net"
	"strconv"
)

// VirtualIP is an address that the control planes share (--vip). kubeadm has nothing like it, so no configuration file says it.
type VirtualIP struct {
	Address  net.IP
	Port     int // where HAProxy answers on it: the port of the cluster's controlPlaneEndpoint
	RouterID int // VRRP's number of the address on its network
}

// DefaultVirtualIPPort is the port of HAProxy: the API server has 6443 on every address of the node.
const DefaultVirtualIPPort = 8443

// virtualIP reads --vip and gives the cluster its endpoint by it. An endpoint that was given has to be the same address.
func (f *InitFlags) virtualIP(cl *ClusterConfiguration, p *problems) *VirtualIP {
	if f.VIP == "" {
		return nil
	}
	v := &VirtualIP{Address: net.ParseIP(f.VIP), Port: DefaultVirtualIPPort, RouterID: f.VIPRouterID}
	if v.Address == nil {
		p.add("--vip", "%q is not an IP address", f.VIP)
		return nil
	}
	p.unicast("--vip", v.Address)
	if v.RouterID < 1 || v.RouterID > 255 {
		p.add("--vip-router-id", "%d: VRRP has the numbers 1 to 255", v.RouterID)
	}
	if cl.ControlPlaneEndpoint == "" {
		cl.ControlPlaneEndpoint = net.JoinHostPort(v.Address.String(), strconv.Itoa(v.Port))
		return v
	}
	host, port, err := net.SplitHostPort(cl.ControlPlaneEndpoint)
	if err != nil {
		host, port = cl.ControlPlaneEndpoint, strconv.Itoa(v.Port)
		cl.ControlPlaneEndpoint = net.JoinHostPort(host, port)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.Equal(v.Address) {
		p.add("controlPlaneEndpoint", "%s is another address than --vip %s", cl.ControlPlaneEndpoint, v.Address)
	}
	if v.Port, err = strconv.Atoi(port); err != nil {
		p.add("controlPlaneEndpoint", "%q is not a port", port)
	}
	return v
}

// checkVirtualIP wants an address that can move between the nodes, and a port that is free on them.
func (c *Init) checkVirtualIP(addresses []net.IPNet, p *problems) {
	v := c.VirtualIP
	if v == nil {
		return
	}
	if v.Port == int(c.LocalAPIEndpoint.BindPort) {
		p.add("controlPlaneEndpoint", "port %d is the API server's own one on every address of the node: give the virtual IP another (%d)", v.Port, DefaultVirtualIPPort)
	}
	own := net.ParseIP(c.LocalAPIEndpoint.AdvertiseAddress)
	if own == nil {
		return
	}
	if own.Equal(v.Address) {
		p.add("--vip", "%s is this node's own address: choose one that no host has", v.Address)
		return
	}
	for _, a := range addresses {
		if a.IP.Equal(own) && !a.Contains(v.Address) {
			p.add("--vip", "%s is not on the network of this node's address %s: a virtual IP moves within one network only", v.Address, &a)
		}
	}
}
