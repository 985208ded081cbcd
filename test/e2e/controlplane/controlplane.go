// Package controlplane: a second control plane joins the running cluster and leaves it again. While it is there its own API server answers,
// etcd has two members that vote and none that learns, and its kubelet needs nobody else; when it has been reset, etcd has one member again
// and the cluster goes on.
package controlplane

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// Test joins one, looks, and resets it.
func Test(t *testing.T, s *suite.Suite) {
	first := s.Server()
	second := s.BareHost(t, "cp2", s.Runtime)
	if err := clusters.Forwarding(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	// The upload of init may have expired by now.
	upload := s.MustInstall(t, first, "init", "phase", "upload-certs", "--config", clusters.ConfigPath, "--upload-certs")
	_, key, found := strings.Cut(upload.Stdout, "Using certificate key:\n")
	if !found {
		t.Fatalf("upload-certs prints no key: %s", upload.Stdout)
	}
	key = strings.TrimSpace(key)

	worker, err := clusters.JoinArgs(s.MustInstall(t, first, "token", "create", "--print-join-command").Stdout)
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.Repeat("0", 64)
	refused := append(append([]string{}, worker...), append(clusters.JoinFlags(s.Runtime), "--control-plane", "--certificate-key", wrong)...)
	s.Refused(t, second, 1, []string{"the certificate key does not fit"}, refused...)
	if members := members(t, s); len(members) != 1 {
		t.Fatalf("a refused join has left etcd with %d members", len(members))
	}
	join := append(append([]string{}, worker...), append(clusters.JoinFlags(s.Runtime), "--control-plane", "--certificate-key", key)...)
	s.MustInstall(t, second, join...)
	suite.Eventually(t, 3*time.Minute, func() error { return ready(t, s, second.Name) })
	look(t, s, second)

	s.MustInstall(t, second, "reset", "--force")
	if members := members(t, s); len(members) != 1 {
		t.Errorf("after the reset of the second control plane etcd has %d members", len(members))
	}
	suite.Eventually(t, time.Minute, func() error { return s.Cluster.Healthy(t.Context()) })
	s.Kubectl(t, "delete", "node", second.Name)
	// The cluster takes the pods of a node that is gone away in its own time.
	suite.Eventually(t, 4*time.Minute, func() error {
		pods := suite.Get[corev1.PodList](t, s, "pods", "--all-namespaces", "--field-selector", "spec.nodeName="+second.Name)
		if n := len(pods.Items); n > 0 {
			return fmt.Errorf("%d pods of %s are still there", n, second.Name)
		}
		return nil
	})
}

func ready(t *testing.T, s *suite.Suite, name string) error {
	t.Helper()
	if n := suite.Get[corev1.Node](t, s, "node", name); !suite.NodeReady(&n) {
		return fmt.Errorf("node %s is not Ready", name)
	}
	return nil
}

func look(t *testing.T, s *suite.Suite, second *hosts.Host) {
	t.Helper()
	for _, m := range members(t, s) {
		if m.IsLearner || m.Name == "" {
			t.Errorf("etcd member %+v has no vote or has not started", m)
		}
	}
	if n := len(members(t, s)); n != 2 {
		t.Errorf("etcd has %d members, want 2", n)
	}
	node := suite.Get[corev1.Node](t, s, "node", second.Name)
	if _, marked := node.Labels["node-role.kubernetes.io/control-plane"]; !marked {
		t.Errorf("node %s has labels %v", second.Name, node.Labels)
	}
	out, err := second.Output(t.Context(), "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "--server", "https://"+second.IP.String()+":6443", "get", "nodes", "-o", "name")
	if err != nil || !strings.Contains(out, "node/"+second.Name) {
		t.Errorf("its own API server says %q, %v", out, err)
	}
	// Once more: nothing is left to do.
	if again := s.MustInstall(t, second, "status"); !strings.Contains(again.Stdout, "join") {
		t.Errorf("status says:\n%s", again.Stdout)
	}
}

type member struct {
	Name      string `json:"name"`
	IsLearner bool   `json:"isLearner"`
}

// members asks the first host's etcd with etcd's own tool, in its pod.
func members(t *testing.T, s *suite.Suite) []member {
	t.Helper()
	const pki = "/etc/kubernetes/pki/etcd/"
	out := s.Kubectl(t, "-n", "kube-system", "exec", "etcd-"+s.Server().Name, "--", "etcdctl", "--endpoints=https://127.0.0.1:2379",
		"--cacert="+pki+"ca.crt", "--cert="+pki+"healthcheck-client.crt", "--key="+pki+"healthcheck-client.key", "-w", "json", "member", "list")
	var list struct {
		Members []member `json:"members"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return list.Members
}
