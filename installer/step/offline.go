package step

import (
	"context"
	"fmt"

	"kubebundle/installer/host"
)

// Portable is implemented by steps that a tree of files which does not run can take, wholly or in part. All others wait until it runs.
type Portable interface {
	// Offline gives what can be done now, nil for nothing, and says what is left for the running machine, "" for nothing.
	Offline() (now Step, later string)
}

// Offline implements Portable.
func (s File) Offline() (Step, string) { return s, "" }

// Offline implements Portable.
func (s Dir) Offline() (Step, string) { return s, "" }

// Offline implements Portable.
func (s Link) Offline() (Step, string) { return s, "" }

// Offline implements Portable.
func (s Remove) Offline() (Step, string) { return s, "" }

// Offline implements Portable.
func (s Binaries) Offline() (Step, string) { return s, "" }

// Offline implements Portable: a unit can be enabled, which is a link, and not started.
func (s Unit) Offline() (Step, string) {
	if !s.Enable {
		return nil, s.String()
	}
	if !s.Start {
		return s, ""
	}
	return Unit{Name: s.Name, Enable: true}, Unit{Name: s.Name, Start: true}.String()
}

// Later stands for what cannot even be planned before the machine runs.
type Later struct{ What string }

func (s Later) String() string { return s.What }

// Satisfied never is.
func (s Later) Satisfied(context.Context, *Target) (bool, error) { return false, nil }

// Apply cannot be.
func (s Later) Apply(context.Context, *Target) error {
	return fmt.Errorf("%s: %w", s.What, host.ErrNotRunning)
}
