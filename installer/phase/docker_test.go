package phase

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/bundle"
	"kubebundle/bundle/bundletest"
	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
	cruntime "kubebundle/runtime"
	"kubebundle/runtime/docker"
	"kubebundle/runtime/open"
)

const criDockerd = open.CRIDockerd

func dockerRuntime(driver string) *fakeRuntime {
	return &fakeRuntime{info: cruntime.Info{
		Name: "docker", Version: "20.10.24", Socket: docker.DefaultSocket, CgroupDriver: driver, Root: "/var/lib/docker",
	}}
}

// behind is a Docker with cri-dockerd in front.
func behind(driver, sandbox string) *fakeRuntime {
	rt := dockerRuntime(driver)
	rt.info.CRI, rt.info.SandboxImage = criDockerd, sandbox
	return rt
}

// dockerState is an init of a version with a CRI socket and the user's KubeletConfiguration.
func dockerState(t *testing.T, m *host.Memory, rt *fakeRuntime, v, socket, kubelet string) *State {
	t.Helper()
	text := fmt.Sprintf("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: %s\n---\n"+
		"apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n%s", v, kubelet)
	write(t, m, "/root/c.yaml", text)
	env := testEnvironment(m)
	env.KubernetesVersion, env.CRISocket = v, socket
	cfg, err := config.LoadInit(&config.InitFlags{Config: "/root/c.yaml"}, m.ReadFile, env)
	if err != nil {
		t.Fatal(err)
	}
	s := testState(t, rt)
	s.Init, s.Release, s.Contract = cfg, testRelease(t, v), testContract(t, v)
	return s
}

const (
	pause134   = "registry.k8s.io/pause:3.10.1"
	daemonLine = `"exec-opts": ["native.cgroupdriver=systemd"]`
)

