package phase

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/release"
)

// UpgradeBackPhases is the way back from an upgrade that did not succeed, top to bottom. It goes by the note that the upgrade left, needs no bundle,
// and may itself be cut off and begun again.
func UpgradeBackPhases() []Phase {
	out := []Phase{keepLogs{}, putFilesBack{}}
	for _, p := range RestoreEtcdPhases(RestoreEtcd{File: etcdSnapshot, AnyCluster: true}) {
		if _, last := p.(startControlPlane); last {
			out = append(out, startKubeletBack{})
		}
		out = append(out, etcdBack{p})
	}
	return append(out,
		awaitOld{},
		putObjectsBack{},
		forgetUpgrade{},
	)
}

// NothingToTakeBackError says that no upgrade was begun on this node.
type NothingToTakeBackError struct{}

func (*NothingToTakeBackError) Error() string {
	return "there is no upgrade to take back on this node: none has begun, or it has ended"
}

// Hint says what else there is.
func (*NothingToTakeBackError) Hint() string {
	return "an upgrade that has ended can be taken back by restoring the etcd snapshot and the files that were kept in " + backupDir
}

func mustPending(r host.Reader) (*pendingUpgrade, error) {
	p, err := readPendingUpgrade(r)
	if err == nil && p == nil {
		err = &NothingToTakeBackError{}
	}
	return p, err
}

// keepLogs saves what the components said: the kubelet removes a pod's logs with the pod.
type keepLogs struct{}

func (keepLogs) Name() string { return "rollback/logs" }

func (keepLogs) Plan(_ context.Context, _ *State, r host.Reader) ([]step.Step, error) {
	p, err := mustPending(r)
	if err != nil || !p.ControlPlane {
		return nil, err
	}
	copies := step.Copies{What: "what the components said to " + UpgradeLogs}
	for _, comp := range restartOrder() {
		for dir, n := range podStarts(r, p.Node, comp) {
			for i := max(n-1, 0); i <= n; i++ {
				log := path.Join(dir, strconv.Itoa(i)+".log")
				if !exists(r, log) {
					continue
				}
				pod := path.Base(path.Dir(dir)) // kube-system_kube-apiserver-cp1_UID
				uid := pod[strings.LastIndex(pod, "_")+1:]
				to := fmt.Sprintf("%s-%.8s-%d.log", comp, uid, i)
				copies.List = append(copies.List, step.CopiedFile{From: log, To: path.Join(UpgradeLogs, to), Mode: 0o600})
			}
		}
	}
	return []step.Step{step.Remove{Path: UpgradeLogs, Recursive: true, Why: "they are of an earlier try"}, step.Dir{Path: UpgradeLogs, Mode: 0o700}, mayFail{copies}}, nil
}

// mayFail is a step without which the way goes on: a log that is gone must not keep a node from coming back.
type mayFail struct{ step.Step }

func (m mayFail) Apply(ctx context.Context, t *step.Target) error {
	if err := m.Step.Apply(ctx, t); err != nil && t.Log != nil {
		t.Log.Warn(m.String(), "err", err)
	}
	return ctx.Err()
}

func (m mayFail) Satisfied(ctx context.Context, t *step.Target) (bool, error) {
	ok, err := m.Step.Satisfied(ctx, t)
	return ok && err == nil, ctx.Err()
}

// putFilesBack makes the files what they were, while the kubelet is stopped. It ends what the new manifests have started, and leaves the rest to
// startKubeletBack: where the data of etcd is taken back too, nothing may start before.
type putFilesBack struct{}

func (putFilesBack) Name() string { return "rollback/files" }

