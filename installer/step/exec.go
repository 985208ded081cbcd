package step

import (
	"context"

	"kubebundle/installer/host"
)

// Exec runs a command. Secrets go through Stdin.
type Exec struct {
	What    string // "load kernel module br_netfilter"
	Command host.Command
	// Done tells whether the command's effect is there already; nil means it always runs.
	Done func(ctx context.Context, r host.Reader) (bool, error)
}

func (s Exec) String() string { return s.What + ": " + s.Command.String() }

// Satisfied asks Done.
func (s Exec) Satisfied(ctx context.Context, t *Target) (bool, error) {
	if s.Done == nil {
		return false, nil
	}
	return s.Done(ctx, t.Host)
}

// Apply runs the command.
func (s Exec) Apply(ctx context.Context, t *Target) error {
	_, err := t.Host.Run(ctx, s.Command)
	return err
}
