package phase

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"

	"kubebundle/installer/cluster"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

// UploadConfig keeps the cluster's configuration in the cluster, where joining nodes and upgrades read it.
type UploadConfig struct{}

// Name is kubeadm's.
func (UploadConfig) Name() string { return "upload-config" }

// Parts are kubeadm's sub-phases.
func (UploadConfig) Parts() []string { return []string{"kubeadm", "kubelet"} }

// Plan binds kubeadm:cluster-admins first: from v1.29 on admin.conf has no rights without it.
func (p UploadConfig) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil {
		return nil, err
	}
	var steps []step.Step
	if crb := manifests.ClusterAdminsBinding(c); crb != nil {
		steps = append(steps, step.Objects{What: "ClusterRoleBinding kubeadm:cluster-admins", List: []runtime.Object{crb}})
	}
	rbac := manifests.UploadConfigRBAC(c)
	var readers []runtime.Object
	if s.wants(p.Name(), "kubeadm") {
		kubeadm, err := manifests.KubeadmConfigMap(c, n)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step.Objects{What: "ConfigMap kube-system/" + kubeadm.Name, List: []runtime.Object{kubeadm}})
		readers = append(readers, readersOf(rbac, kubeadm.Name, true)...)
	}
	if s.wants(p.Name(), "kubelet") {
		kubelet, err := manifests.KubeletConfigMap(c)
		if err != nil {
			return nil, err
		}
		if kubelet != nil {
			steps = append(steps, step.Objects{What: "ConfigMap kube-system/" + kubelet.Name, List: []runtime.Object{kubelet}})
			readers = append(readers, readersOf(rbac, "kubeadm-config", false)...)
		}
	}
	if len(readers) > 0 {
		steps = append(steps, step.Objects{What: "RBAC for the uploaded configuration", List: readers})
	}
	return steps, nil
}

// readersOf picks the roles and bindings of one ConfigMap, whose name ends theirs, or those of the others.
func readersOf(rbac []runtime.Object, configMap string, its bool) []runtime.Object {
	var out []runtime.Object
	for _, o := range rbac {
		if m, err := meta.Accessor(o); err == nil && strings.HasSuffix(m.GetName(), configMap) == its {
			out = append(out, o)
		}
	}
	return out
}

// MarkControlPlane labels and taints the node.
type MarkControlPlane struct{}

// Name is kubeadm's.
func (MarkControlPlane) Name() string { return "mark-control-plane" }

// Plan is one patch of the node.
func (MarkControlPlane) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil {
		return nil, err
	}
	p := cluster.NodePatch{Labels: manifests.ControlPlaneLabels(c.Version), Annotations: manifests.NodeAnnotations(c, n)}
	taints := n.Taints
	if taints == nil { // an empty list means: none
		taints = manifests.ControlPlaneTaints(c.Version)
	}
	for _, t := range taints {
		p.Taints = append(p.Taints, cluster.Taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
	}
	p.ConfigSource = dynamicConfig(c)
	return []step.Step{step.PatchNode{Node: n.Name, Patch: p}}, nil
}

// dynamicConfig is where the kubelets of a cluster with DynamicKubeletConfig take their configuration from; nil for all others.
func dynamicConfig(c *manifests.Cluster) *cluster.ConfigSource {
	if !c.DynamicKubelet() {
		return nil
	}
	return &cluster.ConfigSource{ConfigMap: manifests.KubeletConfigMapOf(c), ByUID: c.Version.Minor() < 11}
}

// CoreDNS is the cluster's DNS (or kube-dns, where a bundle brings that).
type CoreDNS struct{}

// Name is kubeadm's sub-phase.
func (CoreDNS) Name() string { return "addon/coredns" }

// Plan renders a Corefile that starts on this host: one that forwards to nobody where the node knows no name server.
func (CoreDNS) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil || c.DNSDisabled {
		return nil, err
	}
	ns, err := hasNameservers(n, s.Facts, r)
	if err != nil {
		return nil, fmt.Errorf("look for name servers: %w", err)
	}
	if !ns {
		s.log().Info("the node knows no name server: the cluster's DNS will answer cluster names only")
	}
	objs, err := manifests.DNS(c, ns)
	if err != nil {
		return nil, err
	}
	if err := s.patchDNS(objs, r); err != nil {
		return nil, err
	}
	what := "CoreDNS"
	if c.KubeDNS {
		what = "kube-dns"
	}
	return []step.Step{step.Objects{What: what, List: objs}}, nil
}

// KubeProxy is the kube-proxy add-on.
type KubeProxy struct{}

// Name is kubeadm's sub-phase.
func (KubeProxy) Name() string { return "addon/kube-proxy" }

// Plan applies its objects.
func (KubeProxy) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil || c.ProxyDisabled {
		return nil, err
	}
	server, err := serverOf(c, n, "admin")
	if err != nil {
		return nil, err
	}
	objs, err := manifests.KubeProxy(c, n, server)
	if err != nil {
		return nil, err
	}
	if err := s.patchProxy(objs, r); err != nil {
		return nil, err
	}
	return []step.Step{step.Objects{What: "kube-proxy", List: objs}}, nil
}