// Plan stops nothing on a node that is as it was: the upgrade did not come so far, or an earlier run has brought it back.
func (putFilesBack) Plan(ctx context.Context, _ *State, r host.Reader) ([]step.Step, error) {
	p, err := mustPending(r)
	if err != nil {
		return nil, err
	}
	var steps []step.Step
	if grown, err := etcdHasGrown(r); err != nil {
		return nil, err
	} else if grown {
		steps = append(steps, step.File{Path: restoreMark, Mode: 0o600, Data: []byte("etcd\n")})
	}
	same, err := p.isBack(ctx, r)
	if err != nil || same {
		return steps, err
	}
	steps = append(steps, step.Tended{Step: step.StopUnit{Name: kubeletUnit}})
	copies := step.Copies{What: "what the upgrade replaced back from " + backupDir}
	for _, f := range p.Files {
		if f.Existed {
			if !exists(r, backupDir+f.Path) {
				return nil, fmt.Errorf("put back %s: its copy %s is gone", f.Path, backupDir+f.Path)
			}
			copies.List = append(copies.List, step.CopiedFile{From: backupDir + f.Path, To: f.Path, Mode: f.Mode})
			continue
		}
		steps = append(steps, step.Tended{Step: step.Remove{Path: f.Path, Why: "it was not there before"}})
	}
	steps = append(steps, copies)
	if p.ControlPlane {
		ends := restartOrder()
		if p.Only {
			ends = append(ends, virtualIPPods(r)...)
		}
		for _, st := range endStaticPods(p.CRISocket, p.Node, ends) {
			steps = append(steps, mayFail{st}) // the kubelet must start, and ends them itself
		}
	}
	return steps, nil
}

