package containerd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	cruntime "kubebundle/runtime"
)

// The labels are CRI's own (internal/cri/labels in containerd).
const (
	managedLabel, managedValue = "io.cri-containerd.image", "managed"
	pinnedLabel, pinnedValue   = "io.cri-containerd.pinned", "pinned"
)

// recordNames are the image records that a CRI pull makes, in the order in which they are created: the tag, under which
// people look, last.
func recordNames(img cruntime.Image) ([]string, error) {
	n, err := img.Names()
	if err != nil {
		return nil, err
	}
	names := []string{img.Config.Digest, n.Digest}
	if n.Tag != "" {
		names = append(names, n.Tag)
	}
	return names, nil
}

// Missing implements cruntime.Runtime. An image that was pulled in the ordinary way is missing until it is pinned, too; loading it then costs
// three records.
func (r *Runtime) Missing(ctx context.Context, list []cruntime.Image) ([]cruntime.Image, error) {
	if len(list) == 0 {
		return nil, nil
	}
	snapshotter, err := r.snapshotter(ctx)
	if err != nil {
		return nil, err
	}
	records, err := r.client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list containerd's images: %w", err)
	}
	byName := make(map[string]images.Image, len(records))
	for _, rec := range records {
		byName[rec.Name] = rec
	}
	var missing []cruntime.Image
	for _, img := range list {
		if err := img.Validate(); err != nil {
			return nil, err
		}
		ok, err := r.present(ctx, img, byName, snapshotter)
		if err != nil {
			return nil, fmt.Errorf("look for image %s: %w", img.Ref, err)
		}
		if !ok {
			missing = append(missing, img)
		}
	}
	return missing, nil
}

func (r *Runtime) present(ctx context.Context, img cruntime.Image, records map[string]images.Image, snapshotter string) (bool, error) {
	names, err := recordNames(img)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		rec, ok := records[name]
		if !ok || rec.Labels[pinnedLabel] != pinnedValue || rec.Labels[managedLabel] != managedValue {
			return false, nil
		}
		// The same config can stand in two manifests, so its record may lead to either.
		if name != img.Config.Digest && rec.Target.Digest.String() != img.Target.Digest {
			return false, nil
		}
	}
	for _, d := range []string{img.Target.Digest, img.Manifest.Digest, img.Config.Digest} {
		info, err := r.client.ContentStore().Info(ctx, digest.Digest(d))
		if errdefs.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if d == img.Config.Digest && len(img.DiffIDs) > 0 && info.Labels["containerd.io/gc.ref.snapshot."+snapshotter] == "" {
			return false, nil
		}
	}
	if len(img.DiffIDs) == 0 {
		return true, nil
	}
	ids := make([]digest.Digest, len(img.DiffIDs))
	for i, d := range img.DiffIDs {
		ids[i] = digest.Digest(d)
	}
	info, err := r.client.SnapshotService(snapshotter).Stat(ctx, identity.ChainID(ids).String())
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil && isCommitted(info), err
}

// register makes the images visible.
func (im *importer) register(ctx context.Context) error {
	for _, img := range im.plan.images {
		names, err := recordNames(img)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := im.record(ctx, name, img.Target); err != nil {
				return fmt.Errorf("register image %s: %w", name, err)
			}
		}
	}
	return nil
}

func (im *importer) record(ctx context.Context, name string, target cruntime.Descriptor) error {
	is := im.r.client.ImageService()
	rec := images.Image{
		Name:   name,
		Target: ocispec.Descriptor{MediaType: target.MediaType, Digest: digest.Digest(target.Digest), Size: target.Size},
		Labels: map[string]string{managedLabel: managedValue, pinnedLabel: pinnedValue},
	}
	_, err := is.Create(ctx, rec)
	if errdefs.IsAlreadyExists(err) {
		_, err = is.Update(ctx, rec, "target", "labels."+managedLabel, "labels."+pinnedLabel)
	}
	return err
}

// Remove implements cruntime.Runtime. With the last tag of an image go its records by digest, and then, collected by containerd, its content
// and snapshots, as far as nothing else needs them.
func (r *Runtime) Remove(ctx context.Context, refs []string) error {
	is := r.client.ImageService()
	var errs []error
	for _, ref := range refs {
		// Only the reference counts for the name.
		n, err := cruntime.Image{Ref: ref, Target: cruntime.Descriptor{Digest: digest.FromString("").String()}}.Names()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		name := n.Tag
		if name == "" {
			name = ref
		}
		rec, err := is.Get(ctx, name)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err == nil {
			err = r.removeRecord(ctx, rec)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove image %s: %w", ref, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Runtime) removeRecord(ctx context.Context, rec images.Image) error {
	is := r.client.ImageService()
	all, err := is.List(ctx)
	if err != nil {
		return err
	}
	var byDigest []string
	for _, other := range all {
		if other.Target.Digest != rec.Target.Digest || other.Name == rec.Name {
			continue
		}
		if !strings.Contains(other.Name, "@") && !strings.HasPrefix(other.Name, "sha256:") {
			byDigest = nil // another tag keeps the image
			break
		}
		byDigest = append(byDigest, other.Name)
	}
	for _, name := range append(byDigest, rec.Name) {
		var opts []images.DeleteOpt
		if name == rec.Name {
			opts = append(opts, images.SynchronousDelete())
		}
		if err := is.Delete(ctx, name, opts...); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}
