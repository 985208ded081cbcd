package hosts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// Destroy takes the host away with everything that was on it.
func (h *Host) Destroy(ctx context.Context) error {
	if err := h.Kill(ctx); err != nil {
		return err
	}
	return h.lab.removeTree(h.Name)
}

// Down takes away all hosts and the network. It does not stop at the first error.
func (l *Lab) Down(ctx context.Context) error {
	var errs []error
	entries, err := os.ReadDir(l.hostsDir())
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, e := range entries {
		h, err := l.Host(e.Name())
		if err != nil { // killed while it was made: there is no process, only a tree
			errs = append(errs, l.removeTree(e.Name()))
			continue
		}
		l.Log.Info("take host away", "host", h.Name)
		errs = append(errs, h.Destroy(ctx))
	}
	errs = append(errs, l.removeNetwork(ctx))
	if left := l.leftovers(); len(left) > 0 {
		errs = append(errs, fmt.Errorf("the lab is down, but there is left: %s", strings.Join(left, ", ")))
	}
	return errors.Join(errs...)
}

// leftovers looks for anything of this lab in the kernel: processes, mounts, control groups, network devices.
func (l *Lab) leftovers() []string {
	var left []string
	if mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(l.hostsDir())); err == nil {
		for _, m := range mounts {
			left = append(left, "mount "+m.Mountpoint)
		}
	}
	dirs := append(append([]string{}, l.Machine.CgroupV1...), l.Machine.CgroupV2)
	for _, d := range dirs {
		groups, _ := filepath.Glob(filepath.Join(d, "lab-"+l.Net.Bridge+"-*")) // the pattern is good
		left = append(left, groups...)
	}
	devices, _ := filepath.Glob("/sys/class/net/vb-" + l.Net.Bridge + "-*") // the pattern is good
	left = append(left, devices...)
	cmdlines, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is good
	for _, c := range cmdlines {
		b, err := os.ReadFile(c)
		if err == nil && strings.HasPrefix(string(b), "systemd-nspawn\x00") && strings.Contains(string(b), l.hostsDir()+"/") {
			left = append(left, "process "+filepath.Base(filepath.Dir(c)))
		}
	}
	return left
}

// removeTree removes a host's folder. A mount below it would take what is mounted with it, so that is looked at first.
func (l *Lab) removeTree(name string) error {
	dir := l.hostDir(name)
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if strings.HasPrefix(m.Mountpoint, dir+"/") {
			return fmt.Errorf("remove host %s: %s is mounted (umount %s)", name, m.Mountpoint, m.Mountpoint)
		}
	}
	// host.json goes last, so that a removal that is killed can be repeated.
	if err := os.RemoveAll(filepath.Join(dir, "root")); err != nil {
		return fmt.Errorf("remove host %s: %w", name, err)
	}
	return os.RemoveAll(dir)
}
