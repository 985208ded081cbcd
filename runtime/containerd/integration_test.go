package containerd

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	cruntime "kubebundle/runtime"
	"kubebundle/runtime/runtimetest"
)

const binariesEnv = "KUBEBUNDLE_CONTAINERD" // colon-separated paths of the daemons to test

// eachDaemon runs a test against every containerd there is.
func eachDaemon(t *testing.T, test func(t *testing.T, binary string)) {
	runtimetest.Integration(t)
	for _, b := range runtimetest.Binaries(t, binariesEnv, "containerd") {
		t.Run(b, func(t *testing.T) { test(t, b) })
	}
}

func connect(tb testing.TB, d *runtimetest.Daemon, opts Options) *Runtime {
	tb.Helper()
	r, err := New(context.Background(), "unix://"+d.Socket, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = r.Close() })
	return r
}

func host(tb testing.TB, d *runtimetest.Daemon, opts Options) runtimetest.Host {
	r := connect(tb, d, opts)
	return runtimetest.Host{
		Runtime:   r,
		Tree:      func(t *testing.T, img cruntime.Image) map[string]string { return tree(t, r, img) },
		Visible:   func(t *testing.T) []string { return visible(t, r) },
		Leftovers: func(t *testing.T) []string { return leftovers(t, r) },
		Restart: func(t *testing.T) {
			d.Restart()
			// gRPC reconnects by itself, after a while.
			for range 200 {
				if _, err := r.client.Version(t.Context()); err == nil {
					return
				}
				_ = pause(t.Context(), 50e6)
			}
			t.Fatal("no connection after a restart")
		},
	}
}

func TestConformance(t *testing.T) {
	for _, mode := range []struct {
		name, extra string
		opts        Options
	}{
		{name: "overlayfs"},
		{name: "DaemonApplies", opts: Options{DaemonApplies: true}},
		{name: "native", extra: "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  snapshotter = \"native\"\n"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			eachDaemon(t, func(t *testing.T, binary string) {
				h := host(t, runtimetest.StartContainerd(t, binary, mode.extra), mode.opts)
				runtimetest.Run(t, func(*testing.T) runtimetest.Host { return h })
			})
		})
	}
}

// tree mounts a read-only view of an image's snapshot, as a container would see it, and walks it.
func tree(t *testing.T, r *Runtime, img cruntime.Image) map[string]string {
	t.Helper()
	ctx := t.Context()
	name, err := r.snapshotter(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// Under a lease, or the collector that runs after an import takes the view away.
	ctx, done, err := r.client.WithLease(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := done(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	sn := r.client.SnapshotService(name)
	key := "view-" + img.Config.Digest
	mounts, err := sn.View(ctx, key, chainOf(img))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sn.Remove(ctx, key); err != nil {
			t.Error(err)
		}
	}()
	var out map[string]string
	err = mount.WithTempMount(ctx, mounts, func(root string) (err error) {
		out, err = runtimetest.Walk(root)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func chainOf(img cruntime.Image) string {
	ids := make([]digest.Digest, 0, len(img.DiffIDs))
	for _, d := range img.DiffIDs {
		ids = append(ids, digest.Digest(d))
	}
	return identity.ChainID(ids).String()
}

func visible(t *testing.T, r *Runtime) []string {
	t.Helper()
	list, err := r.client.ImageService().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range list {
		out = append(out, i.Name)
	}
	return out
}

// collect makes the garbage collector run, and returns when it has.
func collect(t *testing.T, r *Runtime) {
	t.Helper()
	is := r.client.ImageService()
	_, err := is.Create(t.Context(), images.Image{Name: "gc", Target: ocispec.Descriptor{Digest: digest.FromString("x"), Size: 1, MediaType: "x"}})
	if err == nil {
		err = is.Delete(t.Context(), "gc", images.SynchronousDelete())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// leftovers is everything that is in the namespace besides what images need: all of it, when there are no images.
func leftovers(t *testing.T, r *Runtime) []string {
	t.Helper()
	ctx := t.Context()
	if ctx.Err() != nil {
		ctx = context.Background() // called from a cleanup
	}
	is := r.client.ImageService()
	list, err := is.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) > 0 {
		t.Fatalf("leftovers cannot be told while there are images: %v", list)
	}
	if _, err = is.Create(ctx, images.Image{Name: "gc", Target: ocispec.Descriptor{Digest: digest.FromString("x"), Size: 1, MediaType: "x"}}); err == nil {
		err = is.Delete(ctx, "gc", images.SynchronousDelete())
	}
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	name, err := r.snapshotter(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = r.client.SnapshotService(name).Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		out = append(out, "snapshot "+i.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = r.client.ContentStore().Walk(ctx, func(i content.Info) error {
		out = append(out, "content "+i.Digest.String())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ls, err := r.client.LeasesService().List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range ls {
		out = append(out, "lease "+l.ID)
	}
	in, err := r.client.ContentStore().ListStatuses(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range in {
		out = append(out, "ingest "+s.Ref)
	}
	// Other daemons of other tests mount as well; this one's mounts are of folders below its own.
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(r.socket) + "/"
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "containerd-mount") && strings.Contains(line, dir) {
			out = append(out, "mount "+line)
		}
	}
	return out
}
