package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Facts implements Reader.
func (l *Local) Facts(ctx context.Context) (Facts, error) {
	f := Facts{OS: runtime.GOOS, CPUs: runtime.NumCPU(), UID: os.Getuid(), Systemd: systemdRuns()}
	var err error
	if f.Hostname, err = os.Hostname(); err != nil {
		return f, fmt.Errorf("host name: %w", err)
	}
	var machine string
	if f.Kernel, machine, err = kernel(); err != nil {
		return f, err
	}
	f.Arch = archOf("/", machine)
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return f, err
	}
	if f.MemoryBytes, err = parseMemTotal(string(meminfo)); err != nil {
		return f, err
	}
	f.SwapDevices = parseSwaps(readOptional("/proc/swaps"))
	f.CgroupVersion = 1
	var st unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &st); err == nil && int64(st.Type) == unix.CGROUP2_SUPER_MAGIC { //nolint:unconvert // its type differs by arch
		f.CgroupVersion = 2
	}
	if f.Systemd {
		st, err := l.UnitState(ctx, "systemd-resolved.service")
		f.ResolvedActive = err == nil && st.Active
	}
	resolv := "/etc/resolv.conf"
	if f.ResolvedActive {
		resolv = "/run/systemd/resolve/resolv.conf" // what the kubelet is given there: /etc/resolv.conf names only the local stub
	}
	f.Nameservers = parseNameservers(readOptional(resolv))
	if f.Addresses, f.Interfaces, f.DefaultRouteIP, err = addresses(readOptional("/proc/net/route"), readOptional("/proc/net/ipv6_route")); err != nil {
		return f, err
	}
	f.Modules = parseModules(readOptional("/proc/modules"), readOptional("/lib/modules/"+f.Kernel+"/modules.builtin"))
	// /sys/module also knows what is built in, where no /lib/modules is at hand (it lists a part only: those with parameters or a version).
	if entries, err := os.ReadDir("/sys/module"); err == nil {
		for _, e := range entries {
			f.Modules[moduleName(e.Name())] = true
		}
	}
	return f, nil
}

// readOptional reads a file that may well be missing.
func readOptional(p string) string {
	b, err := os.ReadFile(p)
	if err != nil {
		return ""
	}
	return string(b)
}

func parseMemTotal(meminfo string) (uint64, error) {
	for line := range strings.Lines(meminfo) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("/proc/meminfo: %w", err)
			}
			return kb << 10, nil
		}
	}
	return 0, errors.New("/proc/meminfo: no MemTotal")
}

// parseSwaps lists the active swap devices: the first column after the title line.
func parseSwaps(s string) []string {
	var out []string
	for i, line := range strings.Split(s, "\n") {
		if fields := strings.Fields(line); i > 0 && len(fields) > 0 {
			out = append(out, fields[0])
		}
	}
	return out
}

// parseNameservers lists the servers that a pod could reach: one on a loopback address is the pod's own loopback there, and CoreDNS
// would ask itself.
func parseNameservers(resolvConf string) []string {
	var out []string
	for line := range strings.Lines(resolvConf) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "nameserver" && !strings.HasPrefix(fields[1], "127.") && fields[1] != "::1" {
			out = append(out, fields[1])
		}
	}
	return out
}

// moduleName is the kernel's own spelling.
func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

func parseModules(procModules, builtin string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(procModules) {
		if name, _, ok := strings.Cut(line, " "); ok {
			out[moduleName(name)] = true
		}
	}
	for line := range strings.Lines(builtin) { // kernel/net/bridge/br_netfilter.ko
		if name := strings.TrimSuffix(path.Base(strings.TrimSpace(line)), ".ko"); name != "." {
			out[moduleName(name)] = true
		}
	}
	return out
}
