package phase

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	cruntime "kubebundle/runtime"
)

func TestPreflightAcceptsAGoodHost(t *testing.T) {
	m := goodHost(t)
	s := initState(t, m, goodRuntime())
	steps, err := Preflight{}.Plan(t.Context(), s, m)
	if err != nil || len(steps) > 0 || len(s.Problems) > 0 {
		t.Errorf("got %v, %v, %v; want nothing", steps, err, s.Problems)
	}
}

// Each case breaks one thing of a good host and says what preflight must answer.
func TestPreflight(t *testing.T) {
	for _, c := range []struct {
		name   string
		breaks func(t *testing.T, m *host.Memory, rt *fakeRuntime)
		args   []string
		check  string
		level  Level // "" means error
		says   string
		fix    string // part of Fix, Persist or Advice
	}{
		{
			name: "not root", check: "IsPrivilegedUser", says: "not root", fix: "sudo",
			breaks: func(_ *testing.T, m *host.Memory, _ *fakeRuntime) { m.FactsValue.UID = 1000 },
		},
		{
			name: "one CPU", check: "NumCPU", says: "needs 2",
			breaks: func(_ *testing.T, m *host.Memory, _ *fakeRuntime) { m.FactsValue.CPUs = 1 },
		},
		{
			name: "little memory", check: "Mem", says: "1.0 GiB of memory",
			breaks: func(_ *testing.T, m *host.Memory, _ *fakeRuntime) { m.FactsValue.MemoryBytes = 1 << 30 },
		},
		{
			name: "other arch", check: "Arch", says: "linux/amd64, this host is linux/arm64", fix: "--arch arm64",
			breaks: func(_ *testing.T, m *host.Memory, _ *fakeRuntime) { m.FactsValue.Arch = "arm64" },
		},
		{
			name: "swap", check: "Swap", says: "/dev/sda2", fix: "swapoff -a",
			breaks: func(_ *testing.T, m *host.Memory, _ *fakeRuntime) { m.FactsValue.SwapDevices = []string{"/dev/sda2"} },
		},
		{
			name: "swap, allowed", check: "Swap", level: LevelWarning, says: "failSwapOn: false",
			args: []string{"--config", "/root/swap.yaml"},
			breaks: func(t *testing.T, m *host.Memory, _ *fakeRuntime) {
				m.FactsValue.SwapDevices = []string{"/dev/sda2"}
				write(t, m, "/root/swap.yaml", "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n---\n"+
					"apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nfailSwapOn: false\n")
			},
		},
		{
			name: "gate that is gone", check: "FeatureGates", says: "KubeletConfiguration: feature gate DynamicKubeletConfig: Kubernetes v1.34.4 does not know it any more: v1.26 removed it",
			fix: "--ignore-preflight-errors FeatureGates", args: []string{"--config", "/root/c.yaml"},
			breaks: knobs("KubeletConfiguration", "featureGates: {DynamicKubeletConfig: true, MemoryQoS: true}"),
		},
		{
			name: "gate that is locked", check: "FeatureGates", says: "cannot be set to false: since v1.33 it is locked to true",
			args: []string{"--config", "/root/c.yaml"}, fix: "leave it out",
			breaks: knobs("KubeProxyConfiguration", "featureGates: {AnyVolumeDataSource: false}"),
		},
		{
			name: "gate that is no truth value", check: "FeatureGates", says: "neither true nor false", args: []string{"--config", "/root/c.yaml"}, fix: "correct",
			breaks: knobs("KubeletConfiguration", `featureGates: {MemoryQoS: "yes"}`),
		},
		{
			name: "gate of a component", check: "FeatureGates", says: "scheduler.extraArgs: feature gate MemoryQos: ", fix: "leave it out", args: []string{"--config", "/root/c.yaml"},
			breaks: knobs("", `scheduler: {extraArgs: [{name: feature-gates, value: "AllBeta=true,MemoryQos=true"}]}`),
		},
		{
			name: "gate of the components given as kubeadm's", check: "FeatureGates", says: "kubeadm's feature gate MemoryQoS", fix: "KubeletConfiguration",
			args: []string{"--feature-gates", "MemoryQoS=true"}, breaks: func(*testing.T, *host.Memory, *fakeRuntime) {},
		},
		{
			name: "gate that is not followed", check: "FeatureGates", says: "does not follow it", fix: "run as root",
			args: []string{"--feature-gates", "RootlessControlPlane=true"}, breaks: func(*testing.T, *host.Memory, *fakeRuntime) {},
		},
		{
			name: "flag of a component", check: "ExtraArgs", says: "apiServer.extraArgs: kube-apiserver flag --insecure-port: Kubernetes v1.34.4 does not know it any more: v1.24 removed it",
			fix: "leave it out", args: []string{"--config", "/root/c.yaml"},
			breaks: knobs("", `apiServer: {extraArgs: [{name: insecure-port, value: "0"}, {name: audit_log_path, value: /x}]}`),
		},
		{
			name: "flag in the environment", check: "ExtraArgs", says: "KUBELET_EXTRA_ARGS in /etc/default/kubelet: kubelet flag --network-plugin", fix: "leave it out",
			breaks: func(t *testing.T, m *host.Memory, _ *fakeRuntime) {
				write(t, m, "/etc/default/kubelet", "# ours\nKUBELET_EXTRA_ARGS=\"--v 4 --network-plugin=cni --max-pods 42\"\n")
			},
		},
		{
			name: "br_netfilter", check: "FileContent--proc-sys-net-bridge-bridge-nf-call-iptables", says: "br_netfilter is not loaded", fix: "modprobe br_netfilter",
			breaks: func(t *testing.T, m *host.Memory, _ *fakeRuntime) { remove(t, m, "/proc/sys/net/bridge") },
		},
		{
			name: "forwarding", check: "FileContent--proc-sys-net-ipv4-ip_forward", says: "is 0, must be 1", fix: "sysctl -w net.ipv4.ip_forward=1",
			breaks: func(t *testing.T, m *host.Memory, _ *fakeRuntime) {
				write(t, m, "/proc/sys/net/ipv4/ip_forward", "0\n")
			},
		},
		{
			name: "module gone", check: "SystemVerification", says: "nf_conntrack",
			breaks: func(t *testing.T, m *host.Memory, _ *fakeRuntime) {
				remove(t, m, "/proc/sys/net/netfilter")
				write(t, m, "/lib/modules/6.1.0/modules.dep", "kernel/fs/overlayfs/overlay.ko.xz:\n")
			},
		},
		{
			name: "memory cgroup off", check: "SystemVerification", says: "memory", fix: "cgroup_enable=memory",
			breaks: func(t *testing.T, m *host.Memory, _ *fakeRuntime) {
				write(t, m, "/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n")
			},
		},
		{
			name: "no losetup", check: "FileExisting-losetup", says: "losetup is not found", fix: "mount (Debian)",
			breaks: func(t *testing.T, m *host.Memory, _ *fakeRuntime) {
				p, err := m.LookPath("losetup")
				if err != nil {
					t.Fatal(err)
				}
				remove(t, m, p)
			},
		},
		{
			name: "name", check: "Hostname", says: "localhost", fix: "hostnamectl",
			breaks: func(_ *testing.T, m *host.Memory, _ *fakeRuntime) { m.FactsValue.Hostname = "localhost" },
		},
		{
			name: "runtime down", check: "CRI", says: "connection refused", fix: "systemctl enable --now containerd",
			breaks: func(_ *testing.T, m *host.Memory, rt *fakeRuntime) {
				rt.err = errors.New("connection refused")
				m.AddUnit("containerd.service", host.UnitState{Exists: true})
			},
		},
		{
			name: "old containerd", check: "ContainerRuntimeVersion", level: LevelWarning, says: "containerd 1.6.20 is older",
			breaks: func(_ *testing.T, _ *host.Memory, rt *fakeRuntime) { rt.info.Version = "1.6.20" },
		},
		{
			name: "docker", check: "CRI", says: "Docker", fix: "containerd",
			breaks: func(_ *testing.T, _ *host.Memory, rt *fakeRuntime) {
				rt.info = cruntime.Info{Name: "docker", Version: "20.10.24"}
			},
		},
		{
			name: "disk", check: "Disk", says: "1.0 GiB free at /var/lib/containerd, the bundle needs 2.0 GiB",
			breaks: func(_ *testing.T, m *host.Memory, _ *fakeRuntime) { m.Free = 1 << 30 },
		},
		{
			name: "port", check: "Port-6443", says: "kube-apiserver", fix: "ss -ltnp",
			breaks: func(_ *testing.T, m *host.Memory, _ *fakeRuntime) { m.BusyPorts[6443] = true },
		},
		{
			name: "other port", check: "Port-7443", says: "kube-apiserver", args: []string{"--apiserver-bind-port", "7443"},
			breaks: func(_ *testing.T, m *host.Memory, _ *fakeRuntime) { m.BusyPorts[7443] = true },
		},
		{
			name: "foreign manifest", check: "FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml", says: "not what this run would write", fix: "./install reset",
			breaks: func(t *testing.T, m *host.Memory, _ *fakeRuntime) {
				write(t, m, manifestsDir+"/kube-apiserver.yaml", "kind: Pod\n")
			},
		},
		{
			name: "etcd data", check: "DirAvailable--var-lib-etcd", says: "another etcd", fix: "mv /var/lib/etcd /var/lib/etcd.old",
			breaks: func(t *testing.T, m *host.Memory, _ *fakeRuntime) { write(t, m, "/var/lib/etcd/member/snap/db", "x") },
		},
		{
			name: "foreign kubelet.conf", check: "FileAvailable--etc-kubernetes-kubelet.conf", says: "another cluster", fix: "mv ",
			breaks: func(t *testing.T, m *host.Memory, _ *fakeRuntime) {
				write(t, m, kubeletConf, kubeconfigText(t, "https://10.9.9.9:6443", newCA(t)))
			},
		},
		{
			name: "worker", check: "FileAvailable--etc-kubernetes-bootstrap-kubelet.conf", says: "joining", fix: "./install reset",
			breaks: func(t *testing.T, m *host.Memory, _ *fakeRuntime) { write(t, m, bootstrapConf, "x") },
		},
		{
			name: "foreign kubelet", check: "Service-Kubelet", says: "did not start", fix: "systemctl disable --now kubelet",
			breaks: func(_ *testing.T, m *host.Memory, _ *fakeRuntime) {
				m.AddUnit(kubeletUnit, host.UnitState{Exists: true, Active: true})
			},
		},
		{
			name: "firewalld", check: "Firewalld", level: LevelWarning, says: "runs",
			breaks: func(_ *testing.T, m *host.Memory, _ *fakeRuntime) {
				m.AddUnit("firewalld.service", host.UnitState{Exists: true, Active: true})
			},
		},
		{
			name: "sandbox", check: "SandboxImage", says: "registry.k8s.io/pause:3.6", fix: "pause:3.10.1",
			breaks: func(t *testing.T, m *host.Memory, rt *fakeRuntime) {
				rt.info.SandboxImage = "registry.k8s.io/pause:3.6"
				write(t, m, "/etc/containerd/config.toml", "version = 2\n")
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, rt := goodHost(t), goodRuntime()
			c.breaks(t, m, rt)
			s := initState(t, m, rt, c.args...)
			_, err := Preflight{}.Plan(t.Context(), s, m)
			level := c.level
			if level == "" {
				level = LevelError
			}
			var refused *PreflightError
			if errors.As(err, &refused) != (level == LevelError) {
				t.Fatalf("got error %v", err)
			}
			p := find(t, s.Problems, c.check)
			if p.Level != level || !strings.Contains(p.Message, c.says) || !strings.Contains(p.Fix+p.Persist+p.Advice, c.fix) {
				t.Errorf("got %+v, want %s … %q … %q", p, level, c.says, c.fix)
			}
			if level == LevelError && p.Fix+p.Advice == "" {
				t.Errorf("%s does not say what to do", p)
			}
			for _, other := range s.Problems {
				if other.Check != c.check {
					t.Errorf("also reports %+v", other)
				}
			}
		})
	}
}

