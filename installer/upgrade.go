package installer

import (
	"context"
	"errors"
	"fmt"

	"kubebundle/installer/phase"
)

// Upgrade is `install upgrade apply`, and `upgrade node` of a control plane, top to bottom.
func Upgrade() []phase.Phase { return phase.UpgradePhases() }

// UpgradeWorker is `install upgrade node` of a worker.
func UpgradeWorker() []phase.Phase { return phase.UpgradeWorkerPhases() }

// UpgradeBack is the way back from an upgrade that did not succeed.
func UpgradeBack() []phase.Phase { return phase.UpgradeBackPhases() }

// rollback is how the way back is called in the journal and in errors.
const rollback = "upgrade rollback"

// RolledBackError says that an upgrade failed and that the node is what it was.
type RolledBackError struct {
	Version string // what the node is again
	Err     error  // why the upgrade failed
}

func (e *RolledBackError) Error() string {
	return fmt.Sprintf("%v\nthe node is what it was: Kubernetes %s serves again", e.Err, e.Version)
}

// Unwrap gives the cause.
func (e *RolledBackError) Unwrap() error { return e.Err }

// Hint says where to look.
func (e *RolledBackError) Hint() string {
	hint := "what the components said is kept in " + phase.UpgradeLogs + "; remove the cause and run the same command again"
	if h := Hint(e.Err); h != "" {
		hint = h + "\n" + hint
	}
	return hint
}

// RunUpgrade runs an upgrade. When it fails after it has begun to change the node, the node is brought back to what it was: then the error is a
// *RolledBackError, or if the way back failed too a *PartialError. Who interrupts an upgrade decides himself: the same command goes on, and
// `upgrade rollback` goes back.
func (e *Engine) RunUpgrade(ctx context.Context, phases []phase.Phase, s *phase.State) (Summary, error) {
	sum, err := e.Run(ctx, phases, s)
	if err == nil || ctx.Err() != nil {
		return sum, err
	}
	from, _, readErr := phase.PendingUpgrade(e.Target.Host)
	if from == "" && readErr == nil {
		return sum, early(err)
	}
	cause := err
	var part *PartialError
	if errors.As(err, &part) { // the node will not be half-way
		cause = fmt.Errorf("%s: phase %s: %s: %w", part.Workflow, part.Phase, part.Step, part.Err)
		if part.Step == "" {
			cause = fmt.Errorf("%s: phase %s: %w", part.Workflow, part.Phase, part.Err)
		}
	}
	if readErr != nil {
		return sum, &PartialError{Workflow: rollback, Phase: "rollback", Err: errors.Join(cause, readErr)}
	}
	if s.Progress != nil {
		e.emit(Event{Phase: "rollback", State: Progress, What: cause.Error()})
	}
	if err := e.RunBack(ctx, s, from); err != nil {
		var back *PartialError
		if errors.As(err, &back) {
			err = back.Err
		}
		return sum, &PartialError{Workflow: e.Workflow, Phase: "rollback", Err: fmt.Errorf("%w\nand the way back failed: %w", cause, err)}
	}
	return sum, &RolledBackError{Version: from, Err: cause}
}

// RunBack brings a node back to the version that an upgrade found.
func (e *Engine) RunBack(ctx context.Context, s *phase.State, version string) error {
	back := *e
	back.Workflow, back.Version, back.Skip, back.Only, back.began = rollback, version, nil, nil, false
	_, err := back.Run(ctx, UpgradeBack(), s)
	return err
}

// early takes from an error that it is half-way, if it came before the note that an upgrade has begun: images, staged programs and copies have changed
// nothing that the node uses.
func early(err error) error {
	var part *PartialError
	if !errors.As(err, &part) {
		return err
	}
	switch part.Phase {
	case phase.LoadImages{}.Name(), phase.StageBinaries{}.Name(), phase.UpgradeBackup{}.Name():
	default:
		return err
	}
	if part.Step == "" {
		return fmt.Errorf("phase %s: %w", part.Phase, part.Err)
	}
	return fmt.Errorf("phase %s: %s: %w", part.Phase, part.Step, part.Err)
}
