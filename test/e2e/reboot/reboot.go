// Package reboot: when one host was shut down and started again and another has lost its power, the cluster comes back by
// itself, and still asks nobody outside.
package reboot

import (
	"testing"
	"time"

	"kubebundle/test/e2e/airgap"
	"kubebundle/test/e2e/network"
	"kubebundle/test/e2e/ready"
	"kubebundle/test/e2e/suite"
)

// Test reboots the worker, cuts the control plane's power, and asks everything again.
func Test(t *testing.T, s *suite.Suite) {
	cut := time.Now()
	if err := s.Worker().Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Server().Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Server().Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.AwaitStartedSince(t, cut)
	if err := s.Cluster.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	ready.Test(t, s)
	network.Test(t, s)
	airgap.Counters(t, s)
	airgap.Events(t, s)
}
