package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/yaml"

	"kubebundle/installer/cluster"
	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/manifests"
	"kubebundle/release"
)

// Upgrade is what an upgrade was asked to do, and what it found out about the node.
type Upgrade struct {
	// Node is `upgrade node`: a worker or a further control plane follows a cluster whose first control plane was upgraded.
	Node bool
	// Force goes on with a downgrade of a patch.
	Force bool
	// Etcd and Certificates are kubeadm's --etcd-upgrade and --certificate-renewal.
	Etcd, Certificates bool
	PatchesDir         string
	SkipPhases         []string

	IgnorePreflightErrors []string
	Drain                 cluster.DrainOptions
	DrainTimeout          time.Duration
	// CRISocket is the runtime that this node's kubelet was given.
	CRISocket string
	// Timeouts are those of a file; nil means the usual ones.
	Timeouts *config.Timeouts
	// API opens the cluster with the node's credentials.
	API func(context.Context) (*cluster.Client, error)

	node         string
	controlPlane bool             // this node has one
	cluster      *version.Version // what kubeadm-config says
	from         *version.Version // what this node is
	pending      *pendingUpgrade  // an upgrade that was begun and has not ended; nil where none was
	resumed      bool             // by an earlier run
	begun        bool             // which has begun to exchange what runs
	stopped      bool             // and has left the kubelet down
	docs         clusterDocs
	starts       map[string]int // of the static pods' containers before the upgrade, see pendingUpgrade
	registration config.NodeRegistration
	nodes        []corev1.Node
}

// UpgradePhases is `upgrade apply` and `upgrade node` of a control plane, top to bottom. Up to and including backup nothing stops and nothing changes;
// from there to post-upgrade every failure leads back.
func UpgradePhases() []Phase {
	return []Phase{
		UpgradePreflight{},
		LoadImages{},
		StageBinaries{},
		UpgradeBackup{},
		IncludeFiles{},
		UpgradeCerts{},
		UpgradeDrain{},
		LeaveVirtualIP{},
		UpgradeVirtualIP{},
		UpgradeControlPlane{},
		UpgradeConfig{},
		UpgradeRights{},
		upgradeAddon{CoreDNS{}},
		upgradeAddon{KubeProxy{}},
		UpgradeKubelet{},
		SettleControlPlane{},
		ReturnVirtualIP{},
		PostUpgrade{},
		upgradeExtras{},
		KeepBundle{},
	}
}

// UpgradeWorkerPhases is `upgrade node` of a worker.
func UpgradeWorkerPhases() []Phase {
	return []Phase{
		UpgradePreflight{},
		LoadImages{},
		StageBinaries{},
		UpgradeBackup{},
		IncludeFiles{},
		UpgradeDrain{},
		UpgradeKubelet{},
		PostUpgrade{},
		KeepBundle{},
	}
}

// Where an upgrade keeps what it needs on the node.
const (
	upgradeDir   = "/var/lib/kubebundle/upgrade"
	pendingFile  = upgradeDir + "/pending.json"
	stageDir     = upgradeDir + "/stage"
	backupDir    = upgradeDir + "/before"
	keptObjects  = backupDir + "/objects.json"
	UpgradeLogs  = upgradeDir + "/logs" // what components said that did not come up
	servicePath  = systemdDir + "/" + kubeletUnit
	etcdSnapshot = backupDir + "/etcd.db"
	restoreMark  = upgradeDir + "/restore-etcd" // the way back has begun and takes etcd's data back too
)

