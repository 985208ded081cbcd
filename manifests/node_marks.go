package manifests

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

const (
	masterLabel       = "node-role.kubernetes.io/master"
	controlPlaneLabel = "node-role.kubernetes.io/control-plane"
	noBalancerLabel   = "node.kubernetes.io/exclude-from-external-load-balancers"
	criSocketNote     = "kubeadm.alpha.kubernetes.io/cri-socket"
)

// ControlPlaneLabels are the version's marks of a control plane node; all have empty values (kubeadm 1.19 … 1.25
// phases/markcontrolplane; facts section 6.6).
func ControlPlaneLabels(v *version.Version) map[string]string {
	return maps.Clone(pick(v, []row[map[string]string]{
		{until(19), map[string]string{masterLabel: ""}},
		{between(20, 20), map[string]string{masterLabel: "", controlPlaneLabel: ""}},
		{between(21, 23), map[string]string{masterLabel: "", controlPlaneLabel: "", noBalancerLabel: ""}},
		{since(24), map[string]string{controlPlaneLabel: "", noBalancerLabel: ""}},
	}))
}

// ControlPlaneTaints keep ordinary pods off a control plane node. Only 1.24 has both names (facts section 6.6).
func ControlPlaneTaints(v *version.Version) []corev1.Taint {
	return slices.Clone(pick(v, []row[[]corev1.Taint]{
		{until(23), []corev1.Taint{noSchedule(masterLabel)}},
		{between(24, 24), []corev1.Taint{noSchedule(controlPlaneLabel), noSchedule(masterLabel)}},
		{since(25), []corev1.Taint{noSchedule(controlPlaneLabel)}},
	}))
}

func noSchedule(key string) corev1.Taint {
	return corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule}
}

// NodeAnnotations are kubeadm's own on every Node: the CRI socket from 1.11 until it moved to instance-config.yaml
// (NodeLocalCRISocket, default from 1.34). Empty where the version has none (facts section 6.6).
func NodeAnnotations(c *Cluster, n *Node) map[string]string {
	if !isSince(c.Version, 11) || c.enabled(nodeLocalCRISocket) {
		return nil
	}
	return map[string]string{criSocketNote: c.criSocket(n)}
}

// criSocket writes the socket as the version's kubeadm does: a URL from 1.24, a path before.
func (c *Cluster) criSocket(n *Node) string {
	const scheme = "unix://"
	bare := strings.TrimPrefix(n.CRISocket, scheme)
	if isSince(c.Version, 24) && strings.HasPrefix(bare, "/") {
		return scheme + bare
	}
	return bare
}
