package imagestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Artifact is something in a registry that is no image: a Helm chart, say. It goes the same way as an image: mirrors, credentials,
// cache, digests.
type Artifact struct {
	Digest string // of the manifest, sha256:<hex>
	Data   []byte // the one layer of the wanted media type
}

// Artifact brings the one layer of a media type, which may have up to limit bytes, into memory.
func (s *Store) Artifact(ctx context.Context, ref, mediaType string, limit int64) (*Artifact, error) {
	a, err := s.artifact(ctx, ref, mediaType, limit)
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("pull %s: %w", ref, err)
	}
	return a, errors.Join(err, ctx.Err())
}

func (s *Store) artifact(ctx context.Context, ref, mediaType string, limit int64) (*Artifact, error) {
	at, _, err := s.mirrored(ref)
	if err != nil {
		return nil, err
	}
	repo := at.Context()
	data, contentType, err := s.document(ctx, repo, "manifests/"+at.Identifier(), manifestTypes())
	if err != nil {
		return nil, classify(err, repo.RegistryStr())
	}
	kind, err := kindOf(data, contentType)
	if err != nil {
		return nil, err
	}
	if kind.IsIndex() {
		return nil, fmt.Errorf("an index: %w: want a single manifest", ErrUnsupported)
	}
	digest := sumOf(data)
	if sep := separator(at); sep == "@" && at.Identifier() != digest {
		return nil, &DigestError{What: "manifest", Want: at.Identifier(), Got: digest}
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	var layer *Descriptor
	for _, l := range m.Layers {
		if string(l.MediaType) != mediaType {
			continue
		}
		if layer != nil {
			return nil, fmt.Errorf("two layers of type %s: %w", mediaType, ErrUnsupported)
		}
		layer = &Descriptor{MediaType: mediaType, Digest: l.Digest.String(), Size: l.Size}
	}
	if layer == nil {
		return nil, fmt.Errorf("no layer of type %s: %w", mediaType, ErrUnsupported)
	}
	if layer.Size < 0 || layer.Size > limit {
		return nil, fmt.Errorf("layer of %d bytes: %w: at most %d", layer.Size, ErrUnsupported, limit)
	}
	s.remember(layer.Digest, source{repo: repo, ref: ref})
	if err := s.ensureBlob(ctx, *layer); err != nil {
		return nil, err
	}
	content, err := s.cache.get(ctx, layer.Digest, layer.Size)
	if err == nil && content == nil {
		err = fmt.Errorf("blob %s vanished from the cache", layer.Digest)
	}
	return &Artifact{Digest: digest, Data: content}, err
}
