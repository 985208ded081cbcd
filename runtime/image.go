package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ErrCorrupt is wrapped by errors about content that is not what its digest or its size says, or about pieces of an image that do not
// belong together. The bundle is damaged or was tampered with; loading it again does not help.
var ErrCorrupt = errors.New("corrupt image content")

// Names are the names under which CRI must find an image.
type Names struct {
	Tag    string // registry.k8s.io/pause:3.10; empty if the reference has a digest and no tag
	Digest string // registry.k8s.io/pause@sha256:…
}

// Names normalises the reference as CRI runtimes do ("busybox" becomes "docker.io/library/busybox:latest") and adds the repository's name
// with the digest of the target.
func (i Image) Names() (Names, error) {
	named, err := reference.ParseDockerRef(i.Ref)
	if err != nil {
		return Names{}, fmt.Errorf("image reference %q: %w", i.Ref, err)
	}
	var n Names
	if t, ok := named.(reference.NamedTagged); ok {
		n.Tag = t.String()
	}
	d, err := digest.Parse(i.Target.Digest)
	if err != nil {
		return Names{}, fmt.Errorf("image %s: target digest %q: %w", i.Ref, i.Target.Digest, err)
	}
	c, err := reference.WithDigest(reference.TrimNamed(named), d)
	if err != nil {
		return Names{}, fmt.Errorf("image %s: %w", i.Ref, err)
	}
	n.Digest = c.String()
	return n, nil
}

// Validate checks the description itself, before anything is done with it.
func (i Image) Validate() error {
	if _, err := i.Names(); err != nil {
		return err
	}
	if len(i.DiffIDs) != len(i.Sizes) {
		return fmt.Errorf("image %s: %d diff IDs with %d sizes: %w", i.Ref, len(i.DiffIDs), len(i.Sizes), ErrCorrupt)
	}
	for _, d := range slices.Concat([]string{i.Target.Digest, i.Manifest.Digest, i.Config.Digest}, i.DiffIDs) {
		if err := digest.Digest(d).Validate(); err != nil {
			return fmt.Errorf("image %s: digest %q: %w", i.Ref, d, ErrCorrupt)
		}
	}
	return nil
}

// CheckContent checks that target, manifest and config, whose bytes already hashed to their digests, are one image: an index must list the
// manifest, the manifest must name the config, and the config must list the diff IDs. For an image whose target is its manifest, target
// and manifest are the same bytes.
func (i Image) CheckContent(target, manifest, config []byte) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("image %s: %s: %w", i.Ref, fmt.Sprintf(format, args...), ErrCorrupt)
	}
	if i.Target.Digest != i.Manifest.Digest {
		var idx ocispec.Index
		if err := json.Unmarshal(target, &idx); err != nil {
			return bad("index %s: %v", i.Target.Digest, err)
		}
		if !slices.ContainsFunc(idx.Manifests, func(d ocispec.Descriptor) bool { return d.Digest.String() == i.Manifest.Digest }) {
			return bad("index %s does not list manifest %s", i.Target.Digest, i.Manifest.Digest)
		}
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		return bad("manifest %s: %v", i.Manifest.Digest, err)
	}
	if m.Config.Digest.String() != i.Config.Digest {
		return bad("manifest %s names config %s, not %s", i.Manifest.Digest, m.Config.Digest, i.Config.Digest)
	}
	var c ocispec.Image
	if err := json.Unmarshal(config, &c); err != nil {
		return bad("config %s: %v", i.Config.Digest, err)
	}
	ids := make([]string, 0, len(c.RootFS.DiffIDs))
	for _, d := range c.RootFS.DiffIDs {
		ids = append(ids, d.String())
	}
	if !slices.Equal(ids, i.DiffIDs) {
		return bad("config %s lists other layers than the bundle", i.Config.Digest)
	}
	return nil
}
