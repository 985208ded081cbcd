package phase

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// minKernel is the oldest kernel that kubeadm's own system check has ever accepted (k8s.io/system-validators, types_unix.go).
const minKernel = "3.10"

// system checks what kubeadm calls SystemVerification: kernel and modules.
func (in *inspection) system(context.Context) {
	if v, err := version.ParseGeneric(in.facts.Kernel); err == nil && v.LessThan(version.MustParseGeneric(minKernel)) {
		in.failAdvise("SystemVerification", "use a newer system", "kernel %s is older than %s", in.facts.Kernel, minKernel)
	}
	if !in.facts.Systemd {
		in.failAdvise("SystemVerification", "use a host whose init is systemd", "systemd does not run here: the kubelet could not be started")
	}
	for _, m := range in.contract.Requirements.KernelModules {
		if m == "br_netfilter" || in.moduleThere(m) { // br_netfilter is judged by its sysctls
			continue
		}
		switch in.moduleOnDisk(m) {
		case moduleYes, moduleUnknown:
			// The kernel loads it when it is first used; where nothing is known about modules (a container) others do.
		case moduleNo:
			in.failAdvise("SystemVerification", "install the kernel's modules package, or use a kernel that has it",
				"kernel module %s is neither loaded nor on disk for kernel %s", m, in.facts.Kernel)
		}
	}
}

// moduleTrace is a trace of a module that shows in /proc also where nobody can list modules: in a container, or when they are built in.
func moduleTrace(m string) string {
	return map[string]string{
		"br_netfilter": "/proc/sys/net/bridge",
		"nf_conntrack": "/proc/sys/net/netfilter",
		"ip_tables":    "/proc/net/ip_tables_names",
		"ip6_tables":   "/proc/net/ip6_tables_names",
		"ip_vs":        "/proc/net/ip_vs",
	}[m]
}

func (in *inspection) moduleThere(m string) bool {
	if in.facts.Modules[m] {
		return true
	}
	if p := moduleTrace(m); p != "" && exists(in.r, p) {
		return true
	}
	list, err := in.r.ReadFile("/proc/filesystems")
	return err == nil && slices.Contains(strings.Fields(string(list)), m) // overlay
}

type onDisk int

const (
	moduleUnknown onDisk = iota
	moduleYes
	moduleNo
)

// moduleOnDisk looks into the kernel's own index. A module's file may have "-" where its name has "_", and end in .ko, .ko.xz, .ko.zst.
func (in *inspection) moduleOnDisk(m string) onDisk {
	dep, err := in.r.ReadFile(path.Join("/lib/modules", in.facts.Kernel, "modules.dep"))
	if err != nil {
		return moduleUnknown
	}
	lines := bufio.NewScanner(bytes.NewReader(dep))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		file, _, _ := strings.Cut(lines.Text(), ":")
		name, _, _ := strings.Cut(path.Base(file), ".ko")
		if strings.ReplaceAll(name, "-", "_") == m {
			return moduleYes
		}
	}
	return moduleNo
}

const persistModule = "echo br_netfilter > /etc/modules-load.d/kubernetes.conf"

// sysctls checks what packets between pods and to services need. kubeadm dropped its check of bridge-nf-call-iptables in v1.30 because
// some pod networks do without; most (flannel, every one that uses the bridge plugin) do not, and fail late and silently.
func (in *inspection) sysctls(context.Context) {
	in.sysctl("net.ipv4.ip_forward", "")
	in.sysctl("net.bridge.bridge-nf-call-iptables", "br_netfilter")
	if in.ipv6() {
		in.sysctl("net.ipv6.conf.default.forwarding", "")
		in.sysctl("net.bridge.bridge-nf-call-ip6tables", "br_netfilter")
	}
}

// ipv6 says whether the node's address is of that family.
func (in *inspection) ipv6() bool {
	if in.s.Init == nil {
		return false
	}
	ip := net.ParseIP(in.s.Init.LocalAPIEndpoint.AdvertiseAddress)
	return ip != nil && ip.To4() == nil
}

func (in *inspection) sysctl(name, module string) {
	file := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
	p := Problem{
		Check: fileCheck("FileContent", file), Level: LevelError, Fix: "sysctl -w " + name + "=1",
		Persist: fmt.Sprintf("echo '%s = 1' >> /etc/sysctl.d/99-kubernetes.conf", name),
	}
	b, err := in.r.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && module != "":
		p.Message = fmt.Sprintf("%s is not there: kernel module %s is not loaded", file, module)
		p.Fix = "modprobe " + module + "\n" + p.Fix
		p.Persist = persistModule + "\n" + p.Persist
		if in.moduleOnDisk(module) == moduleNo {
			p.Advice = "the module is not on disk either: install the modules package of kernel " + in.facts.Kernel
		}
	case err != nil:
		p.Message = fmt.Sprintf("%s cannot be read: %v", file, err)
	case strings.TrimSpace(string(b)) == "1":
		return
	default:
		p.Message = fmt.Sprintf("%s is %s, must be 1", file, strings.TrimSpace(string(b)))
	}
	in.add(p)
}

