package phase

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"kubebundle/bundle"
	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/release"
	cruntime "kubebundle/runtime"
)

var update = flag.Bool("update", false, "write golden files; the run fails")

const testVersion = "v1.34.4"

func testNow() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// testContract is what a bundle of testVersion promises, with contents that no test reads.
func testContract(t *testing.T, v string) *bundle.Contract {
	t.Helper()
	rel := testRelease(t, v)
	imgs, err := rel.Images("amd64")
	if err != nil {
		t.Fatal(err)
	}
	c := &bundle.Contract{
		Format: bundle.FormatVersion, KubernetesVersion: v, OS: "linux", Arch: "amd64", Builder: "test",
		Files: []bundle.File{
			{Path: "bin/kubelet", Mode: 0o755, Size: 7, SHA256: "sha256:" + strings.Repeat("0", 64)},
			{Path: "cni/bridge", Mode: 0o755, Size: 6, SHA256: "sha256:" + strings.Repeat("1", 64)},
			{Path: "systemd/kubelet.service", Mode: 0o644, Size: 5, SHA256: "sha256:" + strings.Repeat("2", 64)},
		},
		Requirements: bundle.Requirements{DiskBytes: 2 << 30, MemoryBytes: 1700 << 20, KernelModules: []string{"br_netfilter", "overlay", "nf_conntrack"}},
	}
	for i, img := range imgs {
		d := fmt.Sprintf("sha256:%064x", i)
		desc := bundle.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: d, Size: 100}
		c.Images = append(c.Images, bundle.Image{
			Ref: img.Ref, Component: string(img.Component), Target: desc, Manifest: desc, Config: desc,
			Layers: []bundle.Layer{{DiffID: d, Size: 1 << 20, Blob: desc}},
		})
	}
	return c
}