// pendingUpgrade says that an upgrade has begun, and how the way back goes. It is written when everything that the way back needs is there, and
// removed when the upgrade or the way back has ended.
type pendingUpgrade struct {
	From         string `json:"from"`
	To           string `json:"to"`
	Node         string `json:"node"`
	ControlPlane bool   `json:"controlPlane,omitempty"`
	Schedulable  bool   `json:"schedulable"`
	// Only says that no other node has an API server, Kubelet which one this node had, and CRISocket what runs its pods.
	Only      bool       `json:"onlyControlPlane,omitempty"`
	Kubelet   string     `json:"kubelet,omitempty"`
	CRISocket string     `json:"criSocket,omitempty"`
	Files     []keptFile `json:"files"`
	// Starts counts the starts of each static pod's container before the upgrade, by the folder of its logs: what comes on top is the new one's.
	Starts map[string]int `json:"starts,omitempty"`
}

// keptFile is a file as it was; the copy lies below backupDir.
type keptFile struct {
	Path    string      `json:"path"`
	Existed bool        `json:"existed"`
	Mode    fs.FileMode `json:"mode,omitempty"`
}

// PendingUpgrade reads what a begun upgrade has left: from and to which version it goes; both "" where there is none.
func PendingUpgrade(r host.Reader) (from, to string, err error) {
	p, err := readPendingUpgrade(r)
	if err != nil || p == nil {
		return "", "", err
	}
	return p.From, p.To, nil
}

func readPendingUpgrade(r host.Reader) (*pendingUpgrade, error) {
	data, err := r.ReadFile(pendingFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // none is no error
	}
	if err != nil {
		return nil, err
	}
	var p pendingUpgrade
	if err := yaml.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("read %s: %w", pendingFile, err)
	}
	return &p, nil
}

// PendingError says that another upgrade has begun on this node and must end first.
type PendingError struct{ From, To, Bundle string }

func (e *PendingError) Error() string {
	return fmt.Sprintf("an upgrade of this node from %s to %s has begun and not ended; this bundle is of %s", e.From, e.To, e.Bundle)
}

// Hint says both ways out.
func (e *PendingError) Hint() string {
	return fmt.Sprintf("finish it with the bundle of %s, or go back: ./install upgrade rollback", e.To)
}

// CutOffError says that a way back has not come to its end: from there no way leads on.
type CutOffError struct{}

func (*CutOffError) Error() string {
	return "the way back of an upgrade was cut off on this node while it took the data of etcd back"
}

// Hint says how to finish it.
func (*CutOffError) Hint() string { return "first: ./install upgrade rollback" }

// HasControlPlane reports whether this host runs static pods of a control plane.
func HasControlPlane(r host.Reader) bool {
	if p, err := readPendingUpgrade(r); err == nil && p != nil {
		return p.ControlPlane
	}
	return exists(r, path.Join(manifestsDir, string(release.APIServer)+".yaml"))
}

var errNoUpgrade = errors.New("plan an upgrade: nothing says which")

// look finds out what this node is and what its cluster says, once.
func (u *Upgrade) look(ctx context.Context, s *State, r host.Reader) error {
	if u.from != nil {
		return nil
	}
	var err error
	if u.node, err = nodeName(r); err != nil {
		return err
	}
	if u.pending, err = readPendingUpgrade(r); err != nil {
		return err
	}
	target := release.Tag(s.version())
	u.resumed = u.pending != nil
	if u.resumed && u.pending.To != target {
		return &PendingError{From: u.pending.From, To: u.pending.To, Bundle: target}
	}
	if exists(r, restoreMark) {
		return &CutOffError{}
	}
	if err := u.readBegun(ctx, r); err != nil {
		return err
	}
	u.controlPlane = HasControlPlane(r)
	if u.controlPlane {
		u.starts = map[string]int{}
		for _, comp := range restartOrder() {
			maps.Copy(u.starts, podStarts(r, u.node, comp))
		}
		if u.pending != nil {
			u.starts = u.pending.Starts
		}
	}
	from, err := u.readDocs(ctx, s, r)
	if err != nil {
		return err
	}
	if err := u.register(r); err != nil {
		return err
	}
	if err := u.render(ctx, s, r); err != nil {
		return err
	}
	if u.cluster = from; u.Node && !u.resumed {
		if from, err = u.nodeVersion(ctx, from, r); err != nil {
			return err
		}
	}
	u.from = from
	return nil
}

