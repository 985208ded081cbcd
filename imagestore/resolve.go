package imagestore

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	specs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Resolve finds the platform's manifest. pull lists addresses to try in order (none: ref itself); ref is the name that the image will have.
// An address without an index whose config names another platform is only taken if no later address does better.
// The error is a *ResolveError, whose Unwrap tells what happened at each address.
func (s *Store) Resolve(ctx context.Context, ref string, pull []string, p Platform) (*Image, error) {
	if len(pull) == 0 {
		pull = []string{ref}
	}
	failed := &ResolveError{Ref: ref, Platform: p}
	var doubtful *Image
	tried := map[string]bool{}
	for _, candidate := range pull {
		parsed, address, err := s.mirrored(candidate)
		if err == nil && tried[parsed.Name()] {
			continue // two upstream names behind one mirror
		}
		var img *Image
		if err == nil {
			tried[parsed.Name()] = true
			img, err = s.resolveOne(ctx, ref, parsed, p)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			s.o.Log.DebugContext(ctx, "image not resolved", "ref", ref, "address", address, "err", err)
			failed.Attempts = append(failed.Attempts, Attempt{Address: address, Err: err})
			continue
		}
		img.Source = address
		if img.Target.Digest == img.Manifest.Digest && !configMatches(img, p) {
			doubtful = cmp.Or(doubtful, img)
			continue
		}
		return img, nil
	}
	if doubtful != nil {
		return doubtful, nil
	}
	return nil, failed
}

// document is what is common to an index and a manifest, enough to tell them apart.
type document struct {
	SchemaVersion int                `json:"schemaVersion"`
	MediaType     types.MediaType    `json:"mediaType"`
	Manifests     *[]json.RawMessage `json:"manifests"`
	Layers        *[]json.RawMessage `json:"layers"`
	Config        *json.RawMessage   `json:"config"`
}

// kindOf tells index from manifest by content, because a wrong Content-Type is common and a document that is both is an attack.
func kindOf(data []byte, contentType string) (types.MediaType, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return "", fmt.Errorf("manifest: %w: no JSON", ErrUnsupported)
	}
	if d.SchemaVersion != 2 {
		return "", fmt.Errorf("manifest of schema %d: %w: push the image again with a client of this decade", d.SchemaVersion, ErrUnsupported)
	}
	index, manifest := d.Manifests != nil, d.Layers != nil || d.Config != nil
	if index == manifest {
		return "", fmt.Errorf("manifest: %w: neither index nor manifest, or both", ErrUnsupported)
	}
	contentType, _, _ = strings.Cut(contentType, ";")
	kind := cmp.Or(d.MediaType, types.MediaType(contentType))
	switch {
	case index && kind.IsIndex(), manifest && kind.IsImage():
		return kind, nil
	case d.MediaType != "":
		return "", fmt.Errorf("manifest of type %s: %w", d.MediaType, ErrUnsupported)
	case index:
		return types.OCIImageIndex, nil
	}
	return types.OCIManifestSchema1, nil
}

// resolveOne resolves at one address.
func (s *Store) resolveOne(ctx context.Context, ref string, at name.Reference, p Platform) (*Image, error) {
	repo := at.Context()
	top, contentType, err := s.document(ctx, repo, "manifests/"+at.Identifier(), manifestTypes())
	if err != nil {
		err = classify(err, repo.RegistryStr())
		if errors.Is(err, ErrNotFound) {
			if near := s.nearTags(ctx, repo, at.Identifier()); len(near) > 0 {
				return nil, &TagError{Err: err, Near: near}
			}
		}
		return nil, err
	}
	kind, err := kindOf(top, contentType)
	if err != nil {
		return nil, err
	}
	img := &Image{
		Ref: ref, Platform: p, Blobs: map[string][]byte{},
		Target: Descriptor{MediaType: string(kind), Digest: sumOf(top), Size: int64(len(top))},
	}
	if _, byDigest := at.(name.Digest); byDigest && at.Identifier() != img.Target.Digest {
		return nil, &DigestError{What: "manifest", Want: at.Identifier(), Got: img.Target.Digest}
	}
	img.Blobs[img.Target.Digest] = top
	manifest := top
	img.Manifest = img.Target
	if kind.IsIndex() {
		if img.Manifest, err = choose(top, p); err != nil {
			return nil, err
		}
		if manifest, err = s.verified(ctx, repo, "manifest", "manifests", img.Manifest); err != nil {
			return nil, fmt.Errorf("manifest %s: %w", img.Manifest.Digest, err)
		}
		if kind, err = kindOf(manifest, img.Manifest.MediaType); err != nil {
			return nil, err
		}
		if kind.IsIndex() {
			return nil, fmt.Errorf("index inside an index: %w", ErrUnsupported)
		}
		img.Blobs[img.Manifest.Digest] = manifest
	}
	return img, s.readManifest(ctx, img, repo, manifest)
}

