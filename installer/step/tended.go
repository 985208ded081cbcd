package step

import "context"

// Tended is a step that changes what a running node has already: static pods, the kubelet's files, its unit. They are the cluster's, so a reset sweeps
// them away; were they journaled like files that an installation found, a reset would put the pods of a cluster back that is no more.
type Tended struct{ Step Step }

func (s Tended) String() string { return s.Step.String() }

// Satisfied asks the step.
func (s Tended) Satisfied(ctx context.Context, t *Target) (bool, error) {
	return s.Step.Satisfied(ctx, t)
}

// Apply applies the step.
func (s Tended) Apply(ctx context.Context, t *Target) error { return s.Step.Apply(ctx, t) }
