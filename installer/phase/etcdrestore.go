package phase

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"kubebundle/installer/etcd"
	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
	"kubebundle/release"
)

const (
	// pendingRestore is there from the first change of a restore to its last, so that a run which was cut off is finished by the next one.
	pendingRestore = "/var/lib/kubebundle/restore.json"
	// stoppedPods holds the manifests of the control plane while it is stopped.
	stoppedPods = "/var/lib/kubebundle/restore"
)

// RestoreEtcd takes a node's etcd back to a snapshot. A cluster of several control planes is taken back by doing so on each of them, with
// the same file and the same InitialCluster.
type RestoreEtcd struct {
	File    string // absolute
	CertDir string
	// Member (its name), PeerURLs and InitialCluster are this member's and all members'; empty means what this node's static pod says, and itself alone.
	Member         string
	PeerURLs       []string
	InitialCluster string
	Token          string // "" means one made from the snapshot's content, the same on every node
	BumpRevision   uint64
	SkipHash       bool
	AnyCluster     bool // the snapshot may be of another cluster
	// CRISocket is the runtime through which the static pods are ended (unix:///run/containerd/containerd.sock). "" leaves them to the kubelet, which takes
	// half a minute, or to whoever has ended them.
	CRISocket string
}

// RestoreEtcdPhases is the workflow.
func RestoreEtcdPhases(r RestoreEtcd) []Phase {
	return []Phase{checkSnapshot{r}, stopControlPlane{r.CRISocket}, restoreData{}, startControlPlane{}}
}

// restorePlan is what a restore has decided; it is kept in pendingRestore.
type restorePlan struct {
	Restore etcd.Restore `json:"restore"`
	SHA256  string       `json:"sha256"`
	DataDir string       `json:"dataDir"`
	Pods    []string     `json:"pods"`  // static pods that are stopped meanwhile
	Ports   []int        `json:"ports"` // what they listen to
	Aside   string       `json:"aside"` // where the former data is kept
	// Swapped says that the restored data is in its place: from then on it is live, and is not put there again.
	Swapped bool `json:"swapped"`
	// Joined says that the data in its place was of the restored cluster already, and was left there. It is seen anew in each run.
	Joined bool `json:"-"`
}

func (p *restorePlan) temp() string { return path.Dir(p.Restore.DataDir) }
func (p *restorePlan) done() string { return path.Join(p.temp(), "complete") }

// file is the plan as a step.
func (p restorePlan) file() (step.File, error) {
	data, err := json.MarshalIndent(p, "", "  ")
	return step.File{Path: pendingRestore, Mode: 0o600, Data: append(data, '\n')}, err
}

// alone says that the restored etcd has no other members.
func (p *restorePlan) alone() bool { return !strings.Contains(p.Restore.InitialCluster, ",") }

// checkSnapshot refuses before anything is changed.
type checkSnapshot struct{ RestoreEtcd }

func (checkSnapshot) Name() string { return "check-snapshot" }

func (p checkSnapshot) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	node, err := FindEtcd(r, manifestsDir, stoppedPods)
	if err != nil {
		return nil, err
	}
	if !node.Local {
		return nil, errors.New("restore: the etcd of this node's API server is no static pod of this node; it is restored where it runs, with etcdutl")
	}
	snap, err := etcd.CheckSnapshot(ctx, p.File, p.SkipHash)
	if err != nil {
		return nil, err
	}
	if !p.AnyCluster {
		if err := p.sameCluster(r, snap); err != nil {
			return nil, err
		}
	}
	plan, err := p.decide(s, node, snap)
	if err != nil {
		return nil, err
	}
	if plan.Pods, plan.Ports, err = controlPlanePods(r); err != nil {
		return nil, err
	}
	old, err := readPendingRestore(r)
	if err != nil {
		return nil, err
	}
	if old != nil && old.Swapped && old.SHA256 == plan.SHA256 && slices.Equal(old.Restore.PeerURLs, plan.Restore.PeerURLs) &&
		old.Restore.InitialCluster == plan.Restore.InitialCluster && old.Restore.Token == plan.Restore.Token {
		s.restore = old // its end is missing
		return nil, nil
	}
	if old != nil && !old.Swapped {
		plan.Aside = old.Aside
	}
	free, err := r.DiskFree(plan.DataDir)
	if err != nil {
		return nil, err
	}
	if need := uint64(max(snap.Size, 0)) + 200<<20; free < need { // and what etcd writes ahead
		return nil, fmt.Errorf("restore: %s has %s free and %s are needed: the present data is kept", plan.DataDir, humanize.Bytes(free), humanize.Bytes(need))
	}
	s.restore = plan
	return nil, nil
}

