package phase

import (
	"context"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// Phase plans one of kubeadm's phases.
type Phase interface {
	Name() string // kubeadm's name: "certs", "control-plane", …
	// Plan reads only. It is called just before its steps run, with what earlier phases left in s.
	Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error)
}
