package hosts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// groups are the host's child groups, one in every hierarchy of cgroup v1. Without them two hosts' kubelets would share
// one kubepods group. On a machine with only cgroup v2 nspawn gets a scope from systemd, and there are none.
func (h *Host) groups() []string {
	if len(h.lab.Machine.controllers()) == 0 {
		return nil
	}
	var out []string
	for _, c := range h.lab.Machine.CgroupV1 {
		out = append(out, filepath.Join(c, "lab-"+h.lab.Net.Bridge+"-"+h.Name))
	}
	if h.lab.Machine.CgroupV2 != "" {
		out = append(out, filepath.Join(h.lab.Machine.CgroupV2, "lab-"+h.lab.Net.Bridge+"-"+h.Name))
	}
	return out
}

func (h *Host) makeGroups() error {
	for _, g := range h.groups() {
		if err := os.Mkdir(g, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make control group: %w", err)
		}
		// A cpuset group takes no process before it has CPUs and memory nodes.
		for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
			own := filepath.Join(g, f)
			if _, err := os.Stat(own); err != nil || filepath.Base(filepath.Dir(g)) != "cpuset" {
				continue
			}
			b, err := os.ReadFile(filepath.Join(filepath.Dir(g), f))
			if err != nil {
				return err
			}
			if err := os.WriteFile(own, b, 0o644); err != nil {
				return fmt.Errorf("seed %s: %w", own, err)
			}
		}
	}
	return nil
}

// members are the processes in the host's groups, at any depth.
func (h *Host) members() []int {
	var pids []int
	for _, g := range h.groups() {
		filepath.WalkDir(g, func(p string, d fs.DirEntry, err error) error { //nolint:errcheck // groups come and go
			if err != nil || d.Name() != "cgroup.procs" {
				return nil //nolint:nilerr // groups come and go
			}
			b, _ := os.ReadFile(p) // groups come and go
			for f := range strings.FieldsSeq(string(b)) {
				if pid, err := strconv.Atoi(f); err == nil && pid != os.Getpid() {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// killMembers ends every process that is left in the host's groups and waits until they are gone.
func (h *Host) killMembers() error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		pids := h.members()
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("host %s: processes %v do not end", h.Name, pids)
		}
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it may have gone already
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// removeGroups removes the groups and everything below, deepest first.
func (h *Host) removeGroups() error {
	var errs []error
	for _, g := range h.groups() {
		var dirs []string
		filepath.WalkDir(g, func(p string, d fs.DirEntry, err error) error { //nolint:errcheck // groups come and go
			if err == nil && d.IsDir() {
				dirs = append(dirs, p)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, d := range dirs {
			if err := rmdir(d); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// rmdir removes a group. The kernel says EBUSY for a moment after its last process ended.
func rmdir(dir string) error {
	var err error
	for range 40 {
		if err = os.Remove(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("remove control group: %w", err)
}
