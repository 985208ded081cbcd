// Package logsexec: kubectl logs and exec work for pods on every node. They go from the API server to the kubelet, so
// they fail when a node has no usable address or a kubelet no usable certificate.
package logsexec

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/suite"
)

// Test reads logs of, and runs a command in, a pod of each node; and the logs of every pod of kube-system.
func Test(t *testing.T, s *suite.Suite) {
	for _, h := range s.Cluster.Hosts {
		want := "shell on " + h.Name
		if out := s.Kubectl(t, "-n", "lab", "logs", s.ShellPod(t, h.Name)); strings.TrimSpace(out) != want {
			t.Errorf("logs of the shell on %s are %q, want %q", h.Name, out, want)
		}
		out, err := s.Shell(t, h.Name, "echo $NODE; cat /etc/hostname")
		if f := strings.Fields(out); err != nil || len(f) != 2 || f[0] != h.Name || f[1] != s.ShellPod(t, h.Name) {
			t.Errorf("exec on %s: %q, %v", h.Name, out, err)
		}
	}
	for _, p := range suite.Get[corev1.PodList](t, s, "pods", "-n", "kube-system").Items {
		if out := s.Kubectl(t, "-n", "kube-system", "logs", p.Name, "--tail=5"); out == "" {
			t.Errorf("logs of %s are empty", p.Name)
		}
	}
}
