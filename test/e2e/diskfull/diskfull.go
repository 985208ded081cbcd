// Package diskfull: a disk that fills up half-way is one clear error, and the same command goes on when there is room.
package diskfull

import (
	"testing"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
)

// Test loads images into a runtime whose disk is too small, then makes the disk larger.
func Test(t *testing.T, s *suite.Suite) {
	h := s.BareHost(t, "full1", s.Runtime)
	if err := clusters.Forwarding(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	cfg, err := clusters.InitConfig(s.Lab.Machine, s.Version, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile(clusters.ConfigPath, []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	must := func(cmd string) {
		t.Helper()
		if err := h.Run(t.Context(), "sh", "-c", cmd); err != nil {
			t.Fatal(err)
		}
	}
	units, dir := "containerd", "/var/lib/containerd"
	if s.Runtime.HasDocker() {
		units, dir = "docker.socket docker", "/var/lib/docker"
	}
	must("systemctl stop " + units + " && mount -t tmpfs -o size=200m tmpfs " + dir + " && systemctl start " + units)

	// Preflight sees it coming.
	s.Refused(t, h, 3, []string{"[Disk]", dir, "make room"}, clusters.InitArgs()...)
	// Who does not listen is told when it happens.
	args := append(clusters.InitArgs(), "--ignore-preflight-errors", "all")
	s.Refused(t, h, 5, []string{"no space left on device", "hint: "}, args...)
	must("mount -o remount,size=3g " + dir)
	s.MustInstall(t, h, args...)
}