func testRelease(t *testing.T, v string) *release.Release {
	t.Helper()
	ver, err := release.Parse(v)
	if err != nil {
		t.Fatal(err)
	}
	rel, err := release.Find(ver, release.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return rel
}

// goodHost passes every check for a control plane: no default route, no name server, as in an air gap.
func goodHost(t *testing.T) *host.Memory {
	t.Helper()
	m := host.NewMemory()
	for p, text := range map[string]string{
		"/proc/sys/net/ipv4/ip_forward":                 "1\n",
		"/proc/sys/net/bridge/bridge-nf-call-iptables":  "1\n",
		"/proc/sys/net/bridge/bridge-nf-call-ip6tables": "1\n",
		"/proc/sys/net/netfilter/nf_conntrack_max":      "262144\n",
		"/sys/fs/cgroup/cgroup.controllers":             "cpuset cpu io memory hugetlb pids rdma misc\n",
	} {
		write(t, m, p, text)
	}
	if err := m.AddProgram("conntrack", "ip", "iptables", "mount", "losetup", "cp", "nsenter"); err != nil {
		t.Fatal(err)
	}
	m.AddUnit("containerd.service", host.UnitState{Exists: true, Enabled: true, Active: true, Sub: "running"})
	return m
}

func write(t *testing.T, m *host.Memory, path, text string) {
	t.Helper()
	if err := m.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fakeRuntime answers as a containerd would.
type fakeRuntime struct {
	cruntime.Runtime

	info   cruntime.Info
	err    error
	loaded bool
}

func (f *fakeRuntime) Info(context.Context) (cruntime.Info, error) { return f.info, f.err }

func (f *fakeRuntime) Missing(_ context.Context, images []cruntime.Image) ([]cruntime.Image, error) {
	if f.loaded {
		return nil, nil
	}
	return images, nil
}

func goodRuntime() *fakeRuntime {
	return &fakeRuntime{info: cruntime.Info{
		Name: "containerd", Version: "2.2.0", Socket: "unix:///run/containerd/containerd.sock",
		SandboxImage: "registry.k8s.io/pause:3.10.1", CgroupDriver: "systemd", TellsDriver: true, Root: "/var/lib/containerd",
	}}
}

// initState is an init with flags on a host.
func initState(t *testing.T, m *host.Memory, rt *fakeRuntime, args ...string) *State {
	t.Helper()
	var f config.InitFlags
	fs := pflag.NewFlagSet("init", pflag.ContinueOnError)
	f.AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.LoadInit(&f, m.ReadFile, testEnvironment(m))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Cluster.EncryptionAlgorithm = "ECDSA-P256" // RSA keys would be most of the tests' time
	s := testState(t, rt)
	s.Init = cfg
	return s
}

func testEnvironment(m *host.Memory) config.Environment {
	return config.Environment{
		Hostname: m.FactsValue.Hostname, Addresses: m.FactsValue.Addresses, DefaultRouteIP: m.FactsValue.DefaultRouteIP,
		KubernetesVersion: testVersion, CRISocket: "unix:///run/containerd/containerd.sock",
	}
}

func testState(t *testing.T, rt *fakeRuntime) *State {
	t.Helper()
	return &State{
		Contract: testContract(t, testVersion), Release: testRelease(t, testVersion), Now: testNow(),
		Runtime: func(context.Context) (cruntime.Runtime, error) { return rt, rt.err },
	}
}

// planAll plans every phase and gives "phase: step" lines; nothing is applied.
func planAll(t *testing.T, phases []Phase, s *State, r host.Reader) ([]step.Step, string) {
	t.Helper()
	var all []step.Step
	var b strings.Builder
	for _, p := range phases {
		steps, err := p.Plan(t.Context(), s, r)
		if err != nil {
			t.Fatalf("%s: %v", p.Name(), err)
		}
		for _, st := range steps {
			fmt.Fprintf(&b, "%s: %s\n", p.Name(), st)
		}
		all = append(all, steps...)
	}
	return all, b.String()
}

// golden compares with testdata/name. Sizes of files that hold random keys vary by a byte or two, so kilobytes are not compared.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = regexp.MustCompile(`(0600|0644) \d+(\.\d+)? k?B`).ReplaceAllString(got, "$1 SIZE")
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Errorf("wrote %s; run again without -update", path)
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// applyFiles applies the steps that need only the host, up to and including the n-th; the rest of the world is not there.
func applyFiles(t *testing.T, m *host.Memory, steps []step.Step, n int) {
	t.Helper()
	target := &step.Target{Host: m}
	for _, st := range steps {
		switch st.(type) {
		case step.File, step.Dir, step.Unit, step.Link, step.Remove:
			if n == 0 {
				return
			}
			n--
			if err := st.Apply(t.Context(), target); err != nil {
				t.Fatalf("%s: %v", st, err)
			}
		}
	}
}

// unsatisfied lists the host-only steps that would still do something.
func unsatisfied(t *testing.T, m *host.Memory, steps []step.Step) []string {
	t.Helper()
	target := &step.Target{Host: m}
	var out []string
	for _, st := range steps {
		switch st.(type) {
		case step.File, step.Dir, step.Unit, step.Link, step.Remove:
			ok, err := st.Satisfied(t.Context(), target)
			if err != nil {
				t.Fatalf("%s: %v", st, err)
			}
			if !ok {
				out = append(out, st.String())
			}
		}
	}
	return out
}

// installUnits puts the kubelet's unit into place, as the install-binaries step would.
func installUnits(t *testing.T, m *host.Memory, s *State) {
	t.Helper()
	for _, f := range manifests.KubeletUnits(s.version()) {
		if err := m.WriteFile("/etc/systemd/system/"+f.Path, f.Data, f.Mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.DaemonReload(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func countSteps(steps []step.Step) int {
	n := 0
	for _, st := range steps {
		switch st.(type) {
		case step.File, step.Dir, step.Unit, step.Link, step.Remove:
			n++
		}
	}
	return n
}

func manifestFile() bundle.File {
	return bundle.File{Path: "manifests/kube-flannel.yml", Mode: 0o644, Size: 60, SHA256: "sha256:" + strings.Repeat("3", 64)}
}

// pinOf is the pin of the CA of a planned init.
func pinOf(s *State) string { return pki.Pin(s.Certs["ca"].Cert) }
