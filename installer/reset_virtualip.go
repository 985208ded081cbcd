package installer

import (
	"context"
	"net"
	"time"

	"kubebundle/installer/host"
	"kubebundle/installer/phase"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

// leaveVirtualIP gives the address of the control planes to another one while this node's HAProxy still serves.
func (r *Reset) leaveVirtualIP(ctx context.Context) ([]step.Step, error) {
	address, _ := r.virtualIP()
	if address == nil || !r.othersHold(ctx) {
		return nil, nil
	}
	holds, err := phase.HoldsAddress(ctx, r.Target.Host, address)
	if err != nil || !holds {
		return nil, err
	}
	gone := phase.AddressGone(address)
	gone.Timeout = 8 * time.Second // it is taken from the interface in any case
	return []step.Step{phase.LeavingMark(), gone}, nil
}

// othersHold reports whether the cluster knows other control planes that could hold the address. A cluster that does not answer has nobody who would.
func (r *Reset) othersHold(ctx context.Context) bool {
	if r.Target.Cluster == nil {
		return false
	}
	limit, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	c, err := r.Target.Cluster(limit)
	if err != nil {
		return false
	}
	cm, err := c.SystemConfigMap(limit, manifests.VirtualIPConfigMap)
	if err != nil || cm == nil {
		return false
	}
	v, err := manifests.ParseVirtualIP(cm)
	return err == nil && len(v.Servers) > 1
}

// dropVirtualIP takes the address from the interface: keepalived that is killed leaves it there, and another node has it too then.
func (r *Reset) dropVirtualIP() []step.Step {
	address, iface := r.virtualIP()
	if address == nil {
		return nil
	}
	return []step.Step{step.Exec{
		What:    "take the virtual IP from " + iface,
		Command: host.Command{Name: "ip", Args: []string{"address", "del", manifests.WithLength(address), "dev", iface}},
		Done: func(ctx context.Context, h host.Reader) (bool, error) {
			holds, err := phase.HoldsAddress(ctx, h, address)
			return !holds, err
		},
	}}
}

// virtualIP is what this node's keepalived was told; nil if there is none of ours.
func (r *Reset) virtualIP() (address net.IP, iface string) {
	conf, err := r.Target.Host.ReadFile(manifests.KeepalivedConf)
	if err != nil {
		return nil, ""
	}
	return manifests.HeldAddress(conf)
}
