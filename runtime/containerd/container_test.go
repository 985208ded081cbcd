package containerd

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kubebundle/runtime/runtimetest"
)

// hello is a program that shows what it sees of the layers below and above it.
const hello = `package main

import "os"

func main() {
	for _, name := range []string{"/lower", "/upper", "/removed"} {
		b, err := os.ReadFile(name)
		if err != nil {
			b = []byte("no " + name)
		}
		os.Stdout.Write(append(b, '\n'))
	}
}
`

// A container runs from an imported image.
func TestContainer(t *testing.T) {
	eachDaemon(t, func(t *testing.T, binary string) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(hello), 0o600); err != nil {
			t.Fatal(err)
		}
		build := exec.Command("go", "build", "-o", "hello", "main.go")
		build.Dir = dir
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		prog, err := os.ReadFile(filepath.Join(dir, "hello"))
		if err != nil {
			t.Fatal(err)
		}
		layers := [][]byte{
			runtimetest.Layer(runtimetest.File("lower", 0o644, "below"), runtimetest.File("removed", 0o644, "should not be seen")),
			runtimetest.Layer(runtimetest.File("hello", 0o755, string(prog))),
			runtimetest.Layer(runtimetest.File("upper", 0o644, "above"), runtimetest.Whiteout(".", "removed")),
		}
		list := []runtimetest.Image{
			runtimetest.NewImage("registry.k8s.io/hello:v1", layers...),
			runtimetest.NewMislabelledImage("registry.k8s.io/mislabelled:v1", layers...),
			runtimetest.NewMislabelledImage("registry.k8s.io/mislabelled:v2", layers...).WithoutIndex(),
		}
		d := runtimetest.StartContainerd(t, binary, "")
		r := connect(t, d, Options{})
		if err := r.Load(t.Context(), runtimetest.Images(list...), runtimetest.NewSource(list...), nil); err != nil {
			t.Fatal(err)
		}
		d.Restart()
		for _, img := range list {
			ctr := exec.Command(filepath.Join(filepath.Dir(binary), "ctr"), "-a", d.Socket, "-n", "k8s.io", "run", "--rm", img.Ref, "c1", "/hello")
			out, err := ctr.Output() // warnings go to stderr
			if err != nil || string(out) != "below\nabove\nno /removed\n" {
				t.Errorf("%s: %v: %q", img.Ref, err, out)
			}
		}
	})
}

// A disk that fills up gives one clear error and leaves nothing; with more room the same import works.
func TestDiskFull(t *testing.T) {
	eachDaemon(t, func(t *testing.T, binary string) {
		d := runtimetest.StartContainerd(t, binary, "")
		d.Stop()
		root := filepath.Join(d.Dir, "root")
		if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=24m"); err != nil {
			t.Fatal(err)
		}
		d.Start()
		h := host(t, d, Options{})
		a, b := twoImages("full")
		big := runtimetest.NewImage("registry.k8s.io/big:v1", runtimetest.Layer(runtimetest.File("big", 0o644, strings.Repeat("x", 16<<20))))
		list := []runtimetest.Image{a, b, big}
		err := h.Runtime.Load(t.Context(), runtimetest.Images(list...), runtimetest.NewSource(list...), nil)
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "make room") {
			t.Errorf("error %v, want no space left", err)
		}
		if left := h.Leftovers(t); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		if err := unix.Mount("", root, "", unix.MS_REMOUNT, "size=200m"); err != nil {
			t.Fatal(err)
		}
		if err := h.Runtime.Load(t.Context(), runtimetest.Images(list...), runtimetest.NewSource(list...), nil); err != nil {
			t.Error(err)
		}
		if missing, err := h.Runtime.Missing(t.Context(), runtimetest.Images(list...)); err != nil || len(missing) > 0 {
			t.Errorf("missing %v, %v", missing, err)
		}
	})
}