// isBack reports whether nothing differs from what was kept, and the kubelet runs.
func (p *pendingUpgrade) isBack(ctx context.Context, r host.Reader) (bool, error) {
	st, err := r.UnitState(ctx, kubeletUnit)
	if err != nil || !st.Active {
		return false, err
	}
	for _, f := range p.Files {
		if !f.Existed {
			if exists(r, f.Path) {
				return false, nil
			}
			continue
		}
		same, err := sameFiles(r, f.Path, backupDir+f.Path)
		if err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// sameFiles compares two files byte for byte; one that is not there is like none.
func sameFiles(r host.Reader, a, b string) (bool, error) {
	var sums [2][sha256.Size]byte
	var sizes [2]int64
	for i, p := range []string{a, b} {
		fi, err := r.Stat(p)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		sizes[i] = fi.Size()
	}
	if sizes[0] != sizes[1] {
		return false, nil
	}
	for i, p := range []string{a, b} {
		f, err := r.Open(p)
		if err != nil {
			return false, err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return false, fmt.Errorf("read %s: %w", p, err)
		}
		sums[i] = [sha256.Size]byte(h.Sum(nil))
	}
	return sums[0] == sums[1], nil
}

// startKubeletBack starts the kubelet, whichever way it went down.
type startKubeletBack struct{}

func (startKubeletBack) Name() string { return "rollback/kubelet" }

func (startKubeletBack) Plan(_ context.Context, _ *State, r host.Reader) ([]step.Step, error) {
	p, err := mustPending(r)
	if err != nil {
		return nil, err
	}
	unit := kubeletRuns()
	for _, f := range p.Files {
		others := []string{manifestsDir, "/opt/cni", manifests.KeepalivedDir, manifests.HAProxyDir}
		if !slices.ContainsFunc(others, func(dir string) bool { return strings.HasPrefix(f.Path, dir+"/") }) {
			unit.Files = append(unit.Files, f.Path)
		}
	}
	return []step.Step{step.Tended{Step: unit}}, nil
}

// etcdHasGrown reports whether etcd was started in a newer minor version: what that one has written, the old one may refuse to read.
func etcdHasGrown(r host.Reader) (bool, error) {
	var minors []string
	for _, p := range []string{"", backupDir} {
		pod, err := readPod(r, p+path.Join(manifestsDir, string(release.Etcd)+".yaml"))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if len(pod.Spec.Containers) == 0 {
			return false, nil
		}
		v, err := version.ParseGeneric(tagOf(pod.Spec.Containers[0].Image))
		if err != nil {
			return false, nil //nolint:nilerr // the user's own image: its tag says nothing
		}
		minors = append(minors, fmt.Sprintf("%d.%d", v.Major(), v.Minor()))
	}
	return minors[0] != minors[1], nil
}

// etcdBack is a part of the restore of etcd: from the snapshot that was taken before the upgrade, where etcd has grown by a minor version. With more
// than one member the cluster keeps the old version's form until the last one is new, and nothing need be restored.
type etcdBack struct{ phase Phase }

func (p etcdBack) Name() string { return "rollback/" + p.phase.Name() }

func (p etcdBack) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	if !exists(r, restoreMark) {
		return nil, nil
	}
	if _, first := p.phase.(checkSnapshot); !first && s.restore == nil {
		return nil, nil
	}
	steps, err := p.phase.Plan(ctx, s, r)
	var several *SeveralMembersError
	if errors.As(err, &several) {
		return nil, nil
	}
	// What comes next is not what comes next after a restore.
	return slices.DeleteFunc(steps, func(st step.Step) bool { _, is := st.(step.Print); return is }), err
}

// awaitOld waits until the node serves as before.
type awaitOld struct{}

func (awaitOld) Name() string { return "rollback/wait" }

// Plan asks the components by the manifests that are put back.
func (awaitOld) Plan(_ context.Context, s *State, r host.Reader) ([]step.Step, error) {
	p, err := mustPending(r)
	if err != nil {
		return nil, err
	}
	t := s.timeouts()
	steps := []step.Step{kubeletHealthy(t.KubeletHealthCheck)}
	if !p.ControlPlane {
		return append(steps, step.APIHealthy(t.ControlPlaneComponentHealthCheck, ""), nodeRuns(p.Node, "", t.KubeletHealthCheck)), nil
	}
	// The API server first: what the others are is seen through it.
	for _, comp := range []string{string(release.Etcd), string(release.APIServer), string(release.ControllerManager), string(release.Scheduler)} {
		data, err := r.ReadFile(backupDir + path.Join(manifestsDir, comp+".yaml"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		health, err := healthOf(data, comp, advertised(data))
		if err != nil {
			return nil, err
		}
		if comp == string(release.Etcd) { // its pod is seen when the API is back
			if health != "" {
				steps = append(steps, componentHealthy(comp, health, t.ControlPlaneComponentHealthCheck, ""))
			}
			continue
		}
		gitVersion := ""
		if comp == string(release.APIServer) && p.From != p.To {
			gitVersion = p.From
		}
		steps = append(steps, s.backGate(p.Node, comp, data, health, gitVersion))
	}
	return append(steps, step.APIHealthy(t.ControlPlaneComponentHealthCheck, ""), nodeRuns(p.Node, "", t.KubeletHealthCheck)), nil
}

// Advertised is the address that the API server of this host has given the cluster; nil where there is none.
func Advertised(r host.Reader) net.IP {
	data, err := r.ReadFile(path.Join(manifestsDir, string(release.APIServer)+".yaml"))
	if err != nil {
		return nil
	}
	return net.ParseIP(advertised(data))
}

// advertised is the address that an API server's manifest names.
func advertised(manifest []byte) string {
	pod, err := parsePod(string(release.APIServer), manifest)
	if err != nil {
		return ""
	}
	return podArgs(pod)["advertise-address"]
}

// putObjectsBack makes the cluster's objects what they were, and lets pods come to the node again if they could before.
type putObjectsBack struct{}

func (putObjectsBack) Name() string { return "rollback/objects" }

func (putObjectsBack) Plan(_ context.Context, _ *State, r host.Reader) ([]step.Step, error) {
	p, err := mustPending(r)
	if err != nil {
		return nil, err
	}
	var steps []step.Step
	if p.ControlPlane {
		steps = append(steps, step.PutBack{File: keptObjects})
	}
	return append(steps, step.Schedulable{Node: p.Node, On: p.Schedulable}), nil
}

// forgetUpgrade is last: while the note is there, the way back is not at its end.
type forgetUpgrade struct{}

func (forgetUpgrade) Name() string { return "rollback/end" }

func (forgetUpgrade) Plan(context.Context, *State, host.Reader) ([]step.Step, error) {
	return []step.Step{
		step.Remove{Path: restoreMark},
		step.Remove{Path: pendingFile, Why: "the node is what it was"},
		step.Remove{Path: pendingRenewal, Why: "everything has started anew"},
		step.Remove{Path: stageDir, Recursive: true},
		step.Tended{Step: step.Remove{Path: manifests.VirtualIPLeaving, Why: "this node serves again"}},
	}, nil
}
