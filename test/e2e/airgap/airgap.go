// Package airgap: nothing was fetched, nothing was asked for, and nothing left the hosts' network, from before the installation
// until now.
package airgap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/suite"
)

// Test looks at what the hosts tried, at the events, and at the counters on the bridge.
func Test(t *testing.T, s *suite.Suite) {
	// The proof that the instrument works: before the installation the hosts tried to get out, and were counted.
	for _, r := range s.Reached {
		t.Errorf("before the installation %s: the hosts are not cut off", r)
	}
	if s.Baseline.Machine == 0 {
		t.Error("the hosts' tries to reach the machine were not counted: the guard does not see")
	}
	for _, h := range s.Cluster.Hosts {
		resolv, err := os.ReadFile(filepath.Join(h.Root(), "etc/resolv.conf"))
		if err != nil || strings.TrimSpace(string(resolv)) != "" {
			t.Errorf("%s has DNS servers: %q, %v", h.Name, resolv, err)
		}
	}
	Counters(t, s)
	Events(t, s)
}

// Counters wants that no packet has left the hosts' network since the installation began.
func Counters(t *testing.T, s *suite.Suite) {
	t.Helper()
	now, err := s.Lab.Escapes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if now != s.Baseline {
		t.Errorf("since the installation began something left the hosts' network: before: %v; now: %v", s.Baseline, now)
	}
}

// Events wants no event of an image being pulled, and that every image was there already.
func Events(t *testing.T, s *suite.Suite) {
	t.Helper()
	pulled := 0
	for _, e := range suite.Get[corev1.EventList](t, s, "events", "--all-namespaces").Items {
		switch e.Reason {
		case "BackOff": // also said of a container that waits for the API server after a reboot
			if strings.Contains(e.Message, "pulling image") {
				t.Errorf("image of %s/%s: %s", e.InvolvedObject.Namespace, e.InvolvedObject.Name, e.Message)
			}
		case "Pulling", "ErrImagePull", "ErrImageNeverPull", "InspectFailed":
			t.Errorf("event %s of %s/%s: %s", e.Reason, e.InvolvedObject.Namespace, e.InvolvedObject.Name, e.Message)
		case "Pulled":
			pulled++
			if !strings.Contains(e.Message, "already present on machine") {
				t.Errorf("image of %s/%s: %s", e.InvolvedObject.Namespace, e.InvolvedObject.Name, e.Message)
			}
		}
	}
	if pulled == 0 {
		t.Error("there is no event about an image at all")
	}
}