// decide fills in what was not given.
func (p checkSnapshot) decide(s *State, node NodeEtcd, snap *etcd.Snapshot) (*restorePlan, error) {
	temp := path.Join(node.DataDir, "kubebundle-restore")
	r := etcd.Restore{
		File: p.File, DataDir: path.Join(temp, "new"), Name: p.Member, PeerURLs: p.PeerURLs, InitialCluster: p.InitialCluster,
		Token: p.Token, BumpRevision: p.BumpRevision, SkipHash: p.SkipHash, OwnedAs: node.DataDir,
	}
	if r.Name == "" {
		r.Name = node.Name
	}
	if len(r.PeerURLs) == 0 {
		r.PeerURLs = node.PeerURLs
	}
	if r.InitialCluster == "" {
		if len(snap.Cluster.Members) > 1 {
			return nil, &SeveralMembersError{Members: InitialCluster(snap.Cluster.Members), Own: own(r)}
		}
		r.InitialCluster = own(r)
	}
	if r.Token == "" {
		r.Token = "restored-" + snap.SHA256[:16]
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	return &restorePlan{
		Restore: r, SHA256: snap.SHA256, DataDir: node.DataDir,
		Aside: path.Join(node.DataDir, "member.before-restore-"+s.Now.UTC().Format("20060102T150405Z")),
	}, nil
}

func own(r etcd.Restore) string {
	var out []string
	for _, u := range r.PeerURLs {
		out = append(out, r.Name+"="+u)
	}
	return strings.Join(out, ",")
}

// InitialCluster names members as etcd's flag does: NAME=PEER-URL.
func InitialCluster(members []etcd.Member) []string {
	var out []string
	for _, m := range members {
		for _, u := range m.PeerURLs {
			out = append(out, m.Name+"="+u)
		}
	}
	return out
}

// SeveralMembersError says that one node cannot decide alone.
type SeveralMembersError struct {
	Members []string // NAME=PEER-URL
	Own     string
}

func (e *SeveralMembersError) Error() string {
	return fmt.Sprintf("restore: the snapshot is of an etcd with several members (%s): say which ones it is restored to", strings.Join(e.Members, ", "))
}

// Hint gives both ways.
func (e *SeveralMembersError) Hint() string {
	return "all of them: run this on each of their nodes, with the same file and --initial-cluster " + strings.Join(e.Members, ",") +
		"\nonly this one: --initial-cluster " + e.Own + ", and `install reset` and `install join --control-plane` on the others"
}

// OtherClusterError says that a snapshot is of another cluster, or that it cannot be told.
type OtherClusterError struct {
	File  string
	Nodes []string
	Known bool
	Path  string
}

func (e *OtherClusterError) Error() string {
	if !e.Known {
		return e.File + ": it does not say of which cluster it is: it has no readable ConfigMap kube-public/cluster-info (they may be encrypted)"
	}
	return fmt.Sprintf("%s: it is of another cluster: its CA is not the one in %s; its nodes are %s", e.File, e.Path, strings.Join(e.Nodes, ", "))
}

// Hint says what to do if it is right all the same.
func (e *OtherClusterError) Hint() string {
	if !e.Known {
		return "look at it with `install etcd snapshot status`, and give --allow-other-cluster if it is the right one"
	}
	return "take a snapshot of this cluster; one from before its CA was replaced is taken with --allow-other-cluster"
}

// sameCluster compares CAs: what every node of a cluster has, and no other cluster.
func (p checkSnapshot) sameCluster(r host.Reader, snap *etcd.Snapshot) error {
	theirs, err := pki.ParseCertificates(snap.Cluster.CA)
	if err != nil || len(theirs) == 0 {
		return &OtherClusterError{File: p.File}
	}
	file := path.Join(p.CertDir, "ca.crt")
	data, err := r.ReadFile(file)
	if err != nil {
		return err
	}
	ours, err := pki.ParseCertificates(data)
	if err != nil {
		return &MisfitError{Path: file, Err: err}
	}
	for _, a := range ours {
		for _, b := range theirs {
			if bytes.Equal(a.Raw, b.Raw) {
				return nil
			}
		}
	}
	return &OtherClusterError{File: p.File, Nodes: snap.Cluster.Nodes, Known: true, Path: file}
}

func readPendingRestore(r host.Reader) (*restorePlan, error) {
	data, err := r.ReadFile(pendingRestore)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var p restorePlan
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("read %s: %w", pendingRestore, err)
	}
	return &p, nil
}

