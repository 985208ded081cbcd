// Package suitekubeadm runs kubeadm's own end-to-end suite, k8s.io/kubernetes/test/e2e_kubeadm, against the cluster: it looks at the
// objects that kubeadm leaves in a cluster.
package suitekubeadm

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"

	"kubebundle/test/e2e/suite"
)

var score = regexp.MustCompile(`(\d+) Passed.* (\d+) Failed`)

// Test builds the suite and runs it.
func Test(t *testing.T, s *suite.Suite) {
	bin, err := s.Builder.KubeadmSuite(t.Context(), s.Version)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, "--kubeconfig", s.Cluster.Kubeconfig, "--ginkgo.no-color")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.Cluster.Kubeconfig)
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	m := score.FindSubmatch(out)
	if m == nil {
		t.Fatalf("the suite did not run: %v\n%s", err, out)
	}
	passed, _ := strconv.Atoi(string(m[1]))
	if err != nil || string(m[2]) != "0" || passed < 35 {
		t.Errorf("kubeadm's suite: %s, %v\n%s", m[0], err, out[max(0, len(out)-6000):]) // the summary of failures is at the end
	}
	t.Logf("kubeadm's suite: %s", m[0])
}