// knobs writes a configuration: fields of a ClusterConfiguration, or of another document.
func knobs(kind, fields string) func(*testing.T, *host.Memory, *fakeRuntime) {
	doc := "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n"
	if api := map[string]string{"KubeletConfiguration": "kubelet.config.k8s.io/v1beta1", "KubeProxyConfiguration": "kubeproxy.config.k8s.io/v1alpha1"}[kind]; api != "" {
		doc += "---\napiVersion: " + api + "\nkind: " + kind + "\n"
	}
	return func(t *testing.T, m *host.Memory, _ *fakeRuntime) { write(t, m, "/root/c.yaml", doc+fields+"\n") }
}

// Everything that is wrong is said at once, can be ignored by name, and the commands that fix it come as one block.
func TestPreflightReportsAllAtOnce(t *testing.T) {
	broken := func() *host.Memory {
		m := goodHost(t)
		m.FactsValue.SwapDevices = []string{"/swapfile"}
		m.BusyPorts[6443], m.BusyPorts[10250] = true, true
		remove(t, m, "/proc/sys/net/bridge")
		write(t, m, "/proc/sys/net/ipv4/ip_forward", "0")
		return m
	}
	m := broken()
	s := initState(t, m, goodRuntime())
	_, err := Preflight{}.Plan(t.Context(), s, m)
	var refused *PreflightError
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	var checks []string
	for _, p := range refused.Errors() {
		checks = append(checks, p.Check)
	}
	want := []string{
		"Swap", "FileContent--proc-sys-net-ipv4-ip_forward", "FileContent--proc-sys-net-bridge-bridge-nf-call-iptables", "Port-10250", "Port-6443",
	}
	if diff := cmp.Diff(want, checks); diff != "" {
		t.Error(diff)
	}
	golden(t, "preflight-error.txt", refused.Error()+"\n"+refused.Hint()+"\n")

	m = broken()
	s = initState(t, m, goodRuntime(), "--ignore-preflight-errors", "swap,FILECONTENT--proc-sys-net-ipv4-ip_forward",
		"--ignore-preflight-errors", "port-6443")
	_, err = Preflight{}.Plan(t.Context(), s, m)
	if !errors.As(err, &refused) || len(refused.Errors()) != 2 {
		t.Errorf("got %v, want two errors left", err)
	}
	if !find(t, s.Problems, "Swap").Ignored {
		t.Error("Swap is not marked as ignored")
	}

	m = broken()
	s = initState(t, m, goodRuntime(), "--ignore-preflight-errors", "all")
	if _, err := (Preflight{}).Plan(t.Context(), s, m); err != nil {
		t.Errorf("got %v although all errors are ignored", err)
	}
}

