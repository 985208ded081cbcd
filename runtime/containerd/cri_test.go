package containerd

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kubebundle/runtime/runtimetest"
)

func twoImages(name string) (a, b runtimetest.Image) {
	base := runtimetest.Layer(runtimetest.Dir("etc", 0o755), runtimetest.File("etc/base", 0o644, name))
	a = runtimetest.NewImage("registry.k8s.io/"+name+"-a:v1", base, runtimetest.Layer(runtimetest.File("a", 0o755, strings.Repeat("a", 8<<20))))
	b = runtimetest.NewImage("registry.k8s.io/"+name+"-b:v1", base, runtimetest.Layer(runtimetest.File("b", 0o755, strings.Repeat("b", 8<<20))))
	return a, b
}

// CRI, which is what the kubelet asks, finds the images at once, by every name, pinned; and still does after the garbage collector ran and
// the daemon was restarted.
func TestCRI(t *testing.T) {
	eachDaemon(t, func(t *testing.T, binary string) {
		d := runtimetest.StartContainerd(t, binary, "")
		h := host(t, d, Options{})
		r := connect(t, d, Options{})
		a, b := twoImages("cri")
		if err := h.Runtime.Load(t.Context(), runtimetest.Images(a, b), runtimetest.NewSource(a, b), nil); err != nil {
			t.Fatal(err)
		}
		check := func(when string) {
			t.Helper()
			for _, img := range []runtimetest.Image{a, b} {
				names, err := img.Names()
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{names.Tag, names.Digest, img.Config.Digest, strings.TrimPrefix(img.Config.Digest, "sha256:")} {
					got, err := r.criImage(t.Context(), name)
					if err != nil {
						t.Fatal(err)
					}
					if got.GetId() != img.Config.Digest || !equal(got.GetRepoTags(), names.Tag) || !equal(got.GetRepoDigests(), names.Digest) {
						t.Errorf("%s: %s is %v", when, name, got)
					}
					if info, err := r.Info(t.Context()); err != nil || !strings.HasPrefix(info.Version, "1.6.") && !got.GetPinned() {
						t.Errorf("%s: %s is not pinned (%v)", when, name, err)
					}
				}
			}
			out := &criv1.ListImagesResponse{}
			if err := r.cri(t.Context(), "ImageService/ListImages", &criv1.ListImagesRequest{}, out); err != nil {
				t.Fatal(err)
			}
			if len(out.GetImages()) != 2 {
				t.Errorf("%s: CRI lists %d images", when, len(out.GetImages()))
			}
		}
		check("after the import")
		collect(t, r)
		check("after garbage collection")
		h.Restart(t)
		check("after a restart")
		if missing, err := h.Runtime.Missing(t.Context(), runtimetest.Images(a, b)); err != nil || len(missing) > 0 {
			t.Errorf("missing %v, %v", missing, err)
		}
		if _, ok := h.Tree(t, a.Image)["a"]; !ok {
			t.Error("an image lost its content")
		}
		start := time.Now()
		if err := h.Runtime.Load(t.Context(), runtimetest.Images(a, b), nil, nil); err != nil {
			t.Error(err)
		}
		t.Logf("a second load took %v", time.Since(start))
	})
}

// An image that is there without the pin, as after an ordinary pull, gets it without its layers being read.
func TestUnpinnedImage(t *testing.T) {
	eachDaemon(t, func(t *testing.T, binary string) {
		r := connect(t, runtimetest.StartContainerd(t, binary, ""), Options{})
		a, _ := twoImages("unpinned")
		load := func() *runtimetest.Source {
			src := runtimetest.NewSource(a)
			if err := r.Load(t.Context(), runtimetest.Images(a), src, nil); err != nil {
				t.Fatal(err)
			}
			return src
		}
		load()
		_, err := r.client.ImageService().Update(t.Context(), images.Image{
			Name: a.Ref, Labels: map[string]string{managedLabel: managedValue},
			Target: ocispec.Descriptor{MediaType: a.Target.MediaType, Digest: digest.Digest(a.Target.Digest), Size: a.Target.Size},
		})
		if err != nil {
			t.Fatal(err)
		}
		if missing, err := r.Missing(t.Context(), runtimetest.Images(a)); err != nil || len(missing) != 1 {
			t.Fatalf("missing %v, %v", missing, err)
		}
		if src := load(); src.Reads != 3 {
			t.Errorf("read %d pieces, want index, manifest and config", src.Reads)
		}
		if missing, err := r.Missing(t.Context(), runtimetest.Images(a)); err != nil || len(missing) > 0 {
			t.Errorf("missing %v, %v", missing, err)
		}
	})
}

