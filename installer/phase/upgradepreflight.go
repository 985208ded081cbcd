package phase

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"kubebundle/installer/cluster"
	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/release"
)

// UpgradePreflight looks for everything that would make an upgrade fail, before anything is changed. When an upgrade that has begun is run again,
// the cluster is not judged: it is half-way.
type UpgradePreflight struct{}

// Name is kubeadm's.
func (UpgradePreflight) Name() string { return "preflight" }

// Plan plans nothing: it refuses, or lets pass.
func (UpgradePreflight) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	problems, err := CheckUpgrade(ctx, s, r)
	if err != nil {
		return nil, err
	}
	s.Problems = problems
	for _, p := range problems {
		if p.Level == LevelWarning || p.Ignored {
			s.log().Warn(p.String())
		}
	}
	if len(refusing(problems)) > 0 {
		return nil, &PreflightError{Problems: problems}
	}
	return nil, s.checkPayload(ctx)
}

// CheckUpgrade runs all checks. The error is for a node or a cluster that cannot even be looked at, and for versions that do not go together.
func CheckUpgrade(ctx context.Context, s *State, r host.Reader) ([]Problem, error) {
	f, err := s.facts(ctx, r)
	if err != nil {
		return nil, err
	}
	contract, err := s.contract()
	if err != nil {
		return nil, err
	}
	in := &inspection{s: s, r: r, facts: f, contract: contract}
	in.privileged(ctx)
	in.arch(ctx)
	if len(in.problems) > 0 { // who may not read this host cannot look further
		applyIgnores(in.problems, s.Upgrade.IgnorePreflightErrors)
		if len(refusing(in.problems)) > 0 {
			return in.problems, nil
		}
	}
	u, err := s.upgrade(ctx, r)
	if err != nil {
		return nil, err
	}
	up := &upgradeInspection{inspection: in, u: u}
	checks := []func(context.Context) error{
		up.versions, up.cluster, up.controlPlanes, up.etcd, up.drain, up.otherNodes, up.settings,
	}
	for _, check := range checks {
		if err := check(ctx); err != nil {
			return nil, err
		}
	}
	for _, check := range []func(context.Context){in.version, in.executables, in.runtime, in.sandbox, in.disk, in.images, in.included} {
		check(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("check the host: %w", ctx.Err())
		}
	}
	if s.Release.Dockershim() || !step.IsDockershim(u.CRISocket) {
		applyIgnores(in.problems, u.IgnorePreflightErrors)
		return in.problems, nil
	}
	in.failAdvise("CRI", "give the node containerd first (drain it, reset it, and join it again)",
		"the kubelet drives Docker by itself, which kubelets from v1.24 on cannot")
	applyIgnores(in.problems, u.IgnorePreflightErrors)
	return in.problems, nil
}

type upgradeInspection struct {
	*inspection

	u *Upgrade
}

// versions applies the rules for the cluster's version and this bundle's.
func (in *upgradeInspection) versions(context.Context) error {
	u, target := in.u, in.s.version()
	if !u.Node {
		return release.CheckUpgrade(u.from, target, u.Force)
	}
	if u.resumed {
		return nil
	}
	// The cluster's version is what its first control plane was upgraded to.
	e := &release.UpgradeError{From: release.Tag(u.from), To: release.Tag(target)}
	switch {
	case u.controlPlane && release.Tag(target) != release.Tag(u.cluster):
		e.Reason = "the cluster is of " + release.Tag(u.cluster)
		e.Advice = "first run `./install upgrade apply` on one control plane, then `./install upgrade node` on the others, all with bundles of one version"
		return e
	case u.controlPlane:
		return release.CheckUpgrade(u.from, target, true)
	}
	err := checkSkew(in.s.Release, u.cluster)
	var skew *SkewError
	if errors.As(err, &skew) {
		e.Reason = fmt.Sprintf("the cluster is of %s, and %s", release.Tag(u.cluster), skew.Why)
		e.Advice = "first run `./install upgrade apply` on a control plane, or use a bundle of the cluster's version, " + release.Tag(u.cluster)
		return e
	}
	return err
}