// nodeVersion is what this node runs: where it follows a cluster that was upgraded, the cluster's configuration does not say it.
func (u *Upgrade) nodeVersion(ctx context.Context, otherwise *version.Version, r host.Reader) (*version.Version, error) {
	text := ""
	if u.controlPlane {
		pod, err := u.oldPod(string(release.APIServer), r)
		if err != nil {
			return nil, err
		}
		text = tagOf(pod.Spec.Containers[0].Image)
	} else {
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
		text = n.Status.NodeInfo.KubeletVersion
	}
	if v, err := release.Parse(text); err == nil {
		return v, nil
	}
	return otherwise, nil // an image of the user's own
}

// register finds how this node was registered: what init and join were told, and no ConfigMap holds.
func (u *Upgrade) register(r host.Reader) error {
	reg := config.NodeRegistration{Name: u.node, CRISocket: u.CRISocket}
	env, err := r.ReadFile(path.Join(kubeletDir, "kubeadm-flags.env"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, a := range kubeletArgs(string(env)) {
		if !slices.Contains(renderedFlags, a.Name) {
			reg.KubeletExtraArgs = append(reg.KubeletExtraArgs, a)
		}
	}
	u.registration = reg
	return nil
}

// renderedFlags are what every version renders anew into kubeadm-flags.env. All others that are found there are kept, node-ip among them: an
// administrator, or the configuration of init or join, chose them.
var renderedFlags = []string{"pod-infra-container-image", "container-runtime", "container-runtime-endpoint", "network-plugin", "hostname-override", "resolv-conf"}

// kubeletArgs reads KUBELET_KUBEADM_ARGS from kubeadm-flags.env.
func kubeletArgs(file string) []config.Arg {
	return environmentArgs(file, "KUBELET_KUBEADM_ARGS", "true")
}

// render makes the cluster and the node of which the new files are rendered: the cluster's own settings with the bundle's version and images.
func (u *Upgrade) render(ctx context.Context, s *State, r host.Reader) error {
	c, err := manifests.ParseKubeadmConfigMap(s.version(), u.docs.kubeadm)
	if err != nil {
		return err
	}
	contract, err := s.contract()
	if err != nil {
		return err
	}
	c.Images = componentImages(contract)
	_, coredns := c.Images[string(release.CoreDNS)]
	_, kubedns := c.Images[string(release.KubeDNS)]
	c.KubeDNS = kubedns && !coredns
	if err := u.repository(c, s); err != nil {
		return err
	}
	c.Version = s.version()
	c.ExternalCA = exists(r, path.Join(c.CertificatesDir, "ca.crt")) && !exists(r, path.Join(c.CertificatesDir, "ca.key"))
	if c.KubeletConfig, err = userDocument(u.docs.kubelet, "kubelet"); err != nil {
		return err
	}
	if c.KubeProxyConfig, err = userDocument(u.docs.proxy, "config.conf"); err != nil {
		return err
	}
	s.KubeletCM = u.docs.kubelet
	n, err := s.renderNode(ctx, r)
	if err != nil {
		return err
	}
	if err := u.address(n, c, s.Facts, r); err != nil {
		return err
	}
	s.Cluster, s.Node = c, n
	return nil
}

// repository refuses a bundle whose images have other names than the cluster was told to use; a default that has moved moves with it.
func (u *Upgrade) repository(c *manifests.Cluster, s *State) error {
	want := s.Release.ImageRepository()
	switch c.ImageRepository {
	case want, "":
	case "k8s.gcr.io", "registry.k8s.io", "gcr.io/google_containers":
	default:
		return fmt.Errorf("image repository %s: the bundle has %s; build one with: bundler build --image-repository %s", c.ImageRepository, want, c.ImageRepository)
	}
	c.ImageRepository = want
	return nil
}

// address finds what this node advertises: a control plane says it in the API server's manifest, every node in its kubelet's flags.
func (u *Upgrade) address(n *manifests.Node, c *manifests.Cluster, f host.Facts, r host.Reader) error {
	for _, a := range n.KubeletExtraArgs {
		if a.Name == "node-ip" {
			first, _, _ := strings.Cut(a.Value, ",")
			n.AdvertiseAddress = net.ParseIP(first)
		}
	}
	n.ControlPlane = u.controlPlane
	if !u.controlPlane {
		if n.AdvertiseAddress != nil {
			return nil
		}
		var err error // kubeadm leaves it to the kubelet, which takes the same
		n.AdvertiseAddress, err = config.NodeAddress(f.Addresses, f.DefaultRouteIP, nil)
		if err != nil {
			return fmt.Errorf("find the node's address: %w; give the kubelet a --node-ip in %s/kubeadm-flags.env", err, kubeletDir)
		}
		return nil
	}
	pod, err := u.oldPod(string(release.APIServer), r)
	if err != nil {
		return err
	}
	args := podArgs(pod)
	if ip := net.ParseIP(args["advertise-address"]); ip != nil {
		n.AdvertiseAddress = ip
	}
	if port, err := strconv.Atoi(args["secure-port"]); err == nil {
		n.BindPort = port
	}
	if n.AdvertiseAddress == nil {
		return fmt.Errorf("%s: it names no --advertise-address", path.Join(manifestsDir, "kube-apiserver.yaml"))
	}
	if c.Etcd.External != nil {
		return nil
	}
	// A member that joined others knows them from its manifest.
	if pod, err = u.oldPod(string(release.Etcd), r); err != nil {
		return err
	}
	if args = podArgs(pod); args["initial-cluster-state"] == "existing" {
		c.Etcd.InitialCluster = strings.Split(args["initial-cluster"], ",")
	}
	return nil
}

// oldManifest reads a static pod's manifest as it was before the upgrade.
func (u *Upgrade) oldManifest(component string, r host.Reader) ([]byte, error) {
	p := path.Join(manifestsDir, component+".yaml")
	if u.resumed {
		p = backupDir + p
	}
	return r.ReadFile(p)
}

func (u *Upgrade) oldPod(component string, r host.Reader) (*corev1.Pod, error) {
	data, err := u.oldManifest(component, r)
	if err != nil {
		return nil, fmt.Errorf("read this node's control plane: %w", err)
	}
	return parsePod(component, data)
}

func parsePod(component string, manifest []byte) (*corev1.Pod, error) {
	var pod corev1.Pod
	err := yaml.Unmarshal(manifest, &pod)
	if err == nil && len(pod.Spec.Containers) == 0 {
		err = errors.New("it has no containers")
	}
	if err != nil {
		return nil, fmt.Errorf("read the manifest of %s: %w", component, err)
	}
	return &pod, nil
}

// podArgs are the flags of a static pod's program, by name without dashes.
func podArgs(pod *corev1.Pod) map[string]string {
	out := map[string]string{}
	ctr := pod.Spec.Containers[0]
	for _, w := range slices.Concat(ctr.Command, ctr.Args) {
		if name, value, ok := strings.Cut(w, "="); ok && strings.HasPrefix(name, "-") {
			out[strings.TrimLeft(name, "-")] = value
		}
	}
	return out
}

var tagPattern = regexp.MustCompile(`:([^:/@]+)(@.*)?$`)

// tagOf is an image's tag, "" where it has none.
func tagOf(image string) string {
	if m := tagPattern.FindStringSubmatch(image); m != nil {
		return m[1]
	}
	return ""
}

// upgrade gives the upgrade of the run, looked at.
func (s *State) upgrade(ctx context.Context, r host.Reader) (*Upgrade, error) {
	if s.Upgrade == nil {
		return nil, errNoUpgrade
	}
	return s.Upgrade, s.Upgrade.look(ctx, s, r)
}