func TestPreflightOfDocker(t *testing.T) {
	for _, c := range []struct {
		name, version, socket, kubelet string
		rt                             *fakeRuntime
		daemon                         string
		check                          string // "": nothing about the runtime
		says, advises                  []string
	}{
		{name: "dockershim takes Docker's driver", version: "v1.20.15", socket: open.Dockershim, rt: dockerRuntime("cgroupfs")},
		{name: "dockershim takes Docker's other driver", version: "v1.20.15", socket: open.Dockershim, rt: dockerRuntime("systemd")},
		{
			name: "dockershim, the user wants systemd", version: "v1.20.15", socket: open.Dockershim, rt: dockerRuntime("cgroupfs"), kubelet: "cgroupDriver: systemd\n",
			check: "CgroupDriver", says: []string{"Docker's cgroup driver is cgroupfs and the kubelet's is systemd", "KubeletConfiguration"},
			advises: []string{daemonLine, "/etc/docker/daemon.json", "systemctl restart docker", "cgroupDriver: cgroupfs"},
		},
		{
			name: "dockershim, the user wants cgroupfs", version: "v1.18.20", socket: open.Dockershim, rt: dockerRuntime("systemd"), kubelet: "cgroupDriver: cgroupfs\n",
			check: "CgroupDriver", says: []string{"is systemd and the kubelet's is cgroupfs"}, advises: []string{`"native.cgroupdriver=cgroupfs"`, "cgroupDriver: systemd"},
		},
		{
			name: "v1.23 wants systemd by itself", version: "v1.23.5", socket: open.Dockershim, rt: dockerRuntime("cgroupfs"),
			check: "CgroupDriver", says: []string{"the default of v1.23.5"}, advises: []string{daemonLine, "cgroupDriver: cgroupfs"},
		},
		{
			name: "other exec-opts are kept", version: "v1.23.5", socket: open.Dockershim, rt: dockerRuntime("cgroupfs"),
			daemon: `{"exec-opts": ["native.umask=normal", "native.cgroupdriver=cgroupfs"]}`,
			check:  "CgroupDriver", advises: []string{`"exec-opts": ["native.umask=normal", "native.cgroupdriver=systemd"]`},
		},
		{name: "v1.23, agreed", version: "v1.23.5", socket: open.Dockershim, rt: dockerRuntime("systemd")},
		{name: "cri-dockerd, agreed", version: "v1.34.4", socket: criDockerd, rt: behind("systemd", pause134)},
		{
			name: "cri-dockerd, Docker as it comes", version: "v1.34.4", socket: criDockerd, rt: behind("cgroupfs", pause134),
			check: "CgroupDriver", says: []string{"the default of v1.34.4"}, advises: []string{daemonLine, "cgroupDriver: cgroupfs"},
		},
		{name: "cri-dockerd, the user gives way", version: "v1.34.4", socket: criDockerd, rt: behind("cgroupfs", pause134), kubelet: "cgroupDriver: cgroupfs\n"},
		{name: "a kubelet that asks", version: "v1.34.4", socket: criDockerd, rt: tells(behind("cgroupfs", pause134))},
		{
			name: "a kubelet that does not ask", version: "v1.28.15", socket: criDockerd, rt: tells(behind("cgroupfs", "registry.k8s.io/pause:3.9")),
			check: "CgroupDriver", says: []string{"the default of v1.28.15"},
		},
		{
			name: "dockershim is gone", version: "v1.34.4", socket: open.Dockershim, rt: dockerRuntime("systemd"),
			check: "CRI", says: []string{"dockershim.sock", "v1.23 was the last", criDockerd}, advises: []string{"install cri-dockerd", "cri-docker.socket", "containerd"},
		},
		{
			name: "Docker's own socket", version: "v1.34.4", socket: docker.DefaultSocket, rt: dockerRuntime("systemd"),
			check: "CRI", says: []string{"Docker's own API", criDockerd}, advises: []string{"install cri-dockerd"},
		},
		{
			name: "Docker's own socket, old kubelet", version: "v1.20.15", socket: docker.DefaultSocket, rt: dockerRuntime("systemd"),
			check: "CRI", says: []string{"Docker's own API"}, advises: []string{open.Dockershim},
		},
		{
			name: "no cri-dockerd", version: "v1.34.4", socket: criDockerd, rt: &fakeRuntime{err: fmt.Errorf("%w at %s: no such file", docker.ErrNoCRI, criDockerd)},
			check: "CRI", says: []string{criDockerd, "cri-dockerd does not answer"}, advises: []string{"install cri-dockerd"},
		},
		{
			name: "no Docker", version: "v1.20.15", socket: open.Dockershim, rt: &fakeRuntime{err: errors.New("connect to docker at /var/run/docker.sock: refused")},
			check: "CRI", says: []string{"/var/run/docker.sock"}, advises: []string{"install Docker"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := goodHost(t)
			if c.daemon != "" {
				write(t, m, dockerConfig, c.daemon)
			}
			s := dockerState(t, m, c.rt, c.version, c.socket, c.kubelet)
			_, err := Preflight{}.Plan(t.Context(), s, m)
			if c.check == "" {
				for _, p := range s.Problems {
					if p.Check == "CRI" || p.Check == "CgroupDriver" || p.Check == "SandboxImage" {
						t.Errorf("reports %+v", p)
					}
				}
				return
			}
			var refused *PreflightError
			if !errors.As(err, &refused) {
				t.Fatalf("got %v, want a refusal", err)
			}
			p := find(t, s.Problems, c.check)
			for _, want := range c.says {
				if !strings.Contains(p.Message, want) {
					t.Errorf("says %q, want %q in it", p.Message, want)
				}
			}
			for _, want := range c.advises {
				if !strings.Contains(p.Advice, want) {
					t.Errorf("advises %q, want %q in it", p.Advice, want)
				}
			}
		})
	}
}

func tells(rt *fakeRuntime) *fakeRuntime {
	rt.info.TellsDriver = true
	return rt
}

// What is installed and asleep is to be started, not to be installed.
func TestPreflightWakesDocker(t *testing.T) {
	for unit, c := range map[string]struct {
		err error
		fix string
	}{
		"cri-docker.service": {fmt.Errorf("%w at %s", docker.ErrNoCRI, criDockerd), "systemctl enable --now cri-docker.socket cri-docker.service"},
		"docker.service":     {errors.New("connect to docker"), "systemctl enable --now docker"},
	} {
		m := goodHost(t)
		m.AddUnit(unit, host.UnitState{Exists: true})
		s := dockerState(t, m, &fakeRuntime{err: c.err}, "v1.34.4", criDockerd, "")
		if _, err := (Preflight{}).Plan(t.Context(), s, m); err == nil {
			t.Fatal("preflight lets it pass")
		}
		if p := find(t, s.Problems, "CRI"); p.Fix != c.fix {
			t.Errorf("got fix %q, want %q", p.Fix, c.fix)
		}
	}
}

