package phase

import (
	"context"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// InstallBinaries puts the node's programs, the CNI plugins and the kubelet's unit from the payload into place. kubeadm leaves this to
// packages, which a host without network does not get.
type InstallBinaries struct{}

// Name is ours.
func (InstallBinaries) Name() string { return "install-binaries" }

// Plan is one step: it streams the payload once.
func (InstallBinaries) Plan(ctx context.Context, s *State, _ host.Reader) ([]step.Step, error) {
	c, err := s.contract()
	if err != nil {
		return nil, err
	}
	if err := s.checkPayload(ctx); err != nil {
		return nil, err
	}
	return []step.Step{step.NewBinaries(c)}, nil
}
