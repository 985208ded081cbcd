package phase

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/release"
)

// What the programs of a control plane get to end. etcd gives its leadership to another member first. An API server may let watching clients keep it
// for a minute; all that it has acknowledged is in etcd.
const (
	etcdGrace   = 10 * time.Second
	serverGrace = 3 * time.Second
)

// endStaticPods ends components of this node's control plane, whose kubelet does not run. etcd goes last: without it an API server only hangs.
func endStaticPods(socket, node string, components []string) []step.Step {
	if socket == "" {
		return nil
	}
	var servers, etcd []string
	for _, comp := range components {
		if comp == string(release.Etcd) {
			etcd = append(etcd, comp+"-"+node)
		} else {
			servers = append(servers, comp+"-"+node)
		}
	}
	var out []step.Step
	if len(servers) > 0 {
		out = append(out, step.EndPods{Socket: socket, Namespace: metav1.NamespaceSystem, Names: servers, Grace: serverGrace})
	}
	if len(etcd) > 0 {
		out = append(out, step.EndPods{Socket: socket, Namespace: metav1.NamespaceSystem, Names: etcd, Grace: etcdGrace})
	}
	return out
}

// virtualIPPods are the pods of a virtual IP that this node takes part in. A kubelet of another minor version makes them anew too, and clients come
// through them.
func virtualIPPods(r host.Reader) []string {
	return slices.DeleteFunc([]string{release.Keepalived, release.HAProxy}, func(p string) bool {
		return !exists(r, path.Join(manifestsDir, p+".yaml"))
	})
}

// kubeletRuns is the kubelet's unit as it is to be after an exchange of static pods alone.
func kubeletRuns() step.Unit { return step.Unit{Name: kubeletUnit, Enable: true, Start: true} }

// UpgradeControlPlane exchanges this node's static pods, all in one: the API server is not served while etcd restarts, nor before it has started itself,
// and every further stop would only add to that.
//
// In a cluster of one control plane the kubelet is exchanged with them. A kubelet of another minor version gives every static pod another UID, a hash over
// the Go type of a pod, and so starts all of them anew: the API would be away a second time. No other API server is left that could be older than
// this kubelet.
type UpgradeControlPlane struct{}

// Name is kubeadm's.
func (UpgradeControlPlane) Name() string { return "control-plane" }

// Plan is the exchange, and a gate for each component, in the order in which one needs the other.
func (p UpgradeControlPlane) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	u, err := s.upgrade(ctx, r)
	if err != nil {
		return nil, err
	}
	files, restart, err := u.staticPods(s, r)
	if err != nil {
		return nil, err
	}
	ex := step.Exchange{Unit: kubeletRuns()}
	with, err := u.kubeletWithPods(ctx, s)
	if err != nil {
		return nil, err
	}
	ends := restart
	if with {
		if ex, err = u.kubeletExchange(s, r); err != nil {
			return nil, err
		}
		if u.kubeletGrows(s) {
			restart = u.present(s)
			ends = slices.Concat(restart, virtualIPPods(r))
		}
	}
	for _, f := range files {
		ex.Change = append(ex.Change, step.Tended{Step: file(f)})
	}
	if len(restart) == 0 && !with {
		return nil, nil
	}
	ex.End = endStaticPods(u.CRISocket, u.node, ends)
	gates, err := u.gates(s, restart, u.starts, r)
	if err != nil {
		return nil, err
	}
	steps := append(u.othersCarryOn(s, restart), ex, kubeletStays(s.timeouts().KubeletHealthCheck))
	steps = append(steps, gates...)
	return append(steps, step.Remove{Path: pendingRenewal, Why: "everything has started anew"}), nil
}

// staticPods renders the static pods of the new version, and names those that are other than before the upgrade.
func (u *Upgrade) staticPods(s *State, r host.Reader) (files []manifests.File, restart []string, err error) {
	for _, comp := range u.present(s) {
		f, err := u.manifest(s, comp, r)
		if err != nil {
			return nil, nil, err
		}
		if comp == string(release.Etcd) && !u.Etcd {
			continue
		}
		before, err := u.oldManifest(comp, r)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		files = append(files, f)
		if string(before) != string(f.Data) {
			restart = append(restart, comp)
		}
	}
	return files, restart, nil
}

// present are the components that this node runs as static pods.
func (u *Upgrade) present(s *State) []string {
	out := restartOrder()
	if s.Cluster.Etcd.External != nil {
		out = slices.DeleteFunc(out, func(c string) bool { return c == string(release.Etcd) })
	}
	return out
}

