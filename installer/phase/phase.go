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

// Composite is a phase whose parts have names of their own, as kubeadm's sub-phases do: "certs/ca". They can be left out and chosen
// one by one; the phase asks State which of them are wanted.
type Composite interface {
	Phase
	// Parts are the names below the phase's own: "ca" for "certs/ca".
	Parts() []string
}

// Names are all names by which phases can be chosen or left out, in order: each phase, then its parts.
func Names(phases []Phase) []string {
	var out []string
	for _, p := range phases {
		out = append(out, p.Name())
		if c, ok := p.(Composite); ok {
			for _, part := range c.Parts() {
				out = append(out, p.Name()+"/"+part)
			}
		}
	}
	return out
}

// Chosen reports whether a phase is to run where only some are: by its own name, its parent's, or that of one of its parts. An empty
// list chooses all.
func Chosen(only []string, name string) bool {
	return len(only) == 0 || Skipped(only, name) || slices.ContainsFunc(only, func(o string) bool { return strings.HasPrefix(o, name+"/") })
}

// chosenPart reports the same of a part of a phase that runs: where only parts of it were named, the others are not wanted.
func chosenPart(only []string, phase, part string) bool {
	return Skipped(only, phase+"/"+part) || !slices.ContainsFunc(only, func(o string) bool { return strings.HasPrefix(o, phase+"/") })
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
		VirtualIP{},
		KubeletStart{},
		ServiceRoute{}, // while the control plane comes up
		WaitControlPlane{},
		UploadConfig{},
		UploadVirtualIP{},
		UploadCerts{},
		MarkControlPlane{},
		BootstrapToken{},
		KubeletFinalize{},
		CoreDNS{},
		KubeProxy{},
		ExtraManifests{},
		SelfHosting{},
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