// controlPlanePods are the static pods of the control plane that this node has, running or stopped, and the ports that they listen to.
func controlPlanePods(r host.Reader) (pods []string, ports []int, err error) {
	for _, comp := range restartOrder() {
		pod, err := readPod(r, path.Join(manifestsDir, comp+".yaml"))
		if errors.Is(err, fs.ErrNotExist) {
			pod, err = readPod(r, path.Join(stoppedPods, comp+".yaml"))
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		pods = append(pods, comp)
		if comp == string(release.Etcd) {
			ports = append(ports, localEtcd(pod).Ports...)
		} else {
			ports = append(ports, probePorts(pod)...)
		}
	}
	slices.Sort(ports)
	return pods, slices.Compact(ports), nil
}

// stopControlPlane takes the static pods away from the kubelet.
type stopControlPlane struct{ socket string }

func (stopControlPlane) Name() string { return "stop-control-plane" }

func (p stopControlPlane) Plan(_ context.Context, s *State, r host.Reader) ([]step.Step, error) {
	plan := s.restore
	if plan == nil {
		return nil, errNoCheck
	}
	if plan.Swapped {
		return nil, nil
	}
	pending, err := plan.file()
	if err != nil {
		return nil, err
	}
	steps := []step.Step{pending, step.Dir{Path: stoppedPods, Mode: 0o700}}
	var moves []step.Step
	for _, pod := range slices.Backward(plan.Pods) {
		moves = append(moves, step.Move{From: path.Join(manifestsDir, pod+".yaml"), To: path.Join(stoppedPods, pod+".yaml")})
	}
	if node, err := nodeName(r); p.socket == "" || err != nil { // the kubelet is slower, but needs no names
		steps = append(steps, moves...)
	} else {
		steps = append(steps, step.Exchange{Change: moves, End: endStaticPods(p.socket, node, plan.Pods), Unit: kubeletRuns()})
	}
	return append(steps, step.Await{
		What: "the control plane of this node to stop", Timeout: s.timeouts().ControlPlaneComponentHealthCheck,
		Hint:  "a kubelet that runs stops its static pods: systemctl status kubelet; an etcd that somebody else has started is to be stopped first: ss -ltnp",
		Check: func(_ context.Context, t *step.Target) error { return allFree(t, plan.Ports) },
	}), nil
}

var errNoCheck = errors.New("nobody has looked at the snapshot: phase check-snapshot was left out")

func allFree(t *step.Target, ports []int) error {
	var busy []string
	for _, p := range ports {
		free, err := t.Host.PortFree(p)
		if err != nil {
			return err
		}
		if !free {
			busy = append(busy, strconv.Itoa(p))
		}
	}
	if len(busy) > 0 {
		return fmt.Errorf("somebody still listens to port %s", strings.Join(busy, ", "))
	}
	return nil
}

// restoreData makes the data and puts it into place.
type restoreData struct{}

func (restoreData) Name() string { return "restore-etcd" }

func (restoreData) Plan(_ context.Context, s *State, r host.Reader) ([]step.Step, error) {
	plan := s.restore
	if plan == nil {
		return nil, errNoCheck
	}
	if plan.Swapped {
		return nil, nil
	}
	if _, err := r.Stat(plan.done()); err != nil { // else a run that was cut off has looked, and no etcd has run since
		if plan.Joined, err = s.hasJoined(plan); err != nil || plan.Joined {
			return nil, err
		}
	}
	key, err := json.Marshal(struct {
		etcd.Restore
		SHA256 string
	}{plan.Restore, plan.SHA256})
	if err != nil {
		return nil, err
	}
	swapped := *plan
	swapped.Swapped = true
	mark, err := swapped.file()
	if err != nil {
		return nil, err
	}
	return []step.Step{
		step.Dir{Path: plan.DataDir, Mode: 0o700, Own: true, Keep: true},
		step.EtcdRestore{Restore: plan.Restore, Done: plan.done(), Key: key},
		step.Swap{New: path.Join(plan.Restore.DataDir, "member"), Old: path.Join(plan.DataDir, "member"), Aside: plan.Aside, After: plan.done()},
		mark,
	}, nil
}

// hasJoined says that the present data is of the restored cluster. An etcd whose folder is empty asks its peers, and when they have been restored it joins
// them as the member that it is to become, and takes over what they have. Then the others count on what it has acknowledged: with the snapshot in
// the place of that it would never run again. The same is true of a second run on one of several nodes.
//
// Data that cannot be read is none to keep.
func (s *State) hasJoined(plan *restorePlan) (bool, error) {
	if plan.alone() { // there is nobody to join
		return false, nil
	}
	want, err := plan.Restore.ClusterID()
	if err != nil {
		return false, err
	}
	read := s.EtcdClusterID
	if read == nil {
		read = etcd.DataClusterID
	}
	have, err := read(plan.DataDir)
	return err == nil && have == want, nil
}

// startControlPlane gives the static pods back.
type startControlPlane struct{}

func (startControlPlane) Name() string { return "start-control-plane" }

func (startControlPlane) Plan(_ context.Context, s *State, _ host.Reader) ([]step.Step, error) {
	plan := s.restore
	if plan == nil {
		return nil, errNoCheck
	}
	// A kubelet that has seen these very pods end again and again, as they do without data, lets them wait for minutes. One that has just started does not.
	back := step.Exchange{Unit: kubeletRuns()}
	for _, pod := range plan.Pods {
		back.Change = append(back.Change, step.Move{From: path.Join(stoppedPods, pod+".yaml"), To: path.Join(manifestsDir, pod+".yaml")})
	}
	steps := []step.Step{back}
	timeout := s.timeouts().ControlPlaneComponentHealthCheck
	if plan.alone() {
		steps = append(steps, step.APIHealthy(timeout, ""))
	} else {
		// The API serves when most members have been restored; the first one cannot wait for the others.
		steps = append(steps, step.Await{
			What: "etcd to start", Timeout: timeout, Hint: step.Logs("", "etcd"),
			Check: func(_ context.Context, t *step.Target) error {
				for _, u := range plan.Restore.PeerURLs {
					if free, err := t.Host.PortFree(portOf(u)); err != nil || free {
						return errors.Join(err, fmt.Errorf("nobody listens to %s", u))
					}
				}
				return nil
			},
		})
	}
	return append(steps,
		step.Remove{Path: plan.temp(), Recursive: true},
		step.Remove{Path: stoppedPods, Recursive: true},
		step.Remove{Path: pendingRestore, Why: "the restore is complete"},
		step.Print{What: "what comes next", Text: plan.next},
	), nil
}

// next is what a person should know afterwards.
func (p *restorePlan) next() string {
	out := "The former data is kept in " + p.Aside + "; remove it when it is no longer needed.\n"
	if p.Joined {
		out = "The etcd of this node was in the restored cluster already: its data was left as it is. To go back to the same file once more,\n" +
			"give every node the same new --initial-cluster-token.\n"
	}
	if !p.alone() {
		out += "Run the same command, with the same file, on every node of " + p.Restore.InitialCluster + ". The API serves when most of them are back.\n"
	}
	return out
}
