package builder

import (
	"k8s.io/apimachinery/pkg/util/version"

	"kubebundle/bundle"
)

// requirements says what a host needs, but for the disk, which bundle.Write counts.
func requirements(v *version.Version) bundle.Requirements {
	r := bundle.Requirements{
		// kubeadm's Mem check (cmd/kubeadm/app/constants: ControlPlaneMem, 1700 MB).
		MemoryBytes: 1700 << 20,
		// Kubernetes' page on container runtimes; overlay carries the snapshots, br_netfilter lets kube-proxy see bridged packets.
		KernelModules: []string{"br_netfilter", "overlay"},
		Ports:         []int{2379, 2380, 6443, 10250, 10257, 10259},
		WorkerPorts:   []int{10250},
	}
	// The secure ports of controller-manager and scheduler took over from 10252 and 10251 in kubeadm v1.17.
	if v.Major() == 1 && v.Minor() < 17 {
		r.Ports = []int{2379, 2380, 6443, 10250, 10251, 10252}
	}
	return r
}
