package step_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/bundle"
	"kubebundle/bundle/bundletest"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
	cruntime "kubebundle/runtime"
)

func open(t *testing.T, dir string) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Open(dir)
	ok(t, err)
	return b
}

func TestInstallPath(t *testing.T) {
	for in, want := range map[string]string{
		"bin/kubelet": "/usr/bin/kubelet", "cni/bridge": "/opt/cni/bin/bridge",
		"systemd/kubelet.service.d/10-kubeadm.conf": "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
		"manifests/x.yml": "", "bin": "", "bin/": "", "bin/../../etc/passwd": "", "/bin/x": "", "": "",
	} {
		if got := step.InstallPath(in); got != want {
			t.Errorf("%q goes to %q, want %q", in, got, want)
		}
	}
}

func TestBinaries(t *testing.T) {
	b := open(t, bundletest.Small().WriteDir(t, t.TempDir()))
	m := host.NewMemory()
	tg := &step.Target{Host: m, Bundle: b}
	s := step.NewBinaries(b.Contract())
	if got, want := s.String(), "install 2 programs and units 66 kB"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	// A stranger's kubelet comes back with reset.
	ok(t, m.WriteFile("/usr/bin/kubelet", []byte("an older one"), 0o755))
	between := func() map[string]string {
		tg := tg
		recs, err := s.Before(t.Context(), tg)
		ok(t, err)
		for _, r := range recs {
			ok(t, r.Keep(tg))
		}
		satisfied(t, s, tg, false)
		ok(t, s.Apply(t.Context(), tg))
		satisfied(t, s, tg, true)
		snap := m.Snapshot()
		for i := len(recs) - 1; i >= 0; i-- {
			ok(t, recs[i].Undo(t.Context(), tg))
		}
		return snap
	}()
	if !strings.HasPrefix(between["/usr/bin/kubelet"], "file 0755 kubelet program\n") || between["/opt/cni/bin/bridge"] != "file 0755 bridge program\n" {
		t.Errorf("installed: %.60q %q", between["/usr/bin/kubelet"], between["/opt/cni/bin/bridge"])
	}
	if got, err := m.ReadFile("/usr/bin/kubelet"); err != nil || string(got) != "an older one" {
		t.Errorf("after undo: %q %v", got, err)
	}
	if _, err := m.Stat("/opt/cni"); err == nil {
		t.Error("/opt/cni is left")
	}
}

// TestDamagedPayload: nothing of a damaged payload becomes visible.
func TestDamagedPayload(t *testing.T) {
	mk := bundletest.New("amd64")
	random := make([]byte, 1<<20) // does not compress: a changed byte is a changed byte
	for i := range random {
		random[i] = byte(i*i>>3) ^ byte(i>>7)
	}
	mk.File("bin/kubelet", 0o755, random)
	dir := mk.WriteDir(t, t.TempDir())
	p := filepath.Join(dir, "payload.tar.zst")
	data, err := os.ReadFile(p)
	ok(t, err)
	data[len(data)/2] ^= 0x55
	ok(t, os.WriteFile(p, data, 0o600))
	m := host.NewMemory()
	before := m.Snapshot()
	b, err := bundle.Open(dir)
	if err == nil {
		err = step.NewBinaries(b.Contract()).Apply(t.Context(), &step.Target{Host: m, Bundle: b})
	}
	var corrupt *bundle.CorruptError
	if !errors.As(err, &corrupt) {
		t.Errorf("error %v", err)
	}
	if d := cmp.Diff(before, m.Snapshot()); d != "" {
		t.Errorf("something became visible:\n%s", d)
	}
}

// memRuntime is a runtime that reads what it is given.
type memRuntime struct {
	have map[string]bool
	read int
}

func (r *memRuntime) Info(context.Context) (cruntime.Info, error) { return cruntime.Info{}, nil }
func (r *memRuntime) Close() error                                { return nil }
func (r *memRuntime) Remove(_ context.Context, refs []string) error {
	for _, ref := range refs {
		delete(r.have, ref)
	}
	return nil
}

func (r *memRuntime) Missing(_ context.Context, list []cruntime.Image) (out []cruntime.Image, err error) {
	for _, i := range list {
		if !r.have[i.Ref] {
			out = append(out, i)
		}
	}
	return out, nil
}

func (r *memRuntime) Load(_ context.Context, list []cruntime.Image, src cruntime.Source, progress func(cruntime.Event)) error {
	for {
		b, body, err := src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, body)
		if err != nil {
			return err
		}
		if n != b.Size {
			return errors.New("size of " + b.Digest)
		}
		r.read++
		progress(cruntime.Event{Done: 1, Total: 2, Image: "x"})
	}
	for _, i := range list {
		r.have[i.Ref] = true
	}
	return nil
}

func TestImages(t *testing.T) {
	b := open(t, bundletest.Small().WriteDir(t, t.TempDir()))
	rt := &memRuntime{have: map[string]bool{"registry.k8s.io/pause:3.10.1": true}}
	told := 0
	tg := &step.Target{
		Host: host.NewMemory(), Bundle: b, Runtime: func(context.Context) (cruntime.Runtime, error) { return rt, nil },
		Progress: func(int64, int64, string) { told++ },
	}
	s := step.NewImages(b.Contract())
	if !strings.HasPrefix(s.String(), "load 3 images ") {
		t.Errorf("%q", s)
	}
	if one := step.NewImages(b.Contract(), "registry.k8s.io/pause:3.10.1"); len(one.List) != 1 {
		t.Errorf("one image: %v", one)
	}
	satisfied(t, s, tg, false)
	recs, err := s.Before(t.Context(), tg)
	ok(t, err)
	ok(t, s.Apply(t.Context(), tg))
	satisfied(t, s, tg, true)
	if rt.read == 0 || told == 0 {
		t.Errorf("blobs read %d, progress told %d times", rt.read, told)
	}
	recs2, err := s.Before(t.Context(), tg)
	if err != nil || recs2 != nil {
		t.Errorf("records of a step with nothing to do: %v %v", recs2, err)
	}
	ok(t, recs[0].Undo(t.Context(), tg))
	if d := cmp.Diff(map[string]bool{"registry.k8s.io/pause:3.10.1": true}, rt.have); d != "" {
		t.Errorf("undo took the wrong images (-want +got):\n%s", d)
	}
}
