// Package ready: both nodes are Ready with an address, and every pod that Kubernetes is made of is Ready.
package ready

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
)

// Test looks at nodes and pods.
func Test(t *testing.T, s *suite.Suite) {
	nodes := suite.Get[corev1.NodeList](t, s, "nodes")
	if len(nodes.Items) != len(s.Cluster.Hosts) {
		t.Fatalf("%d nodes, want %d", len(nodes.Items), len(s.Cluster.Hosts))
	}
	for _, h := range s.Cluster.Hosts {
		node := suite.Get[corev1.Node](t, s, "node", h.Name)
		if !suite.NodeReady(&node) {
			t.Errorf("node %s is not Ready: %+v", h.Name, node.Status.Conditions)
		}
		if got := address(node, corev1.NodeInternalIP); got != h.IP.String() {
			t.Errorf("node %s has InternalIP %q, want %s", h.Name, got, h.IP)
		}
		if got := node.Status.NodeInfo.KubeletVersion; got != s.Version {
			t.Errorf("node %s runs kubelet %s, want %s", h.Name, got, s.Version)
		}
	}
	checkServer(t, s)
	checkPods(t, s)
}

func checkServer(t *testing.T, s *suite.Suite) {
	t.Helper()
	server := suite.Get[corev1.Node](t, s, "node", s.Server().Name)
	label, key := "node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/control-plane"
	if s.Before("1.20.0") {
		label = "node-role.kubernetes.io/master"
	}
	if s.Before("1.24.0") {
		key = "node-role.kubernetes.io/master"
	}
	if _, ok := server.Labels[label]; !ok {
		t.Errorf("%s has no label %s: %v", server.Name, label, server.Labels)
	}
	tainted := false
	for _, taint := range server.Spec.Taints {
		tainted = tainted || taint.Key == key && taint.Effect == corev1.TaintEffectNoSchedule
	}
	if !tainted {
		t.Errorf("%s is not tainted as a control plane: %v", server.Name, server.Spec.Taints)
	}
}

func checkPods(t *testing.T, s *suite.Suite) {
	t.Helper()
	pods := suite.Get[corev1.PodList](t, s, "pods", "--all-namespaces")
	count := map[string]int{}
	for _, p := range pods.Items {
		if clusters.Rejected(string(p.Status.Phase), p.Status.Reason) {
			continue
		}
		ready := false
		for _, c := range p.Status.Conditions {
			ready = ready || c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}
		if !ready {
			t.Errorf("pod %s/%s is not Ready: %s %+v", p.Namespace, p.Name, p.Status.Phase, p.Status.ContainerStatuses)
		}
		for _, label := range []string{"component", "k8s-app"} {
			if p.Namespace == "kube-system" && p.Labels[label] != "" {
				count[p.Labels[label]]++
			}
		}
	}
	for name, n := range map[string]int{
		"etcd": 1, "kube-apiserver": 1, "kube-controller-manager": 1, "kube-scheduler": 1, "kube-dns": 2, "kube-proxy": len(s.Cluster.Hosts),
	} {
		if count[name] != n {
			t.Errorf("%d pods of %s in kube-system, want %d", count[name], name, n)
		}
	}
}

func address(n corev1.Node, want corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == want {
			return a.Address
		}
	}
	return ""
}
