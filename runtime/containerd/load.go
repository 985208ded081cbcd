package containerd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	cruntime "kubebundle/runtime"
)

// maxBlob bounds what is held in memory of an index, manifest or config. Registries refuse manifests over 4 MiB.
const maxBlob = 16 << 20

// importer is one Load.
type importer struct {
	r           *Runtime
	snapshotter string
	sn          snapshots.Snapshotter
	cs          content.Store
	lease       leases.Lease
	plan        *plan
	direct      bool
	dir         *os.File // a folder on the snapshots' file system, if that is here
	pump        *pump
}

// Load implements cruntime.Runtime. Images that are complete are left alone; if all are, src is not read.
func (r *Runtime) Load(ctx context.Context, images []cruntime.Image, src cruntime.Source, progress func(cruntime.Event)) (err error) {
	missing, err := r.Missing(ctx, images)
	if err != nil || len(missing) == 0 {
		return err
	}
	snapshotter, err := r.snapshotter(ctx)
	if err != nil {
		return err
	}
	im := &importer{r: r, snapshotter: snapshotter, sn: r.client.SnapshotService(snapshotter), cs: r.client.ContentStore(), pump: newPump()}
	if im.plan, err = newPlan(missing, snapshotter); err != nil {
		return err
	}
	if err := r.dropInterrupted(ctx); err != nil {
		return err
	}
	if im.lease, err = r.takeLease(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.endLease(ctx, im.lease, err != nil)) }()
	return im.run(leases.WithLease(ctx, im.lease.ID), src, progress)
}

func (im *importer) run(ctx context.Context, src cruntime.Source, progress func(cruntime.Event)) (err error) {
	if im.direct, err = im.reachable(ctx); err != nil {
		return err
	}
	if im.dir != nil {
		defer im.dir.Close()
	}
	if err := im.findPresent(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	unpacked := make(chan struct{}, 1)
	g.Go(func() error { return im.flush(unpacked) })
	// The reader is one of the group, so that the first error of anybody stops everybody and is the one reported.
	g.Go(func() error {
		defer close(unpacked)
		return im.read(gctx, g, src, unpacked, progress)
	})
	if err := g.Wait(); err != nil && ctx.Err() != nil {
		// What the daemon's side says of a stream that was cut off differs from time to time.
		return fmt.Errorf("import images: %w", ctx.Err())
	} else if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("import images: %w (make room in containerd's folder and run the same command again)", err)
	} else if err != nil {
		return fmt.Errorf("import images: %w", err)
	}
	if err := im.checkImages(); err != nil {
		return fmt.Errorf("import images: %w", err)
	}
	if err := im.sync(); err != nil {
		return fmt.Errorf("import images: %w", err)
	}
	if err := im.register(ctx); err != nil {
		return fmt.Errorf("import images: %w", err)
	}
	return im.r.awaitCRI(ctx, im.plan.images)
}

// findPresent marks the snapshots that are there already and keeps them there. A chain is asked for from the top, since a
// snapshot holds all those below it.
func (im *importer) findPresent(ctx context.Context) error {
	for i := len(im.plan.order) - 1; i >= 0; i-- {
		n := im.plan.order[i]
		if n.exists {
			continue
		}
		info, err := im.sn.Stat(ctx, n.chain)
		if errdefs.IsNotFound(err) || (err == nil && !isCommitted(info)) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for snapshot %s: %w", n.chain, err)
		}
		if err := im.keep(ctx, n.chain); err != nil {
			return err
		}
		// It may have been collected between the two calls; now it cannot be any more.
		if _, err := im.sn.Stat(ctx, n.chain); errdefs.IsNotFound(err) {
			continue
		} else if err != nil {
			return fmt.Errorf("look for snapshot %s: %w", n.chain, err)
		}
		for m := n; m != nil && !m.exists; m = m.parent {
			m.exists = true
			close(m.done)
		}
	}
	return nil
}

// flushBytes of layers are unpacked before they are written to the disk.
const flushBytes = 64 << 20

// flush has the disk write what was unpacked while the processor decodes what comes next. The kernel would leave nearly all of it to the sync at the end,
// during which the processor has nothing to do. An error is told by one of the syncs only, so it counts here as it does there.
func (im *importer) flush(unpacked <-chan struct{}) error {
	for range unpacked {
		if im.dir == nil {
			continue
		}
		if err := im.sync(); err != nil {
			return err
		}
	}
	return nil
}

// read takes what is needed from the source and starts the work on it. It tells unpacked, if that listens, about every flushBytes.
func (im *importer) read(ctx context.Context, g *errgroup.Group, src cruntime.Source, unpacked chan<- struct{}, progress func(cruntime.Event)) error {
	total, done, told := im.plan.bytes(), int64(0), int64(0)
	for !im.plan.complete() {
		b, rd, err := src.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("the source ended without %s: %w", im.plan.lacking(), io.ErrUnexpectedEOF)
		}
		if err != nil {
			return err
		}
		if want := im.plan.blobs[b.Digest]; want != nil && !b.Layer && want.data == nil {
			if err := readBlob(want, b, rd); err != nil {
				return err
			}
			g.Go(func() error { return im.writeBlob(ctx, want) })
			continue
		}
		l := im.plan.layers[b.Digest]
		if l == nil || !b.Layer || len(l.wanted()) == 0 {
			continue
		}
		if l.size != b.Size {
			return fmt.Errorf("layer %s: %d bytes instead of %d: %w", b.Digest, b.Size, l.size, cruntime.ErrCorrupt)
		}
		err = im.readLayer(ctx, g, l, rd, func(n int64) {
			done += n
			if done-told >= flushBytes {
				told = done
				select {
				case unpacked <- struct{}{}:
				default: // it is still at the last one
				}
			}
			if progress != nil {
				progress(cruntime.Event{Image: l.image, Done: done, Total: total})
			}
		})
		if err != nil {
			return fmt.Errorf("read layer %s: %w", b.Digest, err)
		}
	}
	return nil
}

