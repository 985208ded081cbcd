package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"kubebundle/bundle"
	"kubebundle/bundle/bundletest"
	"kubebundle/bundle/trust"
	"kubebundle/installer/host"
	"kubebundle/installer/phase"
	"kubebundle/manifests"
	"kubebundle/release"
	cruntime "kubebundle/runtime"
)

// The scripts run the whole program on a host that is a folder ($ROOT) and does not run, with a container runtime that is a file.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"install": runInScript})
}

func runInScript() {
	root := os.Getenv("ROOT")
	uid, err := strconv.Atoi(os.Getenv("AS_UID"))
	if err != nil {
		panic(err)
	}
	h, err := host.NewRooted(root, host.Facts{
		Hostname: "node1", OS: "linux", Arch: cmp.Or(os.Getenv("HOST_ARCH"), runtime.GOARCH), Kernel: "6.1.0", CPUs: 4, MemoryBytes: 8 << 30, CgroupVersion: 2, UID: uid, Systemd: true,
		Addresses:      []net.IPNet{{IP: net.IPv4(10, 0, 0, 10), Mask: net.CIDRMask(24, 32)}},
		DefaultRouteIP: net.IPv4(10, 0, 0, 10),
		Modules:        map[string]bool{"overlay": true, "br_netfilter": true},
	})
	if err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, host: h, runtime: openFake, pinned: pinned, lockPath: filepath.Join(root, "run", "lock"), keptPath: filepath.Join(root, phase.KeptBundle)}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// pinned stands for the keys that a builder wrote into the program: the test's own program has none.
func pinned() (trust.Keys, error) {
	if keys := os.Getenv("PINNED"); keys != "" {
		return trust.ParseKeys(keys)
	}
	return trust.Pinned()
}

func TestScripts(t *testing.T) {
	bundles := t.TempDir()
	whole := makeBundles(t, bundles)
	snapshots := t.TempDir()
	makeSnapshots(t, snapshots)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			root := filepath.Join(env.WorkDir, "root")
			env.Setenv("ROOT", root)
			env.Setenv("AS_UID", "0")
			env.Setenv("BUNDLES", bundles)
			env.Setenv("SNAPSHOTS", snapshots)
			env.Setenv("BUNDLE", whole)
			env.Setenv("ARCH", runtime.GOARCH)
			for _, d := range []string{"run", "etc/systemd/system", "usr/bin", "var/lib", "opt"} {
				if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits, "tree": tree, "pin": pin, "altered": altered, "cluster": clusterCmd(t), "expire": expire},
	})
}

// exits runs a command and wants an exit code: exits 2 install init --nonsense.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE command args…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var ee *exec.ExitError
	switch {
	case errors.As(err, &ee):
		got = ee.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// tree writes the names of all files below a folder, one per line, into a file: tree $ROOT before.
func tree(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tree folder file")
	}
	var out strings.Builder
	root := ts.MkAbs(args[0])
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		out.WriteString(info.Mode().String() + " " + strings.TrimPrefix(p, root) + "\n")
		return nil
	})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(out.String()), 0o600))
}

// pin makes the program trust a key: pin FILE.
func pin(ts *testscript.TestScript, _ bool, args []string) { ts.Setenv("PINNED", ts.ReadFile(args[0])) }

// altered copies our signed bundle to ./altered with one bit changed in one of its files: altered install.
func altered(ts *testscript.TestScript, _ bool, args []string) {
	from, to := filepath.Join(ts.Getenv("BUNDLES"), "ours"), ts.MkAbs("altered")
	ts.Check(os.RemoveAll(to))
	from, err := filepath.EvalSymlinks(from)
	ts.Check(err)
	ts.Check(os.CopyFS(to, os.DirFS(from)))
	p := filepath.Join(to, args[0])
	data := []byte(ts.ReadFile(p))
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(p, data, 0o600))
}

