package phase

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/release"
)

// A node that is upgraded does not hold the address of the control planes, if another one can: its API server, its HAProxy and keepalived itself start
// anew, and whoever is talking to the address then must not notice.

// virtualIP is the cluster's, if this node takes part in it; nil otherwise.
func (u *Upgrade) virtualIP(r host.Reader) (*manifests.VirtualIP, error) {
	if !u.controlPlane || u.docs.vip == nil || !exists(r, path.Join(manifestsDir, release.Keepalived+".yaml")) {
		return nil, nil //nolint:nilnil // none is no error
	}
	return manifests.ParseVirtualIP(u.docs.vip)
}

// LeaveVirtualIP gives the address to another node.
type LeaveVirtualIP struct{}

// Name is ours.
func (LeaveVirtualIP) Name() string { return "virtual-ip/leave" }

// Plan leaves a mark that keepalived looks for, and waits until the address has gone. Where no other node can hold it, it stays.
func (LeaveVirtualIP) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	u, err := s.upgrade(ctx, r)
	if err != nil {
		return nil, err
	}
	v, err := u.virtualIP(r)
	if err != nil || v == nil {
		return nil, err
	}
	return []step.Step{step.Tended{Step: LeavingMark()}, mayFail{AddressGone(v.Address)}}, nil
}

// LeavingMark lets keepalived give the address to another node.
func LeavingMark() step.File {
	return step.File{Path: manifests.VirtualIPLeaving, Mode: 0o600, Data: []byte("install is at work on this node\n")}
}

// AddressGone waits until this node does not hold an address. keepalived sees the mark within a second, and the others take over when they have not
// heard of a holder of their own priority for four.
func AddressGone(address net.IP) step.Await {
	const patience = 15 * time.Second
	return step.Await{
		What: "another control plane to take the virtual IP " + address.String(), Timeout: patience, Interval: 200 * time.Millisecond,
		Hint: step.Logs("", release.Keepalived),
		Check: func(ctx context.Context, t *step.Target) error {
			holds, err := HoldsAddress(ctx, t.Host, address)
			if err == nil && holds {
				err = errors.New("this node holds it still")
			}
			return err
		},
	}
}

// HoldsAddress reports whether a host has an address.
func HoldsAddress(ctx context.Context, r host.Reader, address net.IP) (bool, error) {
	f, err := r.Facts(ctx)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(f.Addresses, func(a net.IPNet) bool { return a.IP.Equal(address) }), nil
}

// UpgradeVirtualIP brings keepalived and HAProxy to what the bundle has, and HAProxy to the API servers that there are by now.
type UpgradeVirtualIP struct{}

// Name is ours.
func (UpgradeVirtualIP) Name() string { return "virtual-ip/upgrade" }

// Plan leaves both as they are where the bundle has no images of them: those that run need nothing of the new version.
func (UpgradeVirtualIP) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	u, err := s.upgrade(ctx, r)
	if err != nil {
		return nil, err
	}
	v, err := u.virtualIP(r)
	if err != nil || v == nil {
		return nil, err
	}
	if s.Cluster.Images[release.Keepalived] == "" || s.Cluster.Images[release.HAProxy] == "" {
		if s.Progress != nil {
			s.Progress("the bundle has no images of the virtual IP: keepalived and HAProxy stay as they are")
		}
		return nil, nil
	}
	f, err := s.facts(ctx, r)
	if err != nil {
		return nil, err
	}
	iface := f.Interfaces[s.Node.AdvertiseAddress.String()]
	if iface == "" {
		return nil, fmt.Errorf("upgrade the virtual IP: no interface of this host has its address %s", s.Node.AdvertiseAddress)
	}
	files, err := manifests.VirtualIPFiles(s.Cluster, s.Node, v, iface)
	if err != nil {
		return nil, err
	}
	var steps, gates []step.Step
	for _, f := range files {
		steps = append(steps, step.Tended{Step: file(f)})
		if path.Dir(f.Path) == manifestsDir {
			g := &gate{node: u.node, component: strings.TrimSuffix(path.Base(f.Path), ".yaml"), manifest: f.Data, shown: true}
			gates = append(gates, g.await(s.timeouts().UpgradeManifests))
		}
	}
	return append(append(steps, gates...), handsOn(s, v)), nil
}

