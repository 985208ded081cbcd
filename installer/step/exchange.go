package step

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Exchange changes what a unit reads and runs while the unit does not run: it is stopped, the changes are made, what it has left running is ended, and
// it is started. The end comes last, so that what the unit has left running serves as long as it can.
//
// It is one step because its parts say nothing by themselves. Where all files are as they should be, only a unit that runs tells that what ran before
// the change was ended: whoever was killed in between has left the unit down.
type Exchange struct {
	Change []Step
	End    []Step
	Unit   Unit // how it is to come up
}

// Steps are its parts, in their order.
func (s Exchange) Steps() []Step {
	out := []Step{Tended{StopUnit{Name: s.Unit.Name}}}
	out = append(out, s.Change...)
	out = append(out, s.End...)
	return append(out, Tended{s.Unit})
}

func (s Exchange) String() string {
	parts := make([]string, 0, len(s.Change)+len(s.End))
	for _, st := range append(append([]Step{}, s.Change...), s.End...) {
		parts = append(parts, st.String())
	}
	return fmt.Sprintf("while %s is stopped: %s", s.Unit.Name, strings.Join(parts, "; "))
}

// Satisfied if nothing is to be changed, and the unit runs what it was changed to.
func (s Exchange) Satisfied(ctx context.Context, t *Target) (bool, error) {
	for _, st := range append([]Step{s.Unit}, s.Change...) {
		if ok, err := st.Satisfied(ctx, t); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// Apply takes one part after the other. Whatever fails, the unit is started again; and what cannot be ended is left to the unit, which is slower.
func (s Exchange) Apply(ctx context.Context, t *Target) error {
	if err := applyPart(ctx, t, StopUnit{Name: s.Unit.Name}); err != nil {
		return err
	}
	var failed error
	for _, st := range s.Change {
		if failed = applyPart(ctx, t, st); failed != nil {
			break
		}
	}
	if failed == nil {
		for _, st := range s.End {
			if err := applyPart(ctx, t, st); err != nil && t.Log != nil {
				t.Log.Warn("left to "+s.Unit.Name, "err", err)
			}
		}
	}
	return errors.Join(failed, applyPart(context.WithoutCancel(ctx), t, s.Unit), ctx.Err())
}

func applyPart(ctx context.Context, t *Target, st Step) error {
	ok, err := st.Satisfied(ctx, t)
	if err == nil && !ok {
		err = st.Apply(ctx, t)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", st, err)
	}
	return nil
}

// Before implements Undoer.
func (s Exchange) Before(ctx context.Context, t *Target) ([]Record, error) {
	var out []Record
	for _, st := range s.Steps() {
		u, ok := st.(Undoer)
		if !ok {
			continue
		}
		recs, err := u.Before(ctx, t)
		if err != nil {
			return nil, err
		}
		out = append(out, recs...)
	}
	return out, nil
}