// A joining node hears of it from discovery, which knows what the cluster tells its kubelets, and before anything is changed.
func TestDiscoveryChecksDockersDriver(t *testing.T) {
	for _, c := range []struct {
		name, kubelet, driver string
		refused               bool
	}{
		{"agreed", "cgroupDriver: cgroupfs\n", "cgroupfs", false},
		{"not agreed", "cgroupDriver: systemd\n", "cgroupfs", true},
		{"told nothing", "kind: KubeletConfiguration\n", "cgroupfs", true}, // by the cluster; the version's own default is systemd
	} {
		t.Run(c.name, func(t *testing.T) {
			m := goodHost(t)
			s := testState(t, behind(c.driver, pause134))
			s.Join = &config.Join{}
			s.KubeletCM = &corev1.ConfigMap{Data: map[string]string{"kubelet": c.kubelet}}
			s.KubeletCM.Name = "kubelet-config"
			err := s.checkKubeletConfig(t.Context(), m)
			var refused *PreflightError
			if errors.As(err, &refused) != c.refused {
				t.Fatalf("got %v", err)
			}
			if c.refused && (!strings.Contains(err.Error(), daemonLine) || strings.Contains(err.Error(), "--config")) {
				t.Errorf("got %v, want Docker's line alone: the cluster's configuration is not this node's to change", err)
			}
		})
	}
}

const criDockerdText = `[Unit]
Requires=cri-docker.socket

[Service]
Type=notify
ExecStart=/usr/bin/cri-dockerd --container-runtime-endpoint fd:// \
  --pod-infra-container-image registry.k8s.io/pause:3.9 --network-plugin=cni
Restart=always
`