// handsOn waits until this node's HAProxy leads to an API server.
func handsOn(s *State, v *manifests.VirtualIP) step.Await {
	address := "https://" + net.JoinHostPort(s.Node.AdvertiseAddress.String(), strconv.Itoa(v.Port)) + "/healthz"
	return step.Await{
		What: "HAProxy of this node to lead to an API server", Timeout: s.timeouts().ControlPlaneComponentHealthCheck, Hint: step.Logs("", release.HAProxy),
		Check: func(ctx context.Context, t *step.Target) error {
			get := t.Get
			if get == nil {
				get = localGet
			}
			status, _, err := get(ctx, address)
			if err == nil && status >= http.StatusInternalServerError {
				err = fmt.Errorf("GET %s: %d", address, status)
			}
			return err
		},
	}
}

// ReturnVirtualIP lets this node hold the address again. It does not take it: who has it by now keeps it.
type ReturnVirtualIP struct{}

// Name is ours.
func (ReturnVirtualIP) Name() string { return "virtual-ip/return" }

// Plan removes the mark.
func (ReturnVirtualIP) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	u, err := s.upgrade(ctx, r)
	if err != nil {
		return nil, err
	}
	v, err := u.virtualIP(r)
	if err != nil || v == nil {
		return nil, err
	}
	return []step.Step{handsOn(s, v), step.Tended{Step: step.Remove{Path: manifests.VirtualIPLeaving, Why: "this node serves again"}}}, nil
}

// virtualIPFiles are what UpgradeVirtualIP may write.
func (u *Upgrade) virtualIPFiles(s *State, r host.Reader) ([]string, error) {
	v, err := u.virtualIP(r)
	if err != nil || v == nil {
		return nil, err
	}
	if s.Cluster.Images[release.Keepalived] == "" || s.Cluster.Images[release.HAProxy] == "" {
		return nil, nil
	}
	files, err := manifests.VirtualIPFiles(s.Cluster, s.Node, v, "any")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range files {
		out = append(out, f.Path)
	}
	return out, nil
}

// SettleControlPlane waits, where there are other control planes, until this one stands: a kubelet of another minor starts the static pods anew, and
// who goes on to the next control plane meanwhile takes etcd's majority away.
type SettleControlPlane struct{}

// Name is that of the phase of init.
func (SettleControlPlane) Name() string { return WaitControlPlane{}.Name() }

// Plan waits for what the kubelet itself says.
func (SettleControlPlane) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	u, err := s.upgrade(ctx, r)
	if err != nil || !u.controlPlane {
		return nil, err
	}
	c, err := u.API(ctx)
	if err != nil {
		return nil, err
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	nodes, err := c.Nodes(limit)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(nodes, func(n corev1.Node) bool { return n.Name != u.node && isControlPlane(&n) }) {
		return nil, nil
	}
	steps := []step.Step{staticPodsRun(u.node, s.timeouts().UpgradeManifests)}
	if s.Cluster.Etcd.External == nil {
		steps = append(steps, step.EtcdHealthy(s.etcdConn(), s.timeouts().EtcdAPICall))
	}
	return steps, nil
}

// staticPodsRun asks the kubelet for its pods. The API server may show those of the former kubelet for a minute.
func staticPodsRun(node string, timeout time.Duration) step.Await {
	return step.Await{
		What: "the kubelet to run every static pod of this node", Timeout: timeout, Hint: "journalctl -xeu kubelet",
		Check: func(ctx context.Context, t *step.Target) error {
			entries, err := t.Host.ReadDir(manifestsDir)
			if err != nil {
				return err
			}
			c, err := t.Cluster(ctx)
			if err != nil {
				return err
			}
			pods, err := c.KubeletPods(ctx, node)
			if err != nil {
				return err
			}
			for _, e := range entries {
				name, is := strings.CutSuffix(e.Name(), ".yaml")
				if !is || strings.HasPrefix(name, ".") {
					continue
				}
				ready := func(p corev1.Pod) bool { return p.Name == name+"-"+node && podIsReady(&p) }
				if !slices.ContainsFunc(pods, ready) {
					return fmt.Errorf("%s is not Ready", name)
				}
			}
			return nil
		},
	}
}
