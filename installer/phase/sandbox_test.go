package phase

import (
	"errors"
	"strings"
	"testing"

	"kubebundle/installer/step"
)

const debianConfig = `version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
      conf_dir = "/etc/cni/net.d"
`

func TestRuntimeThatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		name    string
		breaks  func(rt *fakeRuntime)
		config  string
		check   string
		lines   string // in the hint
		changed string // in the file
	}{
		{
			"sandbox image", func(rt *fakeRuntime) { rt.info.Version, rt.info.SandboxImage = "1.7.28", "registry.k8s.io/pause:3.6" }, "version = 2\n", "SandboxImage",
			`sandbox_image = "registry.k8s.io/pause:3.10.1"`, `sandbox_image = "registry.k8s.io/pause:3.10.1"`,
		},
		{
			"CNI folder", func(rt *fakeRuntime) { rt.info.Version, rt.info.CNIBinDirs = "1.7.28", []string{"/usr/lib/cni"} }, debianConfig, "CNIBinDir",
			`bin_dir = "/opt/cni/bin"`, `bin_dir = "/opt/cni/bin"`,
		},
		{
			"cgroup driver", func(rt *fakeRuntime) {
				rt.info.Version, rt.info.CgroupDriver, rt.info.TellsDriver = "1.6.20", "cgroupfs", false
			}, "version = 2\n", "CgroupDriver",
			"SystemdCgroup = true", "SystemdCgroup = true",
		},
		{
			"CRI off", func(rt *fakeRuntime) { rt.info.Root, rt.info.SandboxImage, rt.info.CgroupDriver = "", "", "" }, "disabled_plugins = [\"cri\"]\nversion = 2\n", "CRI",
			"disabled_plugins = []", "disabled_plugins = []",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, rt := goodHost(t), goodRuntime()
			c.breaks(rt)
			write(t, m, "/etc/containerd/config.toml", c.config)
			s := initState(t, m, rt)

			_, err := Preflight{}.Plan(t.Context(), s, m)
			if err == nil {
				t.Fatal("preflight lets it pass")
			}
			if p := find(t, s.Problems, c.check); !strings.Contains(p.Advice, c.lines) || !strings.Contains(p.Advice, "--configure-runtime") {
				t.Errorf("got advice %q, want %q in it", p.Advice, c.lines)
			}

			_, err = LoadImages{}.Plan(t.Context(), s, m) // preflight was skipped
			var misfit *RuntimeConfigError
			if !errors.As(err, &misfit) || !strings.Contains(misfit.Hint(), c.lines) {
				t.Fatalf("got %v", err)
			}

			s = initState(t, m, rt)
			s.ConfigureRuntime = true
			if _, err := (Preflight{}).Plan(t.Context(), s, m); err != nil {
				t.Error(err)
			}
			steps, err := LoadImages{}.Plan(t.Context(), s, m)
			if err != nil {
				t.Fatal(err)
			}
			f, ok := steps[0].(step.File)
			if !ok || f.Path != "/etc/containerd/config.toml" || !strings.Contains(string(f.Data), c.changed) || f.Mode != 0o600 {
				t.Errorf("got %v\n%s", steps[0], f.Data)
			}
			if u, ok := steps[1].(step.Unit); !ok || u.Name != "containerd.service" || !u.Start {
				t.Errorf("got %v, want a restart of containerd", steps[1])
			}
			if _, ok := steps[len(steps)-1].(step.Images); !ok {
				t.Error("the images are not loaded after it")
			}
		})
	}
}

func TestRuntimeConfigThatCannotBeEdited(t *testing.T) {
	m, rt := goodHost(t), goodRuntime()
	rt.info.SandboxImage = "registry.k8s.io/pause:3.6"
	write(t, m, "/etc/containerd/config.toml", "[plugins.cri]\nsandbox_image = \"x\"\n") // version 1
	s := initState(t, m, rt)
	s.ConfigureRuntime = true
	_, err := Preflight{}.Plan(t.Context(), s, m)
	if err == nil || !strings.Contains(err.Error(), "[SandboxImage]") || !strings.Contains(err.Error(), "containerd config migrate") {
		t.Errorf("got %v", err)
	}
}

func TestCgroupDriverCountsOnlyWhereItMust(t *testing.T) {
	for name, c := range map[string]struct {
		breaks func(s *State, rt *fakeRuntime)
	}{
		"containerd 2 is asked by the kubelet": {func(_ *State, _ *fakeRuntime) {}},
		"cgroup v1":                            {func(s *State, rt *fakeRuntime) { s.Facts.CgroupVersion, rt.info.TellsDriver = 1, false }},
		"an old kubelet is told the runtime's": {func(s *State, rt *fakeRuntime) { s.Release, rt.info.TellsDriver = testRelease(t, "v1.20.15"), false }},
		"the user wants cgroupfs": {func(s *State, rt *fakeRuntime) {
			s.Init.KubeletConfig = map[string]any{"cgroupDriver": "cgroupfs"}
			rt.info.TellsDriver = false
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m, rt := goodHost(t), goodRuntime()
			rt.info.CgroupDriver = "cgroupfs"
			s := initState(t, m, rt)
			s.Facts = m.FactsValue
			c.breaks(s, rt)
			if misfits := runtimeMisfits(rt.info, s.runtimeWant(s.Contract, rt.info)); len(misfits) > 0 {
				t.Errorf("got %v", misfits)
			}
		})
	}
}

// What is missing when preflight's errors are ignored: a run ends there, a dry run tells what it would do.
func TestLoadImagesWithoutRuntime(t *testing.T) {
	m, rt := goodHost(t), goodRuntime()
	rt.err = errors.New("nobody answers")
	for _, p := range []Phase{LoadImages{}, KeepBundle{}} {
		if steps, err := p.Plan(t.Context(), initState(t, m, rt), m); !errors.Is(err, rt.err) {
			t.Errorf("%s: got %v and error %v, want %v", p.Name(), steps, err, rt.err)
		}
	}
	s := initState(t, m, rt)
	s.DryRun = true
	if _, plan := planAll(t, []Phase{LoadImages{}, KeepBundle{}}, s, m); !strings.HasPrefix(plan, "load-images: load 7 images") || strings.Count(plan, "\n") != 1 {
		t.Errorf("the plan is %q", plan)
	}
}
