package imagestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Signature is a signature that a registry holds beside an image, as it lies there. This package checks digests, not
// signatures.
type Signature struct {
	Of       string // digest that was signed: of the index or of the manifest
	Kind     string // "cosign" (a tag beside the image), or the artifact type of an OCI referrer
	Manifest Descriptor
	Parts    []Descriptor // config and layers of that manifest; the bytes are in Image.Blobs
}

// KindCosign is a signature under cosign's tag: sha256-<hex>.sig.
const KindCosign = "cosign"

// signatureTypes are the artifact types of referrers that are signatures: cosign's own, sigstore's bundle, notation's.
// What else refers to an image (SBOMs, provenance, attestations of builders) is not looked at.
func signatureTypes() []string {
	return []string{
		"application/vnd.dev.cosign.artifact.sig.v1+json",
		"application/vnd.dev.sigstore.bundle.v0.3+json",
		"application/vnd.cncf.notary.signature",
	}
}

// Limits, because whoever may push to a repository may also push signatures of anything.
const (
	maxSignatures    = 16      // manifests per signed digest
	maxSignatureSize = 1 << 20 // bytes of one part
	maxParts         = 64      // of one manifest
)

// Signatures looks for the signatures of a resolved image, of its index and of its manifest, where the image came from:
// under cosign's tag, then through the referrers API or its fallback tag. That there are none is no error. Image.Signatures
// and Image.Blobs take what is found. A signature that cannot be had, or that is larger than signatures are, is a warning of
// the image: it vouches for nothing that is not checked here anyway.
func (s *Store) Signatures(ctx context.Context, img *Image) error {
	at, err := name.ParseReference(img.Source, s.nameOptions(img.Source)...)
	if err != nil {
		return fmt.Errorf("image name %q: %w", img.Source, err)
	}
	for _, digest := range slices.Compact([]string{img.Target.Digest, img.Manifest.Digest}) {
		f := &finder{s: s, repo: at.Context(), img: img, of: digest}
		f.cosign(ctx)
		f.referrers(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// finder looks for the signatures of one digest.
type finder struct {
	s    *Store
	repo name.Repository
	img  *Image
	of   string
	n    int
}

func (f *finder) warn(err error) {
	f.img.Warnings = append(f.img.Warnings, fmt.Sprintf("image %s: a signature of %s is left out: %v", f.img.Ref, f.of, err))
}

// ask gets a document that need not be there: nil without it.
func (f *finder) ask(ctx context.Context, path string, accept ...types.MediaType) []byte {
	key := f.repo.Name() + "/" + path
	f.s.mu.Lock()
	data, known := f.s.asked[key]
	f.s.mu.Unlock()
	if known {
		return data
	}
	list := make([]string, 0, len(accept))
	for _, a := range accept {
		list = append(list, string(a))
	}
	data, _, err := f.s.document(ctx, f.repo, path, list)
	remember := func() []byte {
		f.s.mu.Lock()
		defer f.s.mu.Unlock()
		f.s.asked[key] = data
		return data
	}
	if err == nil {
		return remember()
	}
	data = nil
	// Registries differ in how they say that they do not have it, or do not know what was asked for.
	if code := statusOf(err); code < http.StatusBadRequest || code >= http.StatusInternalServerError {
		f.warn(classify(err, f.repo.RegistryStr()))
		return nil
	}
	return remember()
}

func (f *finder) tag() string { return strings.Replace(f.of, ":", "-", 1) }

func (f *finder) cosign(ctx context.Context) {
	data := f.ask(ctx, "manifests/"+f.tag()+".sig", types.OCIManifestSchema1, types.DockerManifestSchema2)
	if data != nil {
		f.take(ctx, KindCosign, Descriptor{MediaType: string(types.OCIManifestSchema1), Digest: sumOf(data), Size: int64(len(data))}, data)
	}
}

func (f *finder) referrers(ctx context.Context) {
	data := f.ask(ctx, "referrers/"+f.of, types.OCIImageIndex)
	if data == nil {
		data = f.ask(ctx, "manifests/"+f.tag(), types.OCIImageIndex)
	}
	if data == nil {
		return
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return // something else under that tag, or a page of HTML
	}
	for _, d := range index.Manifests {
		if !slices.Contains(signatureTypes(), d.ArtifactType) {
			continue
		}
		desc := Descriptor{MediaType: string(d.MediaType), Digest: d.Digest.String(), Size: d.Size}
		manifest, err := f.s.verified(ctx, f.repo, "signature", "manifests", desc)
		if err != nil {
			f.warn(err)
			continue
		}
		f.take(ctx, d.ArtifactType, desc, manifest)
	}
}

// take reads the parts of a signature's manifest.
func (f *finder) take(ctx context.Context, kind string, desc Descriptor, manifest []byte) {
	sig, blobs, err := f.read(ctx, kind, desc, manifest)
	if err != nil {
		f.warn(err)
		return
	}
	if slices.ContainsFunc(f.img.Signatures, func(have Signature) bool { return have.Of == sig.Of && have.Manifest.Digest == sig.Manifest.Digest }) {
		return
	}
	if f.n++; f.n > maxSignatures {
		f.warn(fmt.Errorf("there are more than %d", maxSignatures))
		return
	}
	f.img.Signatures = append(f.img.Signatures, *sig)
	for digest, data := range blobs {
		f.img.Blobs[digest] = data
	}
}

func (f *finder) read(ctx context.Context, kind string, desc Descriptor, manifest []byte) (*Signature, map[string][]byte, error) {
	if desc.Size > maxSignatureSize {
		return nil, nil, fmt.Errorf("manifest of %d bytes: %w", desc.Size, ErrUnsupported)
	}
	m, err := v1.ParseManifest(bytes.NewReader(manifest))
	if err != nil {
		return nil, nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	if kind != KindCosign && (m.Subject == nil || m.Subject.Digest.String() != f.of) {
		return nil, nil, errors.New("its manifest speaks of another image")
	}
	if len(m.Layers)+1 > maxParts {
		return nil, nil, fmt.Errorf("manifest %s: %w: more than %d parts", desc.Digest, ErrUnsupported, maxParts)
	}
	sig := &Signature{Of: f.of, Kind: kind, Manifest: desc}
	blobs := map[string][]byte{desc.Digest: manifest}
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		part := Descriptor{MediaType: string(d.MediaType), Digest: d.Digest.String(), Size: d.Size}
		if part.Size < 0 || part.Size > maxSignatureSize {
			return nil, nil, fmt.Errorf("part %s of %d bytes: %w", part.Digest, part.Size, ErrUnsupported)
		}
		data, err := f.s.verified(ctx, f.repo, "signature", "blobs", part)
		if err != nil {
			return nil, nil, fmt.Errorf("part %s: %w", part.Digest, err)
		}
		blobs[part.Digest] = data
		sig.Parts = append(sig.Parts, part)
	}
	return sig, blobs, nil
}