func TestPreflightOfV135OnCgroupV1(t *testing.T) {
	for _, c := range []struct {
		name, kubelet string
		refused       bool
	}{{"default", "", true}, {"allowed", "failCgroupV1: false\n", false}} {
		t.Run(c.name, func(t *testing.T) {
			m := goodHost(t)
			m.FactsValue.CgroupVersion = 1
			write(t, m, "/proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t1\t1\t1\ncpu\t2\t1\t1\nmemory\t3\t1\t1\npids\t4\t1\t1\n")
			write(t, m, "/root/c.yaml", "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.35.0\n---\n"+
				"apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"+c.kubelet)
			env := testEnvironment(m)
			env.KubernetesVersion = "v1.35.0"
			cfg, err := config.LoadInit(&config.InitFlags{Config: "/root/c.yaml"}, m.ReadFile, env)
			if err != nil {
				t.Fatal(err)
			}
			s := testState(t, goodRuntime())
			s.Init, s.Release, s.Contract = cfg, testRelease(t, "v1.35.0"), testContract(t, "v1.35.0")
			_, err = Preflight{}.Plan(t.Context(), s, m)
			if (err != nil) != c.refused {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPreflightKnowsMissingImages(t *testing.T) {
	m := goodHost(t)
	s := initState(t, m, goodRuntime())
	s.Contract.Images = s.Contract.Images[1:]
	s.Contract.Files = append(s.Contract.Files, manifestFile())
	s.manifests = []manifest{{manifestFile().Path, []byte(`
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: net, namespace: kube-system}
spec:
  template:
    spec:
      initContainers: [{name: a, image: example.org/cni:v1}]
      containers: [{name: b, image: busybox}]
`)}}
	_, err := Preflight{}.Plan(t.Context(), s, m)
	for _, want := range []string{
		"[ImagePull] image example.org/cni:v1 is not in the bundle, but " + manifestFile().Path + ":8 needs it",
		"image busybox is not in the bundle, but " + manifestFile().Path + ":9 needs it",
		"image registry.k8s.io/kube-apiserver:v1.34.4 is not in the bundle, but Kubernetes v1.34.4 (kube-apiserver) needs it",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func find(t *testing.T, problems []Problem, check string) Problem {
	t.Helper()
	for _, p := range problems {
		if p.Check == check {
			return p
		}
	}
	t.Fatalf("no %s in %v", check, problems)
	return Problem{}
}

func remove(t *testing.T, m *host.Memory, path string) {
	t.Helper()
	if err := m.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func newCA(t *testing.T) *pki.Pair {
	t.Helper()
	ca, err := pki.NewCA(pki.Spec{CommonName: "kubernetes", Algorithm: pki.ECDSAP256, NotBefore: testNow()})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}
