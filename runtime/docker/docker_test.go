package docker

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"

	cruntime "kubebundle/runtime"
	"kubebundle/runtime/runtimetest"
)

func TestConformance(t *testing.T) {
	runtimetest.Integration(t)
	for _, b := range runtimetest.Binaries(t, "KUBEBUNDLE_DOCKERD", "dockerd") {
		t.Run(b, func(t *testing.T) {
			d := runtimetest.StartDocker(t, b)
			r, err := New(t.Context(), "unix://"+d.Socket, Options{})
			if err != nil {
				t.Fatal(err)
			}
			h := runtimetest.Host{
				Runtime:   r,
				Tree:      func(t *testing.T, img cruntime.Image) map[string]string { return tree(t, r, img) },
				Visible:   func(t *testing.T) []string { return visible(t, r) },
				Leftovers: func(t *testing.T) []string { return leftovers(t, r, d) },
				Restart:   func(*testing.T) { d.Restart() },
			}
			runtimetest.Run(t, func(*testing.T) runtimetest.Host { return h })
		})
	}
}

// tree mounts the folders of Docker's overlay2 read-only.
func tree(t *testing.T, r *Runtime, img cruntime.Image) map[string]string {
	t.Helper()
	var got struct {
		GraphDriver struct {
			Data struct{ UpperDir, LowerDir string }
		}
	}
	if err := r.get(t.Context(), "/images/"+img.Ref+"/json", &got); err != nil {
		t.Fatal(err)
	}
	d := got.GraphDriver.Data
	m := mount.Mount{Type: "bind", Source: d.UpperDir, Options: []string{"rbind", "ro"}}
	if d.LowerDir != "" {
		m = mount.Mount{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + d.UpperDir + ":" + d.LowerDir}}
	}
	var out map[string]string
	err := mount.WithTempMount(t.Context(), []mount.Mount{m}, func(root string) (err error) {
		out, err = runtimetest.Walk(root)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func list(t *testing.T, r *Runtime) (images []image) {
	t.Helper()
	if err := r.get(context.Background(), "/images/json?all=1", &images); err != nil {
		t.Fatal(err)
	}
	return images
}

func visible(t *testing.T, r *Runtime) []string {
	t.Helper()
	var out []string
	for _, i := range list(t, r) {
		out = append(append(out, i.ID), i.RepoTags...)
	}
	return out
}

// leftovers waits a little: Docker clears away a broken archive after it has answered.
func leftovers(t *testing.T, r *Runtime, d *runtimetest.Daemon) (out []string) {
	t.Helper()
	for range 50 {
		if out = held(t, r, d); len(out) == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return out
}

func held(t *testing.T, r *Runtime, d *runtimetest.Daemon) []string {
	t.Helper()
	out := visible(t, r)
	for _, dir := range []string{"/root/tmp", "/root/overlay2"} {
		entries, err := os.ReadDir(d.Dir + dir)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() != "l" && !strings.HasPrefix(e.Name(), "backingFs") {
				out = append(out, dir+"/"+e.Name())
			}
		}
	}
	return out
}