// makeBundles makes a whole bundle and broken ones; it returns the path of the whole one.
func makeBundles(t *testing.T, dir string) string {
	t.Helper()
	v, err := release.Parse("v1.34.4")
	if err != nil {
		t.Fatal(err)
	}
	r, err := release.Find(v, release.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fill := func(arch string, leaveOut release.Component) *bundletest.Maker {
		m := bundletest.New(arch)
		m.File("bin/kubelet", 0o755, []byte("#!kubelet\n"))
		m.File("bin/kubectl", 0o755, []byte("#!kubectl\n"))
		m.File("cni/bridge", 0o755, []byte("#!bridge\n"))
		for _, u := range manifests.KubeletUnits(v) {
			m.File("systemd/"+u.Path, 0o644, u.Data)
		}
		images, err := r.Images(release.Arch(arch))
		if err != nil {
			t.Fatal(err)
		}
		for _, img := range images {
			if img.Component != leaveOut {
				m.Image(img.Ref, string(img.Component), bundletest.Layer("bin/"+string(img.Component), string(img.Component)))
			}
		}
		return m
	}
	write := func(m *bundletest.Maker, name string) string {
		sub := filepath.Join(dir, name)
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		return m.WriteDir(t, sub)
	}
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	whole := write(fill(runtime.GOARCH, ""), "whole-dir")
	link(write(fill(other, ""), "foreign-dir"), "foreign")
	link(write(fill(runtime.GOARCH, release.Etcd), "incomplete-dir"), "incomplete")
	files := fill(runtime.GOARCH, "")
	files.File("include/etc/site/audit.yaml", 0o640, []byte("rules: none\n"))
	link(write(files, "files-dir"), "files")
	damaged := write(fill(runtime.GOARCH, ""), "damaged-dir")
	link(damaged, "damaged")
	payload := filepath.Join(damaged, "payload.tar.zst")
	data, err := os.ReadFile(payload)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(payload, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"ours", "theirs"} {
		public, secret, err := trust.Generate("")
		if err != nil {
			t.Fatal(err)
		}
		key, err := trust.ParseSecret(secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, who+".pub"), trust.PublicFile(public), 0o600); err != nil {
			t.Fatal(err)
		}
		m := fill(runtime.GOARCH, "")
		m.Sign = trust.Signer(key)
		link(write(m, who+"-dir"), who)
	}
	archive := fill(runtime.GOARCH, "").Write(t, t.TempDir())
	if data, err = os.ReadFile(archive); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"whole.tar.gz": data, "truncated.tar.gz": data[:len(data)*2/3]} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The delta to the whole bundle from one whose kubelet was a little different.
	program := make([]byte, 100_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(program) // never fails
	pair := func(version string) *bundletest.Maker {
		m := fill(runtime.GOARCH, "")
		m.File("bin/large", 0o755, append(slices.Clone(program), version...))
		return m
	}
	old := pair("v1.34.3")
	old.Contract.KubernetesVersion = "v1.34.3"
	base, err := bundle.OpenPath(write(old, "deltas"))
	if err != nil {
		t.Fatal(err)
	}
	bundletest.Unpack(t, pair("v1.34.4").WriteDelta(t, t.TempDir(), base), filepath.Join(dir, "deltas"))
	bundletest.Unpack(t, pair("v1.34.4").WriteDelta(t, filepath.Join(dir, "deltas"), base), t.TempDir())
	inParts := fill(runtime.GOARCH, "")
	path := filepath.Join(dir, "parts.tar.gz")
	if _, err := bundle.Write(t.Context(), path, &inParts.Contract, inParts.Content(), bundle.WriteOptions{Encoder: bundletest.Encoder{}, PartSize: 3000}); err != nil {
		t.Fatal(err)
	}
	return whole
}

// fakeRuntime keeps the names of its images in a file.
type fakeRuntime struct{ file string }

func openFake(context.Context, string, *slog.Logger) (cruntime.Runtime, error) {
	return &fakeRuntime{file: filepath.Join(os.Getenv("ROOT"), "images.json")}, nil
}

func (f *fakeRuntime) images() map[string]bool {
	out := map[string]bool{}
	if data, err := os.ReadFile(f.file); err == nil {
		if err := json.Unmarshal(data, &out); err != nil {
			panic(err)
		}
	}
	return out
}

func (f *fakeRuntime) Info(context.Context) (cruntime.Info, error) {
	if os.Getenv("FAKE_RUNTIME") == "docker" {
		return cruntime.Info{Name: "docker", Version: "20.10.24", Socket: "unix:///var/run/docker.sock", CRI: "unix:///var/run/cri-dockerd.sock", SandboxImage: "registry.k8s.io/pause:3.10.1", CgroupDriver: "systemd"}, nil
	}
	return cruntime.Info{Name: "containerd", Version: "2.1.5", Socket: "unix:///run/containerd/containerd.sock", SandboxImage: "registry.k8s.io/pause:3.10.1", CgroupDriver: "systemd"}, nil
}

func (f *fakeRuntime) Missing(_ context.Context, list []cruntime.Image) ([]cruntime.Image, error) {
	var out []cruntime.Image
	have := f.images()
	for _, i := range list {
		if !have[i.Ref] {
			out = append(out, i)
		}
	}
	return out, nil
}

func (f *fakeRuntime) Load(_ context.Context, list []cruntime.Image, src cruntime.Source, _ func(cruntime.Event)) error {
	for {
		_, r, err := src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
	}
	have := f.images()
	for _, i := range list {
		have[i.Ref] = true
	}
	data, err := json.Marshal(have)
	if err != nil {
		return err
	}
	return os.WriteFile(f.file, data, 0o600)
}

func (f *fakeRuntime) Remove(context.Context, []string) error { return os.RemoveAll(f.file) }
func (f *fakeRuntime) Close() error                           { return nil }