// helperSocket makes this test binary load an image and stop in the middle of it, to be killed there.
const helperSocket = "KUBEBUNDLE_TEST_LOAD_SOCKET"

func TestHelperLoad(t *testing.T) {
	socket := os.Getenv(helperSocket)
	if socket == "" {
		return // only runs as TestKilled's child
	}
	r, err := New(t.Context(), socket, Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := twoImages("killed")
	src := runtimetest.NewSource(a, b)
	src.Before = func(given int64) {
		if given < 12<<20 {
			return
		}
		// b's layer is half-way; wait until a's are done, on however busy a machine.
		for {
			if _, err := r.client.SnapshotService("overlayfs").Stat(t.Context(), chainOf(a.Image)); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	t.Error(r.Load(t.Context(), runtimetest.Images(a, b), src, nil), "ended before it was killed")
}

// An import that was killed is invisible; the next one uses what it left; and nothing stays of it for longer than its lease.
func TestKilled(t *testing.T) {
	eachDaemon(t, func(t *testing.T, binary string) {
		d := runtimetest.StartContainerd(t, binary, "")
		h := host(t, d, Options{})
		r := connect(t, d, Options{})
		kill := func() {
			t.Helper()
			cmd := exec.Command(os.Args[0], "-test.run", "^TestHelperLoad$")
			cmd.Env = append(os.Environ(), helperSocket+"=unix://"+d.Socket)
			if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("%v: %s", err, out)
			}
			if v := visible(t, r); len(v) > 0 {
				t.Errorf("a killed import left %v", v)
			}
		}
		a, b := twoImages("killed")
		lease := func() leases.Lease {
			t.Helper()
			ls, err := r.client.LeasesService().List(t.Context())
			if err != nil || len(ls) != 1 {
				t.Fatalf("leases %v, %v", ls, err)
			}
			return ls[0]
		}

		// Killed, then the same boot.
		kill()
		collect(t, r)
		if _, err := r.client.SnapshotService("overlayfs").Stat(t.Context(), chainOf(a.Image)); err != nil {
			t.Errorf("what the killed import finished is lost: %v", err)
		}
		left := lease()
		if err := h.Runtime.Load(t.Context(), runtimetest.Images(a, b), runtimetest.NewSource(a, b), nil); err != nil {
			t.Fatal(err)
		}
		if _, ok := h.Tree(t, b.Image)["b"]; !ok {
			t.Error("an image lacks content")
		}
		if err := r.client.LeasesService().Delete(t.Context(), left, leases.SynchronousDelete); err != nil { // as its expiry does
			t.Fatal(err)
		}
		if n := countSnapshots(t, r); n != 3 {
			t.Errorf("%d snapshots, want 3", n)
		}
		if err := h.Runtime.Remove(t.Context(), []string{a.Ref, b.Ref}); err != nil {
			t.Fatal(err)
		}
	})
}

// After a power cut the daemon's database can name snapshots whose files were never written. They must not be taken for good.
func TestPowerCut(t *testing.T) {
	eachDaemon(t, func(t *testing.T, binary string) {
		h := host(t, runtimetest.StartContainerd(t, binary, ""), Options{})
		r := h.Runtime.(*Runtime)
		a, b := twoImages("powercut")
		l, err := r.client.LeasesService().Create(t.Context(), leases.WithRandomID(), leases.WithExpiration(time.Hour), leases.WithLabel(bootLabel, "before"))
		if err != nil {
			t.Fatal(err)
		}
		ctx := leases.WithLease(t.Context(), l.ID)
		sn := r.client.SnapshotService("overlayfs")
		if _, err := sn.Prepare(ctx, "lost", ""); err != nil {
			t.Fatal(err)
		}
		if err := sn.Commit(ctx, chainOf(a.Image), "lost"); err != nil { // no file in it
			t.Fatal(err)
		}
		if err := r.Load(t.Context(), runtimetest.Images(a, b), runtimetest.NewSource(a, b), nil); err != nil {
			t.Fatal(err)
		}
		if _, ok := h.Tree(t, a.Image)["a"]; !ok {
			t.Error("an empty snapshot from before the reboot was used")
		}
		if err := r.Remove(t.Context(), []string{a.Ref, b.Ref}); err != nil {
			t.Fatal(err)
		}
		if left := leftovers(t, r); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}

func countSnapshots(t *testing.T, r *Runtime) (n int) {
	t.Helper()
	err := r.client.SnapshotService("overlayfs").Walk(t.Context(), func(context.Context, snapshots.Info) error {
		n++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func equal(got []string, want string) bool { return len(got) == 1 && got[0] == want }