// cgroups checks that the kubelet can limit what runs.
func (in *inspection) cgroups(context.Context) {
	switch {
	case in.facts.CgroupVersion == 1 && in.minor() >= 35 && in.failsOnCgroupV1():
		in.failAdvise("SystemVerification", "boot with systemd.unified_cgroup_hierarchy=1, or set failCgroupV1: false in a KubeletConfiguration given with --config",
			"the host uses cgroup v1, and the kubelet of %s does not start there", in.contract.KubernetesVersion)
	case in.facts.CgroupVersion == 2 && in.minor() < 19:
		in.failAdvise("SystemVerification", "boot with systemd.unified_cgroup_hierarchy=0",
			"the host uses cgroup v2, and the kubelet of %s knows only v1", in.contract.KubernetesVersion)
	}
	if missing := in.missingControllers(); len(missing) > 0 {
		in.failAdvise("SystemVerification", "add cgroup_enable=memory cgroup_memory=1 to the kernel's command line if it is memory (Raspberry Pi), then reboot",
			"cgroup controllers that the kubelet needs are off: %s", strings.Join(missing, ", "))
	}
}

// failsOnCgroupV1: a joining node takes the setting from the cluster, which discovery looks at.
func (in *inspection) failsOnCgroupV1() bool {
	if in.s.Init == nil {
		return in.s.Join == nil
	}
	fail, given := in.s.Init.KubeletConfig["failCgroupV1"].(bool)
	return !given || fail
}

// missingControllers reads what the kernel offers. What cannot be read is not judged.
func (in *inspection) missingControllers() []string {
	on := map[string]bool{}
	if in.facts.CgroupVersion == 2 {
		b, err := in.r.ReadFile("/sys/fs/cgroup/cgroup.controllers")
		if err != nil {
			return nil
		}
		for _, c := range strings.Fields(string(b)) {
			on[c] = true
		}
	} else {
		b, err := in.r.ReadFile("/proc/cgroups")
		if err != nil {
			return nil
		}
		for line := range strings.SplitSeq(string(b), "\n") {
			if w := strings.Fields(line); len(w) == 4 && w[3] == "1" { // name hierarchy cgroups enabled
				on[w[0]] = true
			}
		}
	}
	var missing []string
	for _, c := range []string{"cpu", "cpuset", "memory", "pids"} {
		if !on[c] {
			missing = append(missing, c)
		}
	}
	return missing
}

// program is an executable that something on the node calls.
type program struct {
	name     string
	from, to uint   // minors in which kubeadm asks for it; 0 leaves a side open
	pkg      string // Debian's package / Red Hat's, where they differ
	warnOnly bool
}

// programs are those of kubeadm's checks (kubernetes-facts 8.4).
func programs() []program {
	return []program{
		{name: "conntrack", from: 18, to: 31, pkg: "conntrack (Debian), conntrack-tools (Red Hat)"},
		{name: "ip", pkg: "iproute2 (Debian), iproute (Red Hat)"},
		{name: "iptables", pkg: "iptables"},
		{name: "mount", pkg: "mount (Debian), util-linux (Red Hat)"},
		{name: "nsenter", to: 33, pkg: "util-linux"},
		{name: "losetup", from: 34, pkg: "mount (Debian), util-linux (Red Hat)"},
		{name: "cp", from: 34, pkg: "coreutils"},
		{name: "ebtables", to: 29, pkg: "ebtables", warnOnly: true},
		{name: "ethtool", to: 33, pkg: "ethtool", warnOnly: true},
		{name: "socat", to: 29, pkg: "socat", warnOnly: true},
		{name: "tc", to: 33, pkg: "iproute2 (Debian), iproute-tc (Red Hat)", warnOnly: true},
		{name: "touch", to: 33, pkg: "coreutils", warnOnly: true},
	}
}

func (in *inspection) executables(context.Context) {
	for _, p := range programs() {
		if in.minor() < p.from || p.to != 0 && in.minor() > p.to {
			continue
		}
		if _, err := in.r.LookPath(p.name); err == nil {
			continue
		}
		level := LevelError
		if p.warnOnly {
			level = LevelWarning
		}
		in.add(Problem{
			Check: "FileExisting-" + p.name, Level: level, Message: p.name + " is not found in the path of root's shell",
			Advice: "install the system's package " + p.pkg,
		})
	}
}

func (in *inspection) firewall(ctx context.Context) {
	if st, err := in.r.UnitState(ctx, "firewalld.service"); err == nil && st.Active {
		in.warn("Firewalld", "open the API server's port and 10250/tcp, and the pod network's", "firewalld runs")
	}
}

// proxies: what talks to the API server inherits the variables, and a proxy does not know this network.
func (in *inspection) proxies(context.Context) {
	env := map[string]string{}
	for _, e := range proxyEnv(in.s.Environ) {
		env[strings.ToLower(e.Name)] = e.Value
	}
	if env["https_proxy"] == "" && env["http_proxy"] == "" {
		return
	}
	covered := func(addr string) bool {
		for entry := range strings.SplitSeq(env["no_proxy"], ",") {
			entry = strings.TrimSpace(entry)
			if entry == "*" || entry == addr {
				return true
			}
			_, n, err := net.ParseCIDR(entry)
			ip := net.ParseIP(addr)
			if ip == nil {
				ip, _, _ = net.ParseCIDR(addr)
			}
			if err == nil && ip != nil && n.Contains(ip) {
				return true
			}
		}
		return false
	}
	if in.s.Init == nil {
		return
	}
	if a := in.s.Init.LocalAPIEndpoint.AdvertiseAddress; !covered(a) {
		in.warn("HTTPProxy", "add it to NO_PROXY, or unset the proxy variables", "connections to %s would go through a proxy", a)
	}
	for _, cidr := range []string{in.s.Init.Cluster.Networking.ServiceSubnet, in.s.Init.Cluster.Networking.PodSubnet} {
		if cidr != "" && !covered(cidr) {
			in.warn("HTTPProxyCIDR", "add it to NO_PROXY, or unset the proxy variables", "connections to %s would go through a proxy", cidr)
		}
	}
}
