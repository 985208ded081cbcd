// Package vanished: images that a runtime without pins has lost come back by themselves, from the copy that the node keeps of its bundle: by the timer, and
// before the kubelet of a rebooted host starts. The folder that was installed from is not needed for it.
package vanished

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"kubebundle/test/e2e/airgap"
	"kubebundle/test/e2e/ready"
	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/hosts"
)

const (
	kept = "/var/lib/kubebundle/bundle"
	unit = "kubebundle-images.service"
)

// commands are the commands with which an administrator makes images vanish, and the socket to ask after them.
type commands struct {
	prune  string // images of no container
	all    string // every image, with every container gone or not
	list   string
	socket string
}

func commandsOf(h *hosts.Host) commands {
	if h.Runtime.HasDocker() {
		return commands{
			prune: "docker image prune -af", all: "docker rm -f $(docker ps -aq) && docker image prune -af", list: "docker images -q",
			socket: "unix:///var/run/docker.sock",
		}
	}
	const ctr = "ctr -n k8s.io images "
	return commands{
		prune: ctr + "rm $(" + ctr + "ls -q | grep -E 'pause|kube-scheduler')", all: ctr + "rm $(" + ctr + "ls -q)", list: ctr + "ls -q",
		socket: "unix:///run/containerd/containerd.sock",
	}
}

// Test takes images from the worker's runtime as an administrator would.
func Test(t *testing.T, s *suite.Suite) {
	h := s.Worker()
	sh(t, h, "mv /root/"+s.Bundle.Folder+" /root/away")
	byTimer(t, h)
	atBoot(t, s, h)
	saysSo(t, h)
	sh(t, h, "mv /root/away /root/"+s.Bundle.Folder)
	if err := s.Cluster.AwaitReady(t.Context()); err != nil { // its kubelet has just been started anew
		t.Fatal(err)
	}
	ready.Test(t, s)
	airgap.Counters(t, s)
	airgap.Events(t, s)
}

// byTimer: what no container uses goes, as it would when the kubelet needs room. The worker has the control
// plane's images, and no container of them.
func byTimer(t *testing.T, h *hosts.Host) {
	t.Helper()
	sh(t, h, commandsOf(h).prune)
	if n := missing(t, h); n == 0 {
		t.Fatal("no image has vanished")
	}
	// Nobody waits five minutes for a test.
	sh(t, h, "mkdir -p /run/systemd/system/kubebundle-images.timer.d && printf '[Timer]\nOnActiveSec=\nOnUnitInactiveSec=\nOnActiveSec=2s\nAccuracySec=1s\n' "+
		"> /run/systemd/system/kubebundle-images.timer.d/fast.conf && systemctl daemon-reload && systemctl restart kubebundle-images.timer")
	suite.Eventually(t, 2*time.Minute, func() error {
		if n := missing(t, h); n > 0 {
			return fmt.Errorf("%d images are still missing", n)
		}
		return nil
	})
	sh(t, h, "rm -r /run/systemd/system/kubebundle-images.timer.d && systemctl daemon-reload && systemctl restart kubebundle-images.timer")
}

// atBoot: with all containers gone all images go, that of the sandboxes too.
func atBoot(t *testing.T, s *suite.Suite, h *hosts.Host) {
	t.Helper()
	sh(t, h, "systemctl stop kubelet kubebundle-images.timer && "+commandsOf(h).all)
	if out := sh(t, h, commandsOf(h).list); out != "" {
		t.Fatalf("images are left: %s", out)
	}
	cut := time.Now()
	if err := h.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	suite.Eventually(t, 2*time.Minute, func() error {
		if n := missing(t, h); n > 0 {
			return fmt.Errorf("%d images are still missing", n)
		}
		return nil
	})
	loaded, kubelet := monotonic(t, h, unit, "InactiveEnterTimestampMonotonic"), monotonic(t, h, "kubelet.service", "ExecMainStartTimestampMonotonic")
	if loaded == 0 || kubelet == 0 || loaded > kubelet {
		t.Errorf("the images were loaded at %dµs after boot, the kubelet started at %dµs: want it after", loaded, kubelet)
	}
	s.AwaitStartedSince(t, cut, h.Name)
	if err := s.Cluster.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// saysSo: without the copy the unit fails and its journal says what is gone and what brings it back; the kubelet is none the worse.
func saysSo(t *testing.T, h *hosts.Host) {
	t.Helper()
	sh(t, h, "mv "+kept+" "+kept+".away")
	if err := h.Run(t.Context(), "systemctl", "start", unit); err == nil {
		t.Error("the unit succeeds without the copy")
	}
	if out := sh(t, h, "journalctl -b --no-pager -u "+unit); !strings.Contains(out, kept+"/install is gone") || !strings.Contains(out, "install command of this node once more") {
		t.Errorf("the journal does not say what is missing:\n%s", out)
	}
	sh(t, h, "systemctl restart kubelet && systemctl is-active kubelet")
	sh(t, h, "mv "+kept+".away "+kept+" && systemctl start "+unit)
}

// missing counts the bundle's images that the runtime does not have, by the installer's own account.
func missing(t *testing.T, h *hosts.Host) int {
	t.Helper()
	out, err := h.Output(t.Context(), kept+"/install", "images", "check", "--cri-socket", commandsOf(h).socket)
	if code := hosts.ExitCode(err); code != 0 && code != 1 {
		t.Fatal(err)
	}
	return len(strings.Fields(out))
}

func monotonic(t *testing.T, h *hosts.Host, unit, property string) int64 {
	t.Helper()
	out := sh(t, h, "systemctl show -p "+property+" --value "+unit)
	n, err := strconv.ParseInt(out, 10, 64)
	if err != nil {
		t.Fatalf("%s of %s: %v", property, unit, err)
	}
	return n
}

func sh(t *testing.T, h *hosts.Host, command string) string {
	t.Helper()
	out, err := h.Output(t.Context(), "sh", "-c", command)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}