// cluster wants the nodes' kubelets within reach of the new API server, and the control planes Ready.
func (in *upgradeInspection) cluster(ctx context.Context) error {
	u := in.u
	c, err := u.API(ctx)
	if err != nil {
		return err
	}
	if u.pending != nil {
		return nil
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if u.nodes, err = c.Nodes(limit); err != nil {
		return err
	}
	if len(u.nodes) == 0 { // a worker may look at itself
		n, err := c.Kube.CoreV1().Nodes().Get(limit, u.node, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("look at node %s: %w", u.node, err)
		}
		u.nodes = []corev1.Node{*n}
	}
	target := in.s.version()
	for i := range u.nodes {
		n := &u.nodes[i]
		ready := nodeIsReady(n)
		switch {
		case ready:
		case n.Name == u.node || isControlPlane(n):
			in.failAdvise("ControlPlaneNodesReady", "kubectl describe node "+n.Name, "node %s is not Ready", n.Name)
		default:
			in.warn("NodesReady", "", "node %s is not Ready", n.Name)
		}
		kubelet, err := version.ParseSemantic(n.Status.NodeInfo.KubeletVersion)
		if err != nil {
			continue
		}
		behind := int(target.Minor()) - int(kubelet.Minor())
		switch {
		case n.Name == u.node && u.Node && !u.controlPlane:
			if err := release.CheckUpgrade(kubelet, target, true); kubelet.Minor() > target.Minor() && err != nil {
				return err
			}
		case behind > in.s.Release.KubeletMaxSkew():
			in.failAdvise("KubeletVersion", "upgrade that node first", "the kubelet of node %s is %s, and API servers of %s serve kubelets of at most %d minor versions before",
				n.Name, n.Status.NodeInfo.KubeletVersion, release.Tag(target), in.s.Release.KubeletMaxSkew())
		case behind < 0:
			in.failAdvise("KubeletVersion", "", "the kubelet of node %s is %s, newer than %s", n.Name, n.Status.NodeInfo.KubeletVersion, release.Tag(target))
		}
	}
	return nil
}

func nodeIsReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func isControlPlane(n *corev1.Node) bool {
	_, now := n.Labels["node-role.kubernetes.io/control-plane"]
	_, before := n.Labels["node-role.kubernetes.io/master"]
	return now || before
}

// controlPlanes looks at this node's components.
func (in *upgradeInspection) controlPlanes(ctx context.Context) error {
	u := in.u
	if !u.controlPlane || u.pending != nil {
		return nil
	}
	pods, err := u.componentPods(ctx)
	if err != nil {
		return fmt.Errorf("look at the control planes: %w", err)
	}
	for _, comp := range components() {
		if !exists(in.r, path.Join(manifestsDir, comp+".yaml")) {
			in.failAdvise("StaticPodManifest", "was this control plane made by kubeadm or kubebundle?", "%s/%s.yaml is missing", manifestsDir, comp)
			continue
		}
		if !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.Name == comp+"-"+u.node && podIsReady(&p) }) {
			in.failAdvise("ControlPlaneHealth", "kubectl -n kube-system describe pod "+comp+"-"+u.node, "%s on node %s is not Ready", comp, u.node)
		}
	}
	return nil
}

func podIsReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// componentPods are the static pods of all control planes.
func (u *Upgrade) componentPods(ctx context.Context) ([]corev1.Pod, error) {
	c, err := u.API(ctx)
	if err != nil {
		return nil, err
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	list, err := c.Kube.CoreV1().Pods(metav1.NamespaceSystem).List(limit, metav1.ListOptions{LabelSelector: "tier=control-plane"})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// oldServer names a control plane, other than this node's, whose API server is not of the new version; "" where there is none.
func (u *Upgrade) oldServer(ctx context.Context, s *State) (string, error) {
	pods, err := u.componentPods(ctx)
	if err != nil {
		return "", fmt.Errorf("look at the control planes: %w", err)
	}
	want := tagOf(s.Cluster.Images[string(release.APIServer)])
	for i := range pods {
		p := &pods[i]
		own := p.Name == string(release.APIServer)+"-"+u.node
		if p.Labels["component"] == string(release.APIServer) && !own && len(p.Spec.Containers) > 0 && tagOf(p.Spec.Containers[0].Image) != want {
			return strings.TrimPrefix(p.Name, string(release.APIServer)+"-"), nil
		}
	}
	return "", nil
}

// alone reports whether no other node could take this one's pods. A node that may not look at others is not alone: it has a control plane.
func (u *Upgrade) alone(ctx context.Context) (bool, error) {
	c, err := u.API(ctx)
	if err != nil {
		return false, err
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	nodes, err := c.Nodes(limit)
	if err != nil || len(nodes) == 0 {
		return false, err
	}
	return !slices.ContainsFunc(nodes, func(n corev1.Node) bool { return n.Name != u.node && nodeIsReady(&n) && !n.Spec.Unschedulable }), nil
}

// etcd goes by rules of its own, and must be whole before a member restarts.
func (in *upgradeInspection) etcd(context.Context) error {
	u := in.u
	if !u.controlPlane || !u.Etcd || in.s.Cluster.Etcd.External != nil {
		return nil
	}
	pod, err := u.oldPod(string(release.Etcd), in.r)
	if err != nil {
		return err
	}
	from, to := tagOf(pod.Spec.Containers[0].Image), tagOf(in.s.Cluster.Images[string(release.Etcd)])
	if err := release.CheckEtcdUpgrade(from, to); err != nil {
		in.failAdvise("EtcdVersion", "or leave etcd as it is with --etcd-upgrade=false", "%v", err)
	}
	return nil
}

// drain finds what would stand against a drain while nothing has happened yet.
func (in *upgradeInspection) drain(ctx context.Context) error {
	u := in.u
	if u.pending != nil || Skipped(u.SkipPhases, UpgradeDrain{}.Name()) {
		return nil
	}
	if alone, err := u.alone(ctx); err != nil || alone {
		return err
	}
	c, err := u.API(ctx)
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	pods, refused, err := c.Drainable(limit, u.node, u.Drain)
	if err != nil {
		return err
	}
	if len(refused) > 0 {
		in.failAdvise("Drain", "--delete-emptydir-data and --delete-unmanaged-pods let them go, --skip-phases drain leaves all pods where they are",
			"pods on node %s cannot be moved: %s", u.node, strings.Join(refused, ", "))
	}
	held, err := in.budgets(limit, c, pods)
	if err != nil {
		return err
	}
	if len(held) > 0 {
		in.failAdvise("Drain", "run more copies of what they protect, or leave the pods where they are with --skip-phases drain",
			"disruption budgets hold pods on node %s: %s", u.node, strings.Join(held, ", "))
	}
	return nil
}

// budgets names the pods that a budget does not let go now. Who may not read budgets hears of them from the drain.
func (in *upgradeInspection) budgets(ctx context.Context, c *cluster.Client, pods []cluster.PodRef) ([]string, error) {
	if len(pods) == 0 {
		return nil, nil
	}
	held, err := c.Held(ctx, pods)
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return nil, nil
	}
	return held, err
}

// otherNodes: kube-proxy and the cluster's DNS change on all nodes as soon as their new versions are applied, and nothing can be pulled.
func (in *upgradeInspection) otherNodes(ctx context.Context) error {
	u := in.u
	if !u.controlPlane || u.pending != nil {
		return nil
	}
	if old, err := u.oldServer(ctx, in.s); err != nil || old != "" {
		return err
	}
	const listed = 50 // images that a kubelet reports, the largest first
	var want []string
	for _, a := range []struct {
		component release.Component
		off       bool
	}{{release.Proxy, in.s.Cluster.ProxyDisabled}, {release.CoreDNS, in.s.Cluster.DNSDisabled}} {
		if ref := in.s.Cluster.Images[string(a.component)]; ref != "" && !a.off {
			want = append(want, ref)
		}
	}
	for i := range u.nodes {
		n := &u.nodes[i]
		if n.Name == u.node || !nodeIsReady(n) {
			continue
		}
		var missing []string
		for _, ref := range want {
			if !slices.ContainsFunc(n.Status.Images, func(i corev1.ContainerImage) bool { return slices.Contains(i.Names, ref) }) {
				missing = append(missing, ref)
			}
		}
		advice := "there, from this bundle: ./install images load (the cluster hears of it within a minute)"
		switch {
		case len(missing) == 0:
		case len(n.Status.Images) >= listed:
			in.warn("NodeImages", advice, "node %s may lack %s", n.Name, strings.Join(missing, " and "))
		default:
			in.failAdvise("NodeImages", advice, "node %s lacks %s, which starts there as soon as the add-ons are upgraded", n.Name, strings.Join(missing, " and "))
		}
	}
	return nil
}

// settings are the cluster's, judged by what the new version knows.
func (in *upgradeInspection) settings(context.Context) error {
	u, c := in.u, in.s.Cluster
	in.args("the kubelet's flags in "+kubeletDir+"/kubeadm-flags.env", release.Kubelet, u.registration.KubeletExtraArgs)
	if u.docs.kubelet != nil {
		found, err := in.s.kubeletConfigProblems()
		if err != nil {
			return err
		}
		in.problems = append(in.problems, found...)
	}
	if !u.controlPlane {
		return nil
	}
	in.gates("KubeProxyConfiguration", c.KubeProxyConfig)
	for _, comp := range []struct {
		where   string
		program release.Component
		args    []manifests.Arg
	}{
		{"apiServer.extraArgs", release.APIServer, c.APIServer.ExtraArgs},
		{"controllerManager.extraArgs", release.ControllerManager, c.ControllerManager.ExtraArgs},
		{"scheduler.extraArgs", release.Scheduler, c.Scheduler.ExtraArgs},
	} {
		var list []config.Arg
		for _, a := range comp.args {
			list = append(list, config.Arg(a))
		}
		in.args(comp.where+" in ConfigMap kube-system/kubeadm-config", string(comp.program), list)
	}
	// Gates of kubeadm's own that are gone are dropped: what they asked for is decided by now.
	for name, on := range c.FeatureGates {
		if in.s.Release.CheckKubeadmGate(name, on) != nil {
			in.warn(checkGates, "", "kubeadm's feature gate %s is not known to %s any more and is left out", name, release.Tag(in.s.version()))
			delete(c.FeatureGates, name)
		}
	}
	return nil
}
