package phase

import (
	"context"
	"strings"

	"github.com/dustin/go-humanize"
	"k8s.io/apimachinery/pkg/util/validation"
)

// What kubeadm asks of a control plane node (constants of kubeadm 1.34: ControlPlaneNumCPU, ControlPlaneMem).
const (
	controlPlaneCPUs   = 2
	controlPlaneMemory = 1700 << 20
)

func (in *inspection) privileged(context.Context) {
	if in.facts.UID != 0 {
		in.failAdvise("IsPrivilegedUser", "run it as root (sudo ./install …)", "the user is not root")
	}
}

func (in *inspection) arch(context.Context) {
	if in.facts.OS != in.contract.OS || in.facts.Arch != in.contract.Arch {
		in.failAdvise("Arch", "build one with: bundler build --version "+in.contract.KubernetesVersion+" --arch "+in.facts.Arch,
			"the bundle is for %s/%s, this host is %s/%s", in.contract.OS, in.contract.Arch, in.facts.OS, in.facts.Arch)
	}
}

func (in *inspection) version(context.Context) {
	for _, w := range in.s.Release.Warnings() {
		in.warn("KubernetesVersion", "", "%s", w)
	}
}

// hostname asks no DNS server: there is none.
func (in *inspection) hostname(context.Context) {
	name := in.s.registration().Name
	if name == "" {
		name = strings.ToLower(in.facts.Hostname)
	}
	for _, problem := range validation.IsDNS1123Subdomain(name) {
		in.fail("Hostname", "hostnamectl set-hostname NAME", "%q cannot be a node's name: %s (or give another one with --node-name)", name, problem)
	}
	if name == "localhost" || strings.HasPrefix(name, "localhost.") {
		in.fail("Hostname", "hostnamectl set-hostname NAME", "the host is called %s, as every host without a name is: nodes need different names", name)
	}
}

func (in *inspection) cpus(context.Context) {
	if in.controlPlane() && in.facts.CPUs < controlPlaneCPUs {
		in.failAdvise("NumCPU", "give the machine more", "%d CPU, a control plane needs %d", in.facts.CPUs, controlPlaneCPUs)
	}
}

func (in *inspection) memory(context.Context) {
	need := uint64(max(in.contract.Requirements.MemoryBytes, controlPlaneMemory))
	if in.controlPlane() && in.facts.MemoryBytes < need {
		in.failAdvise("Mem", "give the machine more", "%s of memory, a control plane needs %s", humanize.IBytes(in.facts.MemoryBytes), humanize.IBytes(need))
	}
}

// swap: the kubelet does not start while swap is on, unless it was told otherwise. A joining node is told by the cluster, so discovery
// makes the check.
func (in *inspection) swap(context.Context) {
	if len(in.facts.SwapDevices) == 0 || in.s.Join != nil {
		return
	}
	if in.s.Init != nil {
		if on, given := in.s.Init.KubeletConfig["failSwapOn"].(bool); given && !on {
			in.warn("Swap", "", "swap is on (%s), as failSwapOn: false allows", strings.Join(in.facts.SwapDevices, ", "))
			return
		}
	}
	in.add(swapProblem(in.facts.SwapDevices))
}

func swapProblem(devices []string) Problem {
	return Problem{
		Check: "Swap", Level: LevelError, Message: "swap is on (" + strings.Join(devices, ", ") + "): the kubelet does not start with it",
		Fix: "swapoff -a", Persist: `sed -i '/\sswap\s/s/^[^#]/#&/' /etc/fstab`,
		Advice: "or tell the kubelet failSwapOn: false in a KubeletConfiguration",
	}
}
