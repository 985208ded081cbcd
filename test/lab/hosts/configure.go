package hosts

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// units that make no sense on a host of the lab, or that would reach out.
var masked = []string{
	"systemd-resolved.service", "systemd-timesyncd.service", "console-getty.service", "getty.target",
	"apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "dpkg-db-backup.timer",
	"nftables.service",
}

// configure writes what makes a copied tree this host: name, address, no route, no DNS.
func (h *Host) configure(ctx context.Context) error {
	id := make([]byte, 16)
	rand.Read(id)
	files := map[string]string{
		"etc/hostname":    h.Name + "\n",
		"etc/hosts":       fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", h.IP, h.Name),
		"etc/machine-id":  hex.EncodeToString(id) + "\n",
		"etc/resolv.conf": "",
		"etc/systemd/network/10-lab.network": fmt.Sprintf(
			"[Match]\nName=host0\n\n[Network]\nAddress=%s/%d\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nLLMNR=no\n\n"+
				"[Link]\nRequiredForOnline=yes\n", h.IP, h.lab.Net.Prefix.Bits()),
		// networkd waits until udev has seen an interface. The other devices are the machine's: they are not triggered again.
		"etc/systemd/system/systemd-udev-trigger.service.d/lab.conf": "[Service]\nExecStart=\n" +
			"ExecStart=udevadm trigger --action=add --subsystem-match=net\n",
		// Interfaces that Kubernetes makes are none of networkd's business.
		"etc/systemd/networkd.conf.d/lab.conf": "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n",
		// Containers that do not react to SIGTERM hold a shutdown up for this long.
		"etc/systemd/system.conf.d/lab.conf": "[Manager]\nDefaultTimeoutStopSec=10s\n" +
			"DefaultEnvironment=" + strings.Join(h.lab.Environment, " ") + "\n",
		"etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=persistent\nAudit=no\nReadKMsg=no\n",
		"etc/systemd/system/lab-cgroups.service": "[Unit]\nDescription=the machine has cgroup v1: make its controllers writable\n" +
			"DefaultDependencies=no\nBefore=sysinit.target\nConditionPathExists=/sys/fs/cgroup/memory\n\n[Service]\nType=oneshot\n" +
			"ExecStart=/bin/sh -c 'for c in /sys/fs/cgroup/*; do mount -o remount,rw,bind $c || :; done'\n\n[Install]\nWantedBy=sysinit.target\n",
	}
	// Debian links resolv.conf in some images; write the file, not through the link.
	if err := os.Remove(filepath.Join(h.Root(), "etc/resolv.conf")); err != nil && !os.IsNotExist(err) {
		return err
	}
	for path, text := range files {
		if err := h.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := h.configureRuntime(); err != nil {
		return err
	}
	if _, err := run(ctx, "systemctl", append([]string{"--root=" + h.Root(), "mask"}, masked...)...); err != nil {
		return err
	}
	_, err := run(ctx, "systemctl", "--root="+h.Root(), "enable", "systemd-networkd.service", "lab-cgroups.service")
	return err
}

// configureRuntime writes what the runtime needs on this machine, and nothing that the product must care for itself. For Docker behind
// cri-dockerd that is also the cgroup driver: choosing it is its owner's business, the product refuses a foreign one and says so.
func (h *Host) configureRuntime() error {
	switch h.Runtime {
	case Containerd:
		if !h.lab.Machine.SysResource {
			return h.WriteFile("etc/containerd/config.toml",
				[]byte("version = 2\n\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  restrict_oom_score_adj = true\n"), 0o644)
		}
	case Containerd2:
		if !h.lab.Machine.SysResource {
			return h.WriteFile("etc/containerd/config.toml",
				[]byte("version = 3\n\n[plugins.\"io.containerd.cri.v1.runtime\"]\n  restrict_oom_score_adj = true\n"), 0o644)
		}
	case Docker, CRIDockerd:
		config := map[string]any{}
		if !h.lab.Machine.SysResource {
			config["runtimes"] = map[string]any{"lab": map[string]string{"path": "/usr/local/sbin/runcwrap"}}
			config["default-runtime"] = "lab"
			config["storage-driver"] = "overlay2"
		}
		if h.Runtime == CRIDockerd {
			config["exec-opts"] = []string{"native.cgroupdriver=systemd"}
		}
		text, err := json.Marshal(config)
		if err != nil {
			return err
		}
		return h.WriteFile("etc/docker/daemon.json", append(text, '\n'), 0o644)
	case None:
	}
	return nil
}

// WriteFile writes a file into the host's tree, creating parents. path is inside the host, with or without leading slash.
func (h *Host) WriteFile(path string, data []byte, mode os.FileMode) error {
	full := filepath.Join(h.Root(), filepath.Clean("/"+path))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(full, data, mode); err != nil {
		return err
	}
	return os.Chmod(full, mode)
}

// CopyIn copies a file or a folder of the machine into the host's tree: the sneaker-net.
func (h *Host) CopyIn(ctx context.Context, src, dst string) error {
	full := filepath.Join(h.Root(), filepath.Clean("/"+dst))
	if strings.HasSuffix(dst, "/") {
		full = filepath.Join(full, filepath.Base(src))
	}
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	_, err := run(ctx, "cp", "-a", "--reflink=auto", "-T", src, full)
	return err
}