func TestSandboxImageOfCRIDockerd(t *testing.T) {
	m, rt := goodHost(t), behind("systemd", "registry.k8s.io/pause:3.9")
	s := dockerState(t, m, rt, "v1.34.4", criDockerd, "")
	s.ConfigureRuntime = true
	if _, err := (Preflight{}).Plan(t.Context(), s, m); err == nil || !strings.Contains(err.Error(), "there is no unit cri-docker.service") {
		t.Errorf("got %v, want what cannot be edited", err)
	}

	write(t, m, "/usr/lib/systemd/system/cri-docker.service", criDockerdText)
	write(t, m, "/etc/systemd/system/cri-docker.service.d/10-site.conf", "[Service]\nExecStart=\nExecStart=/opt/cri-dockerd --pod-infra-container-image=x/y:1 --log-level debug\n")
	write(t, m, "/etc/systemd/system/cri-docker.service.d/"+ownDropIn, "[Service]\nExecStart=/of/another/version\n")
	const start = "ExecStart=/opt/cri-dockerd --log-level debug --pod-infra-container-image=registry.k8s.io/pause:3.10.1"
	s = dockerState(t, m, rt, "v1.34.4", criDockerd, "")
	if _, err := (Preflight{}).Plan(t.Context(), s, m); err == nil {
		t.Fatal("preflight lets it pass")
	}
	p := find(t, s.Problems, "SandboxImage")
	for _, want := range []string{"--configure-runtime", "cri-docker.service.d/" + ownDropIn, start, "systemctl daemon-reload && systemctl restart cri-docker.service"} {
		if !strings.Contains(p.Advice, want) {
			t.Errorf("advises %q, want %q in it", p.Advice, want)
		}
	}

	s = dockerState(t, m, rt, "v1.34.4", criDockerd, "")
	s.ConfigureRuntime = true
	if _, err := (Preflight{}).Plan(t.Context(), s, m); err != nil {
		t.Error(err)
	}
	steps, err := LoadImages{}.Plan(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := steps[0].(step.File)
	if !ok || string(f.Data) != "[Service]\nExecStart=\n"+start+"\n" {
		t.Errorf("got %v\n%s", steps[0], f.Data)
	}
	if u, ok := steps[1].(step.Unit); !ok || u.Name != "cri-docker.service" || !u.Start {
		t.Errorf("got %v, want a restart of cri-dockerd", steps[1])
	}
}

func TestCRIDockerdThatDoesNotTell(t *testing.T) {
	m := goodHost(t)
	s := dockerState(t, m, behind("systemd", ""), "v1.34.4", criDockerd, "")
	if _, err := (Preflight{}).Plan(t.Context(), s, m); err != nil {
		t.Fatal(err)
	}
	if p := find(t, s.Problems, "SandboxImage"); p.Level != LevelWarning || !strings.Contains(p.Advice, sandboxFlag+"="+pause134) {
		t.Errorf("got %+v", p)
	}
}

func TestExecStart(t *testing.T) {
	m := goodHost(t)
	write(t, m, "/usr/lib/systemd/system/a.service", criDockerdText)
	got, err := execStart(m, "a.service")
	if err != nil {
		t.Fatal(err)
	}
	if got = withFlag(got, sandboxFlag, "p:1"); got != "/usr/bin/cri-dockerd --container-runtime-endpoint fd:// --network-plugin=cni --pod-infra-container-image=p:1" {
		t.Errorf("got %q", got)
	}
}

func TestKeepBundle(t *testing.T) {
	m, rt := goodHost(t), behind("systemd", pause134)
	s := dockerState(t, m, rt, "v1.34.4", criDockerd, "")
	maker := bundletest.New("amd64")
	maker.File("bin/kubelet", 0o755, []byte("#!kubelet\n"))
	b, err := bundle.Open(bundletest.Unpack(t, maker.Write(t, t.TempDir()), t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	s.Bundle = b
	steps, err := KeepBundle{}.Plan(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	target := &step.Target{Host: m, Bundle: b}
	for _, st := range steps {
		if err := st.Apply(t.Context(), target); err != nil {
			t.Fatalf("%s: %v", st, err)
		}
		if ok, err := st.Satisfied(t.Context(), target); !ok || err != nil {
			t.Errorf("%s: not satisfied after it was applied (%v)", st, err)
		}
	}
	for _, p := range []string{imagesPath, timerPath} {
		text, err := m.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, path.Base(p), string(text))
	}
	// The copy's digests are looked at, not only its names.
	write(t, m, KeptBundle+"/payload.tar.zst", "rotten")
	if ok, err := steps[0].Satisfied(t.Context(), target); ok || err != nil {
		t.Errorf("a damaged copy counts as there (%v)", err)
	}

	// The copy's size is asked for, until it is there.
	m2 := goodHost(t)
	m2.Free = uint64(s.Contract.Requirements.DiskBytes) + 10
	s = dockerState(t, m2, rt, "v1.34.4", criDockerd, "")
	s.Bundle, s.payloadChecked = b, true
	s.Contract = testContract(t, "v1.34.4")
	if _, err := (Preflight{}).Plan(t.Context(), s, m2); err == nil || !strings.Contains(err.Error(), "the copy of it that is kept") {
		t.Errorf("got %v, want the copy's room asked for", err)
	}
	write(t, m2, KeptBundle+"/install", "")
	s = dockerState(t, m2, rt, "v1.34.4", criDockerd, "")
	s.Bundle, s.payloadChecked = b, true
	if _, err := (Preflight{}).Plan(t.Context(), s, m2); err != nil {
		t.Error(err)
	}

	// containerd pins.
	s = initState(t, goodHost(t), goodRuntime())
	if steps, err := (KeepBundle{}).Plan(t.Context(), s, m); err != nil || len(steps) > 0 {
		t.Errorf("on containerd: %v, %v", steps, err)
	}
}

// A containerd before 1.7.3 does not tell the kubelet what is pinned: its images are kept as Docker's are.
func TestKeepBundleForContainerdWithoutPins(t *testing.T) {
	for v, want := range map[string]bool{"1.6.20": true, "1.7.2": true, "1.7.3": false, "1.7.28": false, "2.2.0": false, "": false} {
		if got := forgets(cruntime.Info{Name: "containerd", Version: v}); got != want {
			t.Errorf("containerd %q forgets: %v, want %v", v, got, want)
		}
	}
	unit := imagesService(cruntime.Info{Name: "containerd", Socket: "unix:///run/containerd/containerd.sock"})
	for _, want := range []string{"After=containerd.service", "--cri-socket unix:///run/containerd/containerd.sock", "images that containerd loses"} {
		if !strings.Contains(unit, want) {
			t.Errorf("%q is not in\n%s", want, unit)
		}
	}
}