// choose picks the platform's entry of an index: the best variant that the platform can run, never another architecture.
func choose(index []byte, p Platform) (Descriptor, error) {
	idx, err := v1.ParseIndexManifest(bytes.NewReader(index))
	if err != nil {
		return Descriptor{}, fmt.Errorf("index: %w", err)
	}
	want := platforms.Normalize(specs.Platform{OS: p.OS, Architecture: p.Arch, Variant: p.Variant})
	match := platforms.Only(want)
	toSpec := func(q *v1.Platform) specs.Platform {
		return platforms.Normalize(specs.Platform{OS: q.OS, Architecture: q.Architecture, Variant: q.Variant})
	}
	var best *v1.Descriptor
	var has []string
	for i := range idx.Manifests {
		d := &idx.Manifests[i]
		if d.Platform == nil || d.Platform.OS == "unknown" {
			continue // attestations
		}
		if q := d.Platform.String(); !slices.Contains(has, q) {
			has = append(has, q)
		}
		q := toSpec(d.Platform)
		if q.OS != want.OS || q.Architecture != want.Architecture || !match.Match(q) {
			continue
		}
		if best == nil || match.Less(q, toSpec(best.Platform)) {
			best = d
		}
	}
	if best == nil {
		return Descriptor{}, fmt.Errorf("%s: %w: the index has %s", p, ErrPlatform, cmp.Or(strings.Join(has, ", "), "none"))
	}
	return Descriptor{MediaType: string(best.MediaType), Digest: best.Digest.String(), Size: best.Size}, nil
}

// readManifest fills in config and layers.
func (s *Store) readManifest(ctx context.Context, img *Image, repo name.Repository, data []byte) error {
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if !m.Config.MediaType.IsConfig() {
		return fmt.Errorf("config of type %s: %w: this is no container image", m.Config.MediaType, ErrUnsupported)
	}
	img.Config = Descriptor{MediaType: string(m.Config.MediaType), Digest: m.Config.Digest.String(), Size: m.Config.Size}
	raw, err := s.verified(ctx, repo, "config", "blobs", img.Config)
	if err != nil {
		return fmt.Errorf("config %s: %w", img.Config.Digest, err)
	}
	img.Blobs[img.Config.Digest] = raw
	cfg, err := v1.ParseConfigFile(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if len(cfg.RootFS.DiffIDs) != len(m.Layers) {
		return fmt.Errorf("config: %w: %d layers in the manifest, %d diff IDs in the config", ErrUnsupported, len(m.Layers), len(cfg.RootFS.DiffIDs))
	}
	for i, l := range m.Layers {
		layer := Layer{
			DiffID: cfg.RootFS.DiffIDs[i].String(),
			Blob:   Descriptor{MediaType: string(l.MediaType), Digest: l.Digest.String(), Size: l.Size},
		}
		if err := checkLayer(layer, l); err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
		img.Layers = append(img.Layers, layer)
	}
	for _, l := range img.Layers {
		s.remember(l.Blob.Digest, source{repo: repo, ref: img.Ref})
	}
	return nil
}

// checkLayer refuses layers that cannot be had from the registry or not be unpacked.
func checkLayer(l Layer, d v1.Descriptor) error {
	if len(d.URLs) > 0 || !d.MediaType.IsDistributable() {
		return fmt.Errorf("%w: its content lies outside the registry (foreign layer)", ErrUnsupported)
	}
	switch d.MediaType {
	case types.DockerLayer, types.DockerUncompressedLayer, types.OCILayer, types.OCIUncompressedLayer, types.OCILayerZStd:
	default:
		return fmt.Errorf("type %s: %w", d.MediaType, ErrUnsupported)
	}
	if l.Blob.Size < 0 {
		return fmt.Errorf("size %d: %w", l.Blob.Size, ErrUnsupported)
	}
	if err := checkDigest(l.Blob.Digest); err != nil {
		return err
	}
	return checkDigest(l.DiffID)
}

// nearest picks the three tags that look most like the wanted one: the longest common beginning, then the latest.
func nearest(r io.Reader, want string) []string {
	var list struct {
		Tags []string `json:"tags"`
	}
	if err := json.NewDecoder(bufio.NewReader(r)).Decode(&list); err != nil {
		return nil
	}
	// What signing tools push, and what comes before a release, is no help to whoever asked for a release.
	tags := slices.DeleteFunc(list.Tags, func(t string) bool {
		return strings.HasPrefix(t, "sha256-") || strings.Contains(t, "-") && !strings.Contains(want, "-")
	})
	common := func(t string) int {
		n := 0
		for n < len(t) && n < len(want) && t[n] == want[n] {
			n++
		}
		return n
	}
	// Of equally long beginnings, the longer tag is the later number: v1.34.10 after v1.34.9.
	slices.SortFunc(tags, func(a, b string) int { return cmp.Or(common(b)-common(a), len(b)-len(a), cmp.Compare(b, a)) })
	return tags[:min(3, len(tags))]
}