// readLayer streams one layer to everything that wants it: a hash, unless the reader is one itself, the snapshots that can be filled at once, and the
// content store for those that cannot.
func (im *importer) readLayer(ctx context.Context, g *errgroup.Group, l *layer, rd io.Reader, read func(int64)) error {
	now, later := l.split()
	if !im.direct {
		now, later = nil, append(now, later...)
	}
	hashed, stored := make(chan struct{}), make(chan struct{})
	var feeds []*feed
	start := func(work func(f *feed) error) {
		f := im.pump.feed(ctx)
		feeds = append(feeds, f)
		g.Go(func() error { return work(f) })
	}
	if v, ok := rd.(cruntime.Verified); ok && v.Verified() == l.diffID {
		close(hashed) // a feed ends only when the reader did
	} else {
		start(func(f *feed) error {
			h := sha256.New()
			if _, err := io.Copy(h, f); err != nil {
				return err
			}
			if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != l.diffID {
				return fmt.Errorf("layer %s of image %s has digest %s: %w", l.diffID, l.image, got, cruntime.ErrCorrupt)
			}
			close(hashed)
			return nil
		})
	}
	for _, n := range now {
		start(func(f *feed) error { return im.applyNow(ctx, n, f, hashed) })
	}
	if len(later) > 0 {
		start(func(f *feed) error { return im.store(ctx, l, f, stored) })
	}
	for _, n := range later {
		g.Go(func() error { return im.applyLater(ctx, n, stored) })
	}
	return im.pump.run(ctx, rd, l.size, feeds, read)
}

func readBlob(want *blob, b cruntime.Blob, rd io.Reader) error {
	if b.Size != want.desc.Size || b.Size > maxBlob {
		return fmt.Errorf("blob %s: %d bytes instead of %d (at most %d): %w", b.Digest, b.Size, want.desc.Size, maxBlob, cruntime.ErrCorrupt)
	}
	data, err := io.ReadAll(io.LimitReader(rd, b.Size+1))
	if err != nil {
		return fmt.Errorf("read blob %s: %w", b.Digest, err)
	}
	if int64(len(data)) != b.Size || digest.FromBytes(data).String() != b.Digest {
		return fmt.Errorf("blob %s: %d bytes with digest %s: %w", b.Digest, len(data), digest.FromBytes(data), cruntime.ErrCorrupt)
	}
	want.data = data
	return nil
}

// writeBlob puts an index, manifest or config into the content store, with the references by which the garbage collector finds what it needs.
func (im *importer) writeBlob(ctx context.Context, b *blob) error {
	desc := ocispec.Descriptor{MediaType: b.desc.MediaType, Digest: digest.Digest(b.desc.Digest), Size: b.desc.Size}
	w, err := content.OpenWriter(ctx, im.cs, content.WithRef(im.key(b.desc.Digest)), content.WithDescriptor(desc))
	if err == nil {
		defer w.Close()
		err = content.Copy(ctx, w, bytes.NewReader(b.data), desc.Size, desc.Digest, content.WithLabels(b.labels))
		if err != nil {
			return fmt.Errorf("store blob %s: %w", desc.Digest, err)
		}
		return nil
	}
	if !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("store blob %s: %w", desc.Digest, err)
	}
	if err := im.keepContent(ctx, b.desc.Digest); err != nil {
		return err
	}
	var fields []string
	for k := range b.labels {
		fields = append(fields, "labels."+k)
	}
	if len(fields) == 0 {
		return nil
	}
	if _, err := im.cs.Update(ctx, content.Info{Digest: desc.Digest, Labels: b.labels}, fields...); err != nil {
		return fmt.Errorf("label blob %s: %w", desc.Digest, err)
	}
	return nil
}

func (im *importer) checkImages() error {
	for _, img := range im.plan.images {
		b := im.plan.blobs
		if err := img.CheckContent(b[img.Target.Digest].data, b[img.Manifest.Digest].data, b[img.Config.Digest].data); err != nil {
			return err
		}
	}
	return nil
}

// sync writes the snapshots' files out, so that no image record that survives a power cut names files that did not. containerd itself syncs
// its database and content store.
func (im *importer) sync() error {
	if im.dir == nil {
		unix.Sync() // the daemon wrote, somewhere
		return nil
	}
	if err := unix.Syncfs(int(im.dir.Fd())); err != nil {
		return fmt.Errorf("sync the snapshots' file system: %w", err)
	}
	return nil
}

// awaitCRI returns when CRI answers for the images: it learns of them by events, a moment later.
func (r *Runtime) awaitCRI(ctx context.Context, images []cruntime.Image) error {
	deadline := time.Now().Add(10 * time.Second)
	for _, img := range images {
		names, err := img.Names()
		if err != nil {
			return err
		}
		name := names.Tag
		if name == "" {
			name = names.Digest
		}
		for {
			got, err := r.criImage(ctx, name)
			if err != nil {
				if !hasCRI(err) {
					return nil
				}
				return fmt.Errorf("ask CRI for image %s: %w", name, err)
			}
			if got.GetId() == img.Config.Digest {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("image %s was imported but CRI does not list it after 10 s; its log says why (journalctl -u containerd)", name)
			}
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
