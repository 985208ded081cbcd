package phase

import (
	"context"
	"fmt"

	"kubebundle/bundle"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/release"
)

// LoadImages imports all images of the bundle, and makes sure that the runtime can start pods with them: its own sandbox image must be
// the bundle's, since it starts every pod with it, and its folder of CNI plugins the one that the bundle fills.
type LoadImages struct{}

// Name is ours.
func (LoadImages) Name() string { return "load-images" }

// Plan configures the runtime only when it was allowed to; otherwise a misfit is an error with the lines to change.
func (LoadImages) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, err := s.contract()
	if err != nil {
		return nil, err
	}
	if err := s.checkPayload(ctx); err != nil {
		return nil, err
	}
	info, err := s.runtimeInfo(ctx)
	if err != nil && s.DryRun { // preflight has told it, and was told to go on: that all images would be imported is true all the same
		return []step.Step{step.NewImages(c)}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask the container runtime: %w", err)
	}
	var steps []step.Step
	want := s.runtimeWant(c, info)
	if misfits := runtimeMisfits(info, want); len(misfits) > 0 {
		edit, err := s.runtimeEdit(ctx, r, info, want)
		if err != nil || !s.ConfigureRuntime {
			return nil, &RuntimeConfigError{Info: info, Misfits: misfits, Edit: edit, Err: err}
		}
		steps = append(steps, step.File{Path: edit.Path, Mode: edit.Mode, Data: edit.Data})
		// No lines to change: the file is right and the daemon is not, it runs since before the file changed.
		steps = append(steps, step.Unit{Name: edit.Unit, Start: true, Files: []string{edit.Path}, Anew: len(edit.Lines) == 0})
		steps = append(steps, runtimeAnswers(info.Name))
	}
	return append(steps, step.NewImages(c)), nil
}

// pauseImage is the bundle's sandbox image, "" if it has none.
func pauseImage(c *bundle.Contract) string {
	for _, img := range c.Images {
		if img.Component == string(release.Pause) {
			return img.Ref
		}
	}
	return ""
}
