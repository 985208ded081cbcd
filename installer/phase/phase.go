package phase

import (
	"context"
	"slices"
	"strings"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// Phase plans one of kubeadm's phases.
type Phase interface {
	Name() string // kubeadm's name: "certs", "control-plane", …
	// Plan reads only. It is called just before its steps run, with what earlier phases left in s.
	Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error)
}

// InitPhases is `init`, top to bottom: kubeadm's order since v1.29, with ours between.
func InitPhases() []Phase {
	return []Phase{
		Preflight{},
		InstallBinaries{},
		IncludeFiles{},
		LoadImages{},
		KeepBundle{},
		Certs{},
		Kubeconfig{},
		Etcd{},
		ControlPlane{},
		KubeletStart{},
		ServiceRoute{}, // while the control plane comes up
		WaitControlPlane{},
		UploadConfig{},
		UploadCerts{},
		MarkControlPlane{},
		BootstrapToken{},
		KubeletFinalize{},
		CoreDNS{},
		KubeProxy{},
		ExtraManifests{},
		ShowJoinCommand{},
	}
}

// JoinPhases is `join` of a worker.
func JoinPhases() []Phase {
	return []Phase{
		Preflight{},
		Discovery{},
		InstallBinaries{},
		IncludeFiles{},
		LoadImages{},
		KeepBundle{},
		JoinKubeletStart{},
		ServiceRoute{}, // while the kubelet introduces itself
		KubeletWaitBootstrap{},
		WaitNode{},
	}
}

// Skipped reports whether a phase is in a --skip-phases list. A parent's name takes its children with it: "addon" is also "addon/coredns".
func Skipped(skip []string, name string) bool {
	return slices.ContainsFunc(skip, func(s string) bool {
		s = strings.ToLower(strings.TrimSpace(s))
		return s == name || strings.HasPrefix(name, s+"/")
	})
}