// kubeletWithPods reports whether the kubelet is exchanged together with the static pods.
func (u *Upgrade) kubeletWithPods(ctx context.Context, s *State) (bool, error) {
	for _, name := range []string{UpgradeControlPlane{}.Name(), UpgradeKubelet{}.Name()} {
		if Skipped(u.SkipPhases, name) || !Chosen(s.Only, name) {
			return false, nil
		}
	}
	return u.onlyControlPlane(ctx)
}

// onlyControlPlane reports whether no other node has an API server.
func (u *Upgrade) onlyControlPlane(ctx context.Context) (bool, error) {
	if u.pending != nil {
		return u.pending.Only, nil
	}
	pods, err := u.componentPods(ctx)
	if err != nil {
		return false, err
	}
	for i := range pods {
		if server := string(release.APIServer); pods[i].Labels["component"] == server && pods[i].Name != server+"-"+u.node {
			return false, nil
		}
	}
	return true, nil
}

// kubeletGrows reports whether this node's kubelet becomes one of another minor version.
func (u *Upgrade) kubeletGrows(s *State) bool {
	from := u.from
	if u.pending != nil {
		if v, err := release.Parse(u.pending.Kubelet); err == nil {
			from = v
		}
	}
	return from.Major() != s.version().Major() || from.Minor() != s.version().Minor()
}

// othersCarryOn waits until the other members of etcd can do without this one. When an upgrade goes on that has stopped it, they do already.
func (u *Upgrade) othersCarryOn(s *State, restart []string) []step.Step {
	if !slices.Contains(restart, string(release.Etcd)) || u.stopped {
		return nil
	}
	return []step.Step{step.EtcdHealthy(s.etcdConn(), s.timeouts().EtcdAPICall)}
}

// gates wait for components that start anew. before counts their starts, see gate; nil where what ran before is known to have ended.
func (u *Upgrade) gates(s *State, restart []string, before map[string]int, r host.Reader) ([]step.Step, error) {
	var out []step.Step
	for _, comp := range restart {
		f, err := u.manifest(s, comp, r)
		if err != nil {
			return nil, err
		}
		if comp == string(release.Etcd) && !u.Etcd {
			if f.Data, err = u.oldManifest(comp, r); err != nil {
				return nil, err
			}
		}
		health, err := healthOf(f.Data, comp, s.Node.AdvertiseAddress.String())
		if err != nil {
			return nil, err
		}
		g := &gate{node: u.node, component: comp, manifest: f.Data, health: health, before: before}
		if comp == string(release.APIServer) && release.Tag(u.from) != release.Tag(s.version()) {
			g.version = release.Tag(s.version())
		}
		out = append(out, g.await(s.timeouts().UpgradeManifests))
		if comp == string(release.APIServer) && slices.Contains(restart, string(release.Etcd)) {
			out = append(out, step.EtcdHealthy(s.etcdConn(), s.timeouts().EtcdAPICall))
		}
	}
	return out, nil
}

// kubeletExchange is the kubelet's part of an exchange: programs and configuration.
func (u *Upgrade) kubeletExchange(s *State, r host.Reader) (step.Exchange, error) {
	var ex step.Exchange
	contract, err := s.contract()
	if err != nil {
		return ex, err
	}
	files, err := u.kubeletFiles(s, r)
	if err != nil {
		return ex, err
	}
	swap := step.NewBinaries(contract)
	swap.Stage = stageDir
	ex.Change = append(ex.Change, swap)
	for _, st := range keepModes(kubeletSteps(s, files), r) {
		if unit, ok := st.(step.Unit); ok {
			ex.Unit = unit
			continue
		}
		ex.Change = append(ex.Change, step.Tended{Step: st})
	}
	return ex, nil
}

// readBegun finds out whether an earlier run has begun to exchange what runs: then the API may be away, and nobody moves pods off this node.
func (u *Upgrade) readBegun(ctx context.Context, r host.Reader) error {
	if !u.resumed {
		return nil
	}
	st, err := r.UnitState(ctx, kubeletUnit)
	if err != nil {
		return err
	}
	u.stopped = !st.Active
	u.begun = u.stopped
	for _, f := range u.pending.Files {
		if path.Dir(f.Path) != manifestsDir && path.Dir(f.Path) != kubeletDir || !f.Existed {
			continue
		}
		now, err := r.ReadFile(f.Path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		before, err := r.ReadFile(backupDir + f.Path)
		if err != nil {
			return err
		}
		u.begun = u.begun || string(now) != string(before)
	}
	return nil
}
