package step_test

import (
	"errors"
	"testing"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// What a step leaves for a machine that runs is told, and what it does before starts nothing.
func TestOffline(t *testing.T) {
	for _, c := range []struct {
		st         step.Portable
		now, later string
	}{
		{step.File{Path: "/etc/a", Mode: 0o600}, "write /etc/a 0600 0 B", ""},
		{step.Dir{Path: "/etc", Mode: 0o755}, "make directory /etc 0755", ""},
		{step.Unit{Name: "kubelet.service", Enable: true, Start: true, Files: []string{"/etc/a"}}, "enable kubelet.service", "start kubelet.service"},
		{step.Unit{Name: "a.timer", Enable: true}, "enable a.timer", ""},
		{step.Unit{Name: "containerd.service", Start: true}, "", "start containerd.service"},
	} {
		now, later := c.st.Offline()
		got := ""
		if now != nil {
			got = now.String()
		}
		if got != c.now || later != c.later {
			t.Errorf("%v: now %q, later %q; want %q, %q", c.st, got, later, c.now, c.later)
		}
	}
	for _, st := range []step.Step{step.Exec{}, step.Images{}, step.Objects{}, step.Await{}, step.StopUnit{}, step.Token{}, step.Later{}} {
		if _, ok := st.(step.Portable); ok {
			t.Errorf("%T needs a machine that runs", st)
		}
	}
	if err := (step.Later{What: "x"}).Apply(t.Context(), nil); !errors.Is(err, host.ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}
