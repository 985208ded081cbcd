package hosts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Machine is what the machine that carries the hosts is like. Special care is taken only where it is found necessary, so
// that an ordinary Debian machine runs the lab without any of it.
type Machine struct {
	// CgroupV1 is the mount point of each cgroup v1 hierarchy with a controller; empty on a machine with cgroup v2 only.
	CgroupV1 []string
	// CgroupV2 is the mount point of the unified hierarchy, "" if there is none.
	CgroupV2 string
	// Systemd says that systemd is the machine's PID 1.
	Systemd bool
	// SysResource says that this process may lower oom_score_adj and raise limits (CAP_SYS_RESOURCE).
	SysResource bool
}

// Inspect looks at the machine.
func Inspect() (Machine, error) {
	var m Machine
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return m, fmt.Errorf("read mounts: %w", err)
	}
	for _, mt := range mounts {
		if mt.FSType == "cgroup2" {
			m.CgroupV2 = mt.Mountpoint
			continue
		}
		m.CgroupV1 = append(m.CgroupV1, mt.Mountpoint)
	}
	sort.Strings(m.CgroupV1)
	if fi, err := os.Stat("/run/systemd/system"); err == nil && fi.IsDir() {
		m.Systemd = true
	}
	m.SysResource, err = hasCap(unix.CAP_SYS_RESOURCE)
	if err != nil {
		return m, err
	}
	return m, nil
}

// controllers are the cgroup v1 mount points that carry a resource controller, without systemd's own named hierarchy.
func (m Machine) controllers() []string {
	var out []string
	for _, c := range m.CgroupV1 {
		if filepath.Base(c) != "systemd" {
			out = append(out, c)
		}
	}
	return out
}

func hasCap(n uint) (bool, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false, fmt.Errorf("read capabilities: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "CapEff:"); ok {
			var mask uint64
			if _, err := fmt.Sscanf(strings.TrimSpace(v), "%x", &mask); err != nil {
				return false, fmt.Errorf("read capabilities: %w", err)
			}
			return mask&(1<<n) != 0, nil
		}
	}
	return false, errors.New("read capabilities: no CapEff in /proc/self/status")
}
