package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"kubebundle/bundle"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/release"
	cruntime "kubebundle/runtime"
)

// LoadImages imports all images of the bundle, and makes sure that the runtime's own sandbox image is among them: the runtime starts
// every pod with it, and where it names another one than the bundle's no pod ever starts.
type LoadImages struct{}

// Name is ours.
func (LoadImages) Name() string { return "load-images" }

// Plan configures the runtime only when it was allowed to; otherwise a wrong sandbox image is an error with the lines to change.
func (LoadImages) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, err := s.contract()
	if err != nil {
		return nil, err
	}
	info, err := s.runtimeInfo(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the container runtime: %w", err)
	}
	var steps []step.Step
	if want := pauseImage(c); sandboxDiffers(info, want) {
		edit, err := sandboxEdit(r, info, want)
		if err != nil {
			return nil, err
		}
		if !s.ConfigureRuntime {
			return nil, &SandboxError{Info: info, Want: want, Edit: edit}
		}
		steps = append(steps,
			step.File{Path: edit.Path, Mode: edit.Mode, Data: edit.Data},
			step.Unit{Name: info.Name + ".service", Start: true, Files: []string{edit.Path}},
			runtimeAnswers(info.Name))
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

// sandboxDiffers is false for a runtime without a sandbox image of its own (Docker: the kubelet tells it).
func sandboxDiffers(info cruntime.Info, want string) bool {
	return want != "" && info.SandboxImage != "" && info.SandboxImage != want
}

// runtimeAnswers waits until a restarted runtime can be asked again.
func runtimeAnswers(name string) step.Await {
	return step.Await{
		What: name + " to answer again", Timeout: runtimeRestart, Hint: "systemctl status " + name,
		Check: func(ctx context.Context, t *step.Target) error {
			rt, err := t.Runtime(ctx)
			if err != nil {
				return err
			}
			_, err = rt.Info(ctx)
			return err
		},
	}
}

// ConfigEdit is a configuration file of the runtime as it should be.
type ConfigEdit struct {
	Path  string
	Mode  fs.FileMode
	Data  []byte
	Lines string // what differs, as lines that a person can write
}

// SandboxError says that the runtime would start pods with an image that is not in the bundle.
type SandboxError struct {
	Info cruntime.Info
	Want string
	Edit ConfigEdit
}

func (e *SandboxError) Error() string {
	return fmt.Sprintf("%s starts every pod with sandbox image %s, and the bundle has %s", e.Info.Name, e.Info.SandboxImage, e.Want)
}

// Hint is the exact change.
func (e *SandboxError) Hint() string {
	return fmt.Sprintf("run again with --configure-runtime, or change %s to hold\n%s\nand run: systemctl restart %s",
		e.Edit.Path, indent(e.Edit.Lines), e.Info.Name)
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ")
}

// errNoSandboxEdit is for runtimes whose configuration is not known here.
var errNoSandboxEdit = errors.New("its configuration is not known here: set its sandbox image by hand")
