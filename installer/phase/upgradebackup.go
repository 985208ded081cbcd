package phase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"kubebundle/installer/cluster"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/release"
)

// StageBinaries unpacks the new programs beside the old ones, while those still serve.
type StageBinaries struct{}

// Name is ours.
func (StageBinaries) Name() string { return "stage-binaries" }

// Plan is one pass over the payload.
func (StageBinaries) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, err := s.contract()
	if err != nil {
		return nil, err
	}
	if _, err := s.upgrade(ctx, r); err != nil {
		return nil, err
	}
	if err := s.checkPayload(ctx); err != nil {
		return nil, err
	}
	st := step.NewBinaries(c)
	st.Stage, st.Staging = stageDir, true
	return []step.Step{step.Dir{Path: upgradeDir, Mode: 0o700}, st}, nil
}

// UpgradeBackup keeps what the way back needs, and ends with the note that an upgrade has begun.
type UpgradeBackup struct{}

// Name is ours.
func (UpgradeBackup) Name() string { return "backup" }

// Plan keeps nothing a second time: when an upgrade goes on, what is there now is half new. Only the snapshot of etcd is taken again where nothing
// has stopped yet: the cluster has lived on since.
func (UpgradeBackup) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	u, err := s.upgrade(ctx, r)
	if err != nil {
		return nil, err
	}
	if u.pending != nil {
		if u.begun {
			return nil, nil
		}
		return u.snapshot(s, r)
	}
	p := pendingUpgrade{
		From: release.Tag(u.from), To: release.Tag(s.version()), Node: u.node, CRISocket: u.CRISocket,
		ControlPlane: u.controlPlane, Starts: u.starts,
	}
	c, err := u.API(ctx)
	if err != nil {
		return nil, err
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	n, err := c.Node(limit, u.node)
	if err != nil {
		return nil, fmt.Errorf("look at node %s: %w", u.node, err)
	}
	p.Schedulable, p.Kubelet = !n.Spec.Unschedulable, n.Status.NodeInfo.KubeletVersion
	if u.controlPlane {
		if p.Only, err = u.onlyControlPlane(ctx); err != nil {
			return nil, err
		}
	}
	copies := step.Copies{What: "what the upgrade replaces to " + backupDir}
	paths, err := u.replaced(s, r)
	if err != nil {
		return nil, err
	}
	for _, f := range paths {
		fi, err := r.Stat(f)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			p.Files = append(p.Files, keptFile{Path: f})
		case err != nil:
			return nil, err
		default:
			p.Files = append(p.Files, keptFile{Path: f, Existed: true, Mode: fi.Mode().Perm()})
			copies.List = append(copies.List, step.CopiedFile{From: f, To: backupDir + f, Mode: fi.Mode().Perm()})
		}
	}
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, err
	}
	again, err := u.again(s, r)
	if err != nil {
		return nil, err
	}
	u.pending = &p // later plans go by it, whether or not the steps have been applied (a dry run)
	var steps []step.Step
	if !again {
		steps = append(steps, step.Remove{Path: backupDir, Recursive: true, Why: "it is of an earlier upgrade"})
	}
	steps = append(steps,
		step.Remove{Path: UpgradeLogs, Recursive: true, Why: "they are of an earlier upgrade"},
		step.Dir{Path: backupDir, Mode: 0o700},
		copies,
		step.KeepObjects{File: keptObjects, Refs: u.changed(s)},
	)
	if !again {
		save, err := u.snapshot(s, r)
		if err != nil {
			return nil, err
		}
		steps = append(steps, save...)
	}
	return append(steps, step.File{Path: pendingFile, Mode: 0o600, Data: append(data, '\n')}), nil
}

// again reports whether an upgrade that was done is asked for once more: the snapshot from before it is kept then. This run's own way back needs none,
// for the static pods, etcd among them, stay as they are.
func (u *Upgrade) again(s *State, r host.Reader) (bool, error) {
	if !u.controlPlane || !exists(r, etcdSnapshot) {
		return false, nil
	}
	_, restart, err := u.staticPods(s, r)
	return len(restart) == 0, err
}

// replaced are the files of the host that the upgrade may write.
func (u *Upgrade) replaced(s *State, r host.Reader) ([]string, error) {
	contract, err := s.contract()
	if err != nil {
		return nil, err
	}
	var out []string
	if u.controlPlane {
		for _, comp := range restartOrder() {
			out = append(out, path.Join(manifestsDir, comp+".yaml"))
		}
		vip, err := u.virtualIPFiles(s, r)
		if err != nil {
			return nil, err
		}
		out = append(out, vip...)
	}
	files, err := manifests.KubeletFiles(s.Cluster, s.Node)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		out = append(out, f.Path)
	}
	for _, f := range slices.Concat(step.NewBinaries(contract).Files, step.NewIncluded(contract).Files) {
		out = append(out, step.InstallPath(f.Path))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// changed are the cluster's objects that the upgrade writes and the way back puts back. What only gives rights, and is the same for both versions, is
// not among them.
func (u *Upgrade) changed(s *State) []cluster.ObjectRef {
	ref := func(api, kind, name string) cluster.ObjectRef {
		return cluster.ObjectRef{APIVersion: api, Kind: kind, Namespace: "kube-system", Name: name}
	}
	out := []cluster.ObjectRef{ref("v1", "ConfigMap", "kubeadm-config")}
	if u.docs.kubelet != nil {
		out = append(out, ref("v1", "ConfigMap", u.docs.kubelet.Name))
	}
	if !u.controlPlane {
		return out
	}
	if u.docs.vip != nil { // not changed, and needed when the upgrade goes on
		out = append(out, ref("v1", "ConfigMap", u.docs.vip.Name))
	}
	if now := manifests.KubeletConfigMapName(s.version()); now != "" && (u.docs.kubelet == nil || u.docs.kubelet.Name != now) {
		out = append(out, ref("v1", "ConfigMap", now))
	}
	return append(out,
		ref("v1", "ConfigMap", "kube-proxy"), ref("apps/v1", "DaemonSet", "kube-proxy"),
		ref("v1", "ConfigMap", "coredns"), ref("apps/v1", "Deployment", "coredns"))
}

// snapshot of the cluster's etcd, where this node has a member: a new one, for one that is there is of an earlier try.
func (u *Upgrade) snapshot(s *State, r host.Reader) ([]step.Step, error) {
	if !u.controlPlane || s.Cluster.Etcd.External != nil {
		return nil, nil
	}
	node, err := FindEtcd(r, manifestsDir)
	if err != nil {
		return nil, err
	}
	return []step.Step{
		step.Tended{Step: step.Remove{Path: etcdSnapshot, Why: "a new one follows"}},
		step.EtcdSave{Conn: node.Conn, File: etcdSnapshot},
	}, nil
}
