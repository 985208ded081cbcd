package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	cruntime "kubebundle/runtime"
	"kubebundle/runtime/containerd"
)

// cniBinDir is where the bundle's CNI plugins go, and where upstream's runtimes look for them. Some distributions' look elsewhere.
const cniBinDir = "/opt/cni/bin"

// runtimeRestart is how long a restarted runtime may take until it answers; it first looks after the containers that go on running.
const runtimeRestart = 90 * time.Second

// RuntimeMisfit is one thing that the runtime's configuration must say differently before a pod of this bundle can start.
type RuntimeMisfit struct {
	Check string // preflight's name of it: SandboxImage, CNIBinDir, CRI
	What  string
}

// runtimeMisfits compares what the runtime says about itself with what the bundle needs. sandbox is the bundle's pause image.
func runtimeMisfits(info cruntime.Info, sandbox string) []RuntimeMisfit {
	if info.Name != "containerd" {
		return nil // Docker is told by the kubelet
	}
	// A containerd that answers, and tells nothing of what only CRI knows, has CRI switched off: Docker's packages ship it so.
	if info.Root == "" && info.SandboxImage == "" && info.CgroupDriver == "" {
		return []RuntimeMisfit{{"CRI", "its CRI plugin is switched off, so the kubelet cannot use it"}}
	}
	var out []RuntimeMisfit
	if sandbox != "" && info.SandboxImage != "" && info.SandboxImage != sandbox {
		out = append(out, RuntimeMisfit{"SandboxImage", fmt.Sprintf("it starts every pod with sandbox image %s, and the bundle has %s", info.SandboxImage, sandbox)})
	}
	if len(info.CNIBinDirs) > 0 && !slices.Contains(info.CNIBinDirs, cniBinDir) {
		out = append(out, RuntimeMisfit{"CNIBinDir", fmt.Sprintf("it looks for CNI plugins in %s, and the bundle installs them to %s", strings.Join(info.CNIBinDirs, ", "), cniBinDir)})
	}
	return out
}

// ConfigEdit is a configuration file of the runtime as it should be.
type ConfigEdit struct {
	Path  string
	Mode  fs.FileMode
	Data  []byte
	Lines []string // what changes, one line each
}

// runtimeEdit is the runtime's configuration with what the bundle needs.
func (s *State) runtimeEdit(ctx context.Context, r host.Reader, info cruntime.Info, sandbox string) (*ConfigEdit, error) {
	e := &ConfigEdit{Path: containerd.DefaultConfig, Mode: 0o644}
	rt, err := s.Runtime(ctx)
	if err != nil {
		return nil, err
	}
	// The daemon knows best which file it reads.
	if f, ok := rt.(interface{ ConfigFile() (string, error) }); ok {
		if p, err := f.ConfigFile(); err == nil {
			e.Path = p
		}
	}
	have, err := r.ReadFile(e.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if fi, err := r.Stat(e.Path); err == nil {
		e.Mode = fi.Mode().Perm()
	}
	e.Data, e.Lines, err = containerd.Configure(info.Version, containerd.Want{SandboxImage: sandbox, CNIBinDir: cniBinDir}, have)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Path, err)
	}
	return e, nil
}

// RuntimeConfigError says that pods of the bundle could not start with the runtime as it is configured.
type RuntimeConfigError struct {
	Info    cruntime.Info
	Misfits []RuntimeMisfit
	Edit    *ConfigEdit // nil where Err says why not
	Err     error
}

func (e *RuntimeConfigError) Error() string {
	var what []string
	for _, m := range e.Misfits {
		what = append(what, m.What)
	}
	return e.Info.Name + ": " + strings.Join(what, "; ")
}

// Unwrap gives the reason why the file cannot be edited, if so.
func (e *RuntimeConfigError) Unwrap() error { return e.Err }

// Hint is the exact change.
func (e *RuntimeConfigError) Hint() string {
	if e.Edit == nil {
		return e.Err.Error()
	}
	if len(e.Edit.Lines) == 0 {
		// The file says the right thing already: the daemon has not read it, or another file overrides it.
		return fmt.Sprintf("%s is right already: systemctl restart %s", e.Edit.Path, e.Info.Name)
	}
	return fmt.Sprintf("run again with --configure-runtime, or write into %s\n    %s\nand run: systemctl restart %s",
		e.Edit.Path, strings.Join(e.Edit.Lines, "\n    "), e.Info.Name)
}

// runtimeAnswers waits until a restarted runtime can be asked again.
func runtimeAnswers(name string) step.Await {
	return step.Await{
		What: name + " to answer again", Timeout: runtimeRestart, Interval: 200 * time.Millisecond, Hint: "systemctl status " + name,
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
