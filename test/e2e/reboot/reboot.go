// Package reboot: when one host was shut down and started again and another has lost its power, the cluster comes back by
// itself, and still asks nobody outside.
package reboot

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/airgap"
	"kubebundle/test/e2e/network"
	"kubebundle/test/e2e/ready"
	"kubebundle/test/e2e/suite"
)

// Test reboots the worker, cuts the control plane's power, and asks everything again.
func Test(t *testing.T, s *suite.Suite) {
	cut := time.Now().Truncate(time.Second) // a container's start has seconds
	if err := s.Worker().Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Server().Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Server().Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Old states are believed until the kubelets have reported: wait for containers that started after the reboot. Their restarts say less: who removes
	// a pod's containers lets it count from nought.
	suite.Eventually(t, 3*time.Minute, func() error {
		if err := s.Cluster.Healthy(t.Context()); err != nil {
			return err
		}
		for _, p := range suite.Get[corev1.PodList](t, s, "pods", "--all-namespaces").Items {
			for _, c := range p.Status.ContainerStatuses {
				if !c.Ready || c.State.Running == nil || c.State.Running.StartedAt.Time.Before(cut) {
					return fmt.Errorf("container %s of %s/%s: ready %v, %+v; the power was cut at %v", c.Name, p.Namespace, p.Name, c.Ready, c.State, cut)
				}
			}
		}
		return nil
	})
	if err := s.Cluster.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	ready.Test(t, s)
	network.Test(t, s)
	airgap.Counters(t, s)
	airgap.Events(t, s)
}
