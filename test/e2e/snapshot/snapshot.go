// Package snapshot: the cluster goes back to a snapshot of its data. What was deleted is there again, what was made later is not, and all that
// watches the API goes on: a pod that is deleted afterwards is replaced.
package snapshot

import (
	"context"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/suite"
)

const (
	folder = "/root/snapshots"
	file   = folder + "/monday.db"
)

// Test saves, deletes, restores and looks.
func Test(t *testing.T, s *suite.Suite) {
	host := s.Server()
	shell := func(command string) string {
		t.Helper()
		out, err := host.Output(context.WithoutCancel(t.Context()), "sh", "-c", command) // also when the test has ended
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	shell("mkdir -p " + folder)
	t.Cleanup(func() { shell("rm -r " + folder) }) // the reset behaviour compares hosts

	s.Kubectl(t, "create", "configmap", "monday", "--from-literal=x=before")
	saved := s.MustInstall(t, host, "etcd", "snapshot", "save", file)
	if !strings.Contains(saved.Stdout, "Kubernetes:") || !strings.Contains(saved.Stdout, host.Name) {
		t.Errorf("save says:\n%s", saved.Stdout)
	}
	if got := strings.TrimSpace(shell("ls " + folder + "; stat -c %a " + file)); got != path.Base(file)+"\n600" {
		t.Errorf("left in %s: %q", folder, got)
	}
	s.Kubectl(t, "delete", "configmap", "monday")
	s.Kubectl(t, "create", "configmap", "tuesday")

	shell("head -c 100000 " + file + " > " + folder + "/short.db")
	s.Refused(t, host, 1, []string{"it is cut short"}, "etcd", "snapshot", "restore", folder+"/short.db", "--force")

	shell("rm -r /var/lib/etcd/member/wal") // nothing can start from what is left
	start := time.Now()
	s.MustInstall(t, host, "etcd", "snapshot", "restore", file, "--force")
	t.Logf("restored and served after %v", time.Since(start).Round(time.Second))
	if cm := suite.Get[corev1.ConfigMap](t, s, "configmap", "monday"); cm.Data["x"] != "before" {
		t.Errorf("monday is %v", cm.Data)
	}
	if out := s.Kubectl(t, "get", "configmap", "-o", "name"); strings.Contains(out, "tuesday") {
		t.Errorf("what was made later is still there: %s", out)
	}
	kept := shell("ls -d /var/lib/etcd/member.before-restore-*/snap/db; ls /var/lib/kubebundle")
	if !strings.Contains(kept, "member.before-restore-") || strings.Contains(kept, "restore.json") {
		t.Errorf("kept:\n%s", kept)
	}
	s.Kubectl(t, "-n", "kube-system", "delete", "pod", "-l", "k8s-app=kube-dns")
	suite.Eventually(t, time.Minute, func() error { return s.Cluster.Healthy(t.Context()) })
	suite.Eventually(t, 2*time.Minute, func() error { return replaced(t, s, start) })
	s.Kubectl(t, "delete", "configmap", "monday")
}

// replaced wants the cluster's DNS in new pods, and every node Ready.
func replaced(t *testing.T, s *suite.Suite, start time.Time) error {
	t.Helper()
	for _, d := range suite.Get[appsv1.DeploymentList](t, s, "deployments", "-n", "kube-system", "-l", "k8s-app=kube-dns").Items {
		if d.Status.AvailableReplicas < *d.Spec.Replicas {
			return fmt.Errorf("%s has %d of %d pods", d.Name, d.Status.AvailableReplicas, *d.Spec.Replicas)
		}
	}
	for _, p := range suite.Get[corev1.PodList](t, s, "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns").Items {
		if p.CreationTimestamp.Time.Before(start) {
			return fmt.Errorf("%s is from before", p.Name)
		}
	}
	for _, n := range suite.Get[corev1.NodeList](t, s, "nodes").Items {
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
				return fmt.Errorf("node %s is not Ready: %s", n.Name, c.Message)
			}
		}
	}
	return nil
}
