// Package dockerdriver: a Docker that the kubelet could not work with is refused before anything is changed, with the line that mends it;
// with that line written it is taken.
package dockerdriver

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

const (
	config  = "/root/driver.yaml"
	kubelet = "---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
)

// Test gives Docker one driver and the kubelet the other, both ways, and takes cri-dockerd away.
func Test(t *testing.T, s *suite.Suite) {
	h := s.BareHost(t, "dock1", hosts.CRIDockerd)
	if err := clusters.Forwarding(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	before, err := h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{"--configure-runtime", "--cri-socket", clusters.CRIDockerdSocket}
	with := []string{"--configure-runtime", "--config", config}

	// The kubelet is told cgroupfs, Docker systemd.
	write(t, h, "cgroupDriver: cgroupfs\n")
	s.Refused(t, h, 3, []string{"[CgroupDriver]", "Docker's cgroup driver is systemd and the kubelet's is cgroupfs", `"native.cgroupdriver=cgroupfs"`, "cgroupDriver: systemd"},
		append([]string{"init"}, with...)...)

	// Docker as it comes, and the kubelet's default. The line that is shown is written into the file, and then it fits.
	exec := regexp.MustCompile(`"exec-opts": ?\[[^\]]*\],?`)
	daemon := sh(t, h, "cat /etc/docker/daemon.json")
	bare := strings.Replace(exec.ReplaceAllString(daemon, ""), ",}", "}", 1)
	setDaemon(t, h, bare)
	r := s.Refused(t, h, 3, []string{"[CgroupDriver]", "Docker's cgroup driver is cgroupfs and the kubelet's is systemd (the default of " + s.Version + ")", "cgroupDriver: cgroupfs"},
		append([]string{"init"}, flags...)...)
	line := exec.FindString(r.Stderr)
	if line == "" {
		t.Fatalf("no line for daemon.json in:\n%s", r.Stderr)
	}
	write(t, h, "cgroupDriver: cgroupfs\n") // the other way out
	s.MustInstall(t, h, append([]string{"preflight"}, with...)...)
	sep := ","
	if strings.TrimSpace(bare) == "{}" {
		sep = ""
	}
	setDaemon(t, h, strings.Replace(bare, "{", "{"+line+sep, 1))
	s.MustInstall(t, h, append([]string{"preflight"}, flags...)...)

	// No cri-dockerd: asleep, then not there at all; and sockets that are none for this kubelet.
	sh(t, h, "systemctl stop cri-docker && rm -f /run/cri-dockerd.sock")
	s.Refused(t, h, 3, []string{"[CRI]", "cri-dockerd.sock", "systemctl enable --now cri-docker"}, append([]string{"init"}, flags...)...)
	sh(t, h, "mv /etc/systemd/system/cri-docker.service /root/ && systemctl daemon-reload")
	s.Refused(t, h, 3, []string{"[CRI]", "cri-dockerd.sock", "install cri-dockerd"}, append([]string{"init"}, flags...)...)
	s.Refused(t, h, 3, []string{"[CRI]", "v1.23 was the last", "install cri-dockerd"}, "init", "--cri-socket", "/var/run/dockershim.sock")
	s.Refused(t, h, 3, []string{"[CRI]", "Docker's own API", "install cri-dockerd"}, "init", "--cri-socket", "/var/run/docker.sock")
	sh(t, h, "mv /root/cri-docker.service /etc/systemd/system/ && systemctl daemon-reload")
	setDaemon(t, h, daemon)

	after, err := h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range before.Diff(after) {
		if !strings.Contains(d, "/var/lib/cri-dockerd") {
			t.Errorf("a refusal changed the host: %s", d)
		}
	}
}

func write(t *testing.T, h *hosts.Host, kubeletConfig string) {
	t.Helper()
	text := "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nnodeRegistration: {criSocket: \"" + clusters.CRIDockerdSocket + "\"}\n" + kubelet + kubeletConfig
	if err := h.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// setDaemon gives Docker a configuration and waits until cri-dockerd, which systemd restarts with it, answers.
func setDaemon(t *testing.T, h *hosts.Host, text string) {
	t.Helper()
	if err := h.WriteFile("/etc/docker/daemon.json", []byte(strings.TrimSpace(text)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	sh(t, h, "systemctl restart docker && systemctl restart cri-docker")
	suite.Eventually(t, 30*time.Second, func() error {
		return h.Run(t.Context(), "socat", "/dev/null", "UNIX-CONNECT:/run/cri-dockerd.sock")
	})
}

func sh(t *testing.T, h *hosts.Host, command string) string {
	t.Helper()
	out, err := h.Output(t.Context(), "sh", "-c", command)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}
