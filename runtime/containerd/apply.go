package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/errdefs"
	"github.com/moby/sys/userns"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	cruntime "kubebundle/runtime"
)

// errNotHere says that mounts lead to no folder that this process can write the layer to.
var errNotHere = errors.New("the snapshot's folder is not reachable from here")

// folder is where a prepared snapshot's own files go, and how to write them so that the snapshotter understands them. It follows
// containerd's own applier (core/diff/apply), without the temporary mount of a bottom layer: a bind mount of a folder is that folder.
func folder(mounts []mount.Mount) (string, []archive.ApplyOpt, error) {
	if len(mounts) != 1 {
		return "", nil, errNotHere
	}
	var dir string
	var opts []archive.ApplyOpt
	switch m := mounts[0]; m.Type {
	case "bind":
		dir = m.Source
	case "overlay":
		// A whiteout is a device node for overlayfs, and removes nothing from the parents.
		opts = append(opts, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
		for _, o := range m.Options {
			if upper, ok := strings.CutPrefix(o, "upperdir="); ok {
				dir = upper
			} else if lower, ok := strings.CutPrefix(o, "lowerdir="); ok {
				opts = append(opts, archive.WithParents(strings.Split(lower, ":")))
			}
		}
	}
	if dir == "" {
		return "", nil, errNotHere
	}
	if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
		return "", nil, errNotHere
	}
	return dir, opts, nil
}

// reachable tells by a throw-away snapshot whether layers can be written from here: overlayfs and native only, since others hand out what
// has to be mounted, by means that this host may lack; the folder must be there and empty as the daemon left it, for the
// daemon can live in another mount namespace; and device nodes must be allowed, for whiteouts.
func (im *importer) reachable(ctx context.Context) (bool, error) {
	if im.r.opts.DaemonApplies || userns.RunningInUserNS() || os.Geteuid() != 0 {
		return false, nil
	}
	if im.snapshotter != "overlayfs" && im.snapshotter != "native" {
		return false, nil
	}
	key := im.key("probe")
	mounts, err := im.sn.Prepare(ctx, key, "")
	if err != nil {
		return false, fmt.Errorf("prepare a snapshot with %s: %w", im.snapshotter, err)
	}
	ok := im.openEmpty(mounts)
	if err := im.sn.Remove(ctx, key); err != nil {
		return false, fmt.Errorf("remove a snapshot from %s: %w", im.snapshotter, err)
	}
	return ok, nil
}

// openEmpty opens the folder of a fresh snapshot, if it is here and empty. It stays open for the sync at the end.
func (im *importer) openEmpty(mounts []mount.Mount) bool {
	dir, _, err := folder(mounts)
	if err != nil {
		return false
	}
	f, err := os.Open(dir)
	if err != nil {
		return false
	}
	if _, err := f.Readdirnames(1); !errors.Is(err, io.EOF) {
		f.Close() //nolint:gosec // only read
		return false
	}
	im.dir = f
	return true
}

// key is a snapshot key of this import alone, so that no leftover and no other import can be in the way.
func (im *importer) key(name string) string { return "kubebundle-" + im.lease.ID + "-" + name }

// applyNow makes a node's snapshot from the stream.
func (im *importer) applyNow(ctx context.Context, n *node, f *feed, hashed <-chan struct{}) error {
	return im.makeSnapshot(ctx, n, func(mounts []mount.Mount) error {
		dir, opts, err := folder(mounts)
		if err != nil {
			return err
		}
		if _, err := archive.Apply(ctx, dir, f, opts...); err != nil {
			return err
		}
		// A tar ends before its padding does.
		if _, err := io.Copy(io.Discard, f); err != nil {
			return err
		}
		return wait(ctx, hashed)
	})
}

// applyLater makes a node's snapshot from the content store once the layer is in there.
func (im *importer) applyLater(ctx context.Context, n *node, stored <-chan struct{}) error {
	if err := wait(ctx, stored); err != nil {
		return err
	}
	return im.makeSnapshot(ctx, n, func(mounts []mount.Mount) error {
		got, err := im.r.client.DiffService().Apply(ctx, layerDescriptor(n.layer), mounts)
		if err != nil {
			return err
		}
		if got.Digest.String() != n.layer.diffID {
			return fmt.Errorf("containerd applied %s: %w", got.Digest, cruntime.ErrCorrupt)
		}
		return nil
	})
}

// makeSnapshot waits for the parent, prepares, fills and commits. Committing what somebody else committed meanwhile is fine:
// the name says what is in it.
func (im *importer) makeSnapshot(ctx context.Context, n *node, fill func([]mount.Mount) error) error {
	var parent string
	if n.parent != nil {
		if err := wait(ctx, n.parent.done); err != nil {
			return err
		}
		parent = n.parent.chain
	}
	key := im.key(n.chain)
	mounts, err := im.sn.Prepare(ctx, key, parent)
	if err != nil {
		return fmt.Errorf("prepare a snapshot for layer %s: %w", n.layer.diffID, err)
	}
	if err := fill(mounts); err != nil {
		return fmt.Errorf("apply layer %s: %w", n.layer.diffID, err)
	}
	if err := im.sn.Commit(ctx, n.chain, key); err != nil {
		if !errdefs.IsAlreadyExists(err) {
			return fmt.Errorf("commit layer %s: %w", n.layer.diffID, err)
		}
		if err := im.keep(ctx, n.chain); err != nil {
			return err
		}
		if err := im.sn.Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("remove a snapshot of layer %s: %w", n.layer.diffID, err)
		}
	}
	close(n.done)
	return nil
}

// store puts a layer into the content store, under the lease and no name. The collector takes it when the lease ends.
func (im *importer) store(ctx context.Context, l *layer, f *feed, stored chan<- struct{}) (err error) {
	desc := layerDescriptor(l)
	w, err := content.OpenWriter(ctx, im.cs, content.WithRef(im.key(l.diffID)), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		if _, err := io.Copy(io.Discard, f); err != nil {
			return err
		}
		if err := im.keepContent(ctx, l.diffID); err != nil {
			return err
		}
		close(stored)
		return nil
	}
	if err != nil {
		return fmt.Errorf("store layer %s: %w", l.diffID, err)
	}
	defer w.Close()
	if _, err := io.Copy(w, f); err != nil {
		return fmt.Errorf("store layer %s: %w", l.diffID, err)
	}
	if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("store layer %s: %w", l.diffID, err)
	}
	close(stored)
	return nil
}

func layerDescriptor(l *layer) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.Digest(l.diffID), Size: l.size}
}

// keep puts a committed snapshot under the lease.
func (im *importer) keep(ctx context.Context, chain string) error {
	err := im.r.client.LeasesService().AddResource(ctx, im.lease, leases.Resource{ID: chain, Type: "snapshots/" + im.snapshotter})
	if err != nil {
		return fmt.Errorf("keep snapshot %s: %w", chain, err)
	}
	return nil
}

func (im *importer) keepContent(ctx context.Context, dgst string) error {
	err := im.r.client.LeasesService().AddResource(ctx, im.lease, leases.Resource{ID: dgst, Type: "content"})
	if err != nil {
		return fmt.Errorf("keep content %s: %w", dgst, err)
	}
	return nil
}

func isCommitted(info snapshots.Info) bool { return info.Kind == snapshots.KindCommitted }

func wait(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
