package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"kubebundle/bundle"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	cruntime "kubebundle/runtime"
	"kubebundle/runtime/containerd"
)

// cniBinDir is where the bundle's CNI plugins go, and where upstream's runtimes look for them. Some distributions' look elsewhere.
const cniBinDir = "/opt/cni/bin"

// runtimeRestart is how long a restarted runtime may take until it answers; it first looks after the containers that go on running.
const runtimeRestart = 90 * time.Second

// RuntimeMisfit is one thing that the runtime's configuration must say differently before a pod of this bundle can start.
type RuntimeMisfit struct {
	Check string // preflight's name of it: SandboxImage, CNIBinDir, CgroupDriver, CRI
	What  string
}

// runtimeWant is what this installation needs of the runtime's configuration. The cgroup driver counts only where the kubelet and the
// runtime cannot agree by themselves: from v1.31 on the kubelet asks, and from 2.0 on containerd answers (KEP-4033). On cgroup v2 two
// drivers make two owners of one hierarchy, and pods are killed at random; on v1 it is bad style that works.
func (s *State) runtimeWant(c *bundle.Contract, info cruntime.Info) containerd.Want {
	want := containerd.Want{SandboxImage: pauseImage(c), CNIBinDir: cniBinDir}
	asks := info.TellsDriver && s.version().Minor() >= asksDriver
	if !asks && s.Facts.CgroupVersion == 2 {
		want.CgroupDriver, _ = s.kubeletDriver(info)
	}
	return want
}

// asksDriver is the first minor whose kubelet asks the runtime for the cgroup driver unless it is told not to (KEP-4033).
const asksDriver = 31

// kubeletDriver is the cgroup driver that the kubelet of this node is told, and who says so.
func (s *State) kubeletDriver(info cruntime.Info) (driver, said string) {
	for _, a := range s.registration().KubeletExtraArgs {
		if a.Name == "cgroup-driver" {
			return a.Value, "kubeletExtraArgs cgroup-driver"
		}
	}
	var cfg map[string]any
	said = "cgroupDriver in the KubeletConfiguration"
	switch {
	case s.Init != nil:
		cfg = s.Init.KubeletConfig
	case s.KubeletCM != nil:
		said = "cgroupDriver in ConfigMap kube-system/" + s.KubeletCM.Name
		if err := yaml.Unmarshal([]byte(s.KubeletCM.Data["kubelet"]), &cfg); err != nil {
			s.log().Debug("the cluster's kubelet configuration cannot be read", "err", err)
		}
	}
	if d, ok := cfg["cgroupDriver"].(string); ok && d != "" {
		return d, said
	}
	if s.version().Minor() < 22 && info.CgroupDriver != "" {
		return info.CgroupDriver, "the runtime's" // given to it as a flag: manifests.KubeletFiles
	}
	return manifests.KubeletCgroupDriver(s.Release.Version), "the default of v" + s.version().String()
}

// runtimeMisfits compares what the runtime says about itself with what the bundle needs.
func runtimeMisfits(info cruntime.Info, want containerd.Want) []RuntimeMisfit {
	var out []RuntimeMisfit
	if want.SandboxImage != "" && info.SandboxImage != "" && info.SandboxImage != want.SandboxImage {
		out = append(out, RuntimeMisfit{"SandboxImage", fmt.Sprintf("it starts every pod with sandbox image %s, and the bundle has %s", info.SandboxImage, want.SandboxImage)})
	}
	if info.Name != "containerd" {
		return out // dockershim is told by the kubelet; for Docker's cgroup driver see dockerDriver
	}
	// A containerd that answers, and tells nothing of what only CRI knows, has CRI switched off: Docker's packages ship it so.
	if info.Root == "" && info.SandboxImage == "" && info.CgroupDriver == "" {
		return []RuntimeMisfit{{"CRI", "its CRI plugin is switched off, so the kubelet cannot use it"}}
	}
	if want.CgroupDriver != "" && info.CgroupDriver != "" && info.CgroupDriver != want.CgroupDriver {
		out = append(out, RuntimeMisfit{"CgroupDriver", fmt.Sprintf("its cgroup driver is %s and the kubelet's is %s, which on cgroup v2 kills pods at random", info.CgroupDriver, want.CgroupDriver)})
	}
	if len(info.CNIBinDirs) > 0 && !slices.Contains(info.CNIBinDirs, want.CNIBinDir) {
		out = append(out, RuntimeMisfit{"CNIBinDir", fmt.Sprintf("it looks for CNI plugins in %s, and the bundle installs them to %s", strings.Join(info.CNIBinDirs, ", "), want.CNIBinDir)})
	}
	return out
}

// ConfigEdit is a configuration file of the runtime as it should be.
type ConfigEdit struct {
	Unit  string // reads it
	Path  string
	Mode  fs.FileMode
	Data  []byte
	Lines []string // what changes, one line each
}

// runtimeEdit is the runtime's configuration with what the bundle needs.
func (s *State) runtimeEdit(ctx context.Context, r host.Reader, info cruntime.Info, want containerd.Want) (*ConfigEdit, error) {
	if info.Name == "docker" {
		return criDockerdEdit(r, want.SandboxImage)
	}
	e := &ConfigEdit{Unit: "containerd.service", Path: containerd.DefaultConfig, Mode: 0o644}
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
	e.Data, e.Lines, err = containerd.Configure(info.Version, want, have)
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
		return fmt.Sprintf("%s is right already: systemctl restart %s", e.Edit.Path, e.Edit.Unit)
	}
	// "[table]: key = value" as it stands in a file: the table's header, then its line.
	toml := strings.ReplaceAll(strings.Join(e.Edit.Lines, "\n"), "]: ", "]\n")
	reload := ""
	if step.InUnitDir(e.Edit.Path) {
		reload = "systemctl daemon-reload && "
	}
	return fmt.Sprintf("run again with --configure-runtime, or write into %s\n    %s\nand run: %ssystemctl restart %s",
		e.Edit.Path, strings.ReplaceAll(toml, "\n", "\n    "), reload, e.Edit.Unit)
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
