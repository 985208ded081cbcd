package builder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"kubebundle/bundle"
	"kubebundle/bundle/encoder"
	"kubebundle/imagestore"
	"kubebundle/manifests"
)

// Result is a built bundle.
type Result struct {
	bundle.Result
	Warnings []string // of the plan and of the build
}

// gathered is what a build knows before it packs.
type gathered struct {
	images   []*imagestore.Image
	programs []packed
	warnings []string
}

// Gather resolves the images of a plan and brings its programs. Build does that by itself; who builds several plans gathers all of them first,
// so that what the second one lacks is known before the first one was packed.
func (b *Builder) Gather(ctx context.Context, p *Plan) error {
	g, err := b.gather(ctx, p)
	if err == nil {
		p.gathered = g
	}
	return err
}

// Build does what a plan says. On any error nothing is left at the output; what was pulled stays in the store's cache,
// so that the next try goes on from there.
func (b *Builder) Build(ctx context.Context, p *Plan) (*Result, error) {
	enc, err := encoder.New(p.req.Compression)
	if err != nil {
		return nil, err
	}
	if p.gathered == nil {
		if err := b.Gather(ctx, p); err != nil {
			return nil, err
		}
	}
	images, warnings := p.gathered.images, slices.Clone(p.gathered.warnings)
	c, content, err := b.compose(p, images, p.gathered.programs)
	if err != nil {
		return nil, err
	}
	defer content.cursor.close()
	if err := p.complete(c); err != nil {
		return nil, err
	}
	b.tell(Event{Stage: StageBegin, Name: p.Output, Arch: p.Arch})
	var written *bundle.Result
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.Store.Fetch(gctx, images) })
	g.Go(func() error {
		for {
			track := newTracker(c, c.Entries())
			var err error
			written, err = bundle.Write(gctx, p.Output, c, content, bundle.WriteOptions{
				Encoder: enc, QuickDeflate: p.req.Compression == encoder.Fast, ModTime: p.req.ModTime, PartSize: p.req.PartSize, Base: p.req.Base, Sign: p.req.Sign,
				Progress: func(e bundle.WriteEvent) { b.tell(track.event(e)) },
			})
			if !content.retry(err) {
				return content.allForeign(gctx, c, err)
			}
		}
	})
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	name := p.Output
	if n := len(written.Parts); n > 0 {
		name = fmt.Sprintf("%s in %d parts", name, n)
	}
	b.tell(Event{Stage: StageFinish, Name: name, Arch: p.Arch, Done: written.Size, Size: written.Size})
	for _, img := range images {
		warnings = append(warnings, img.Warnings...)
	}
	warnings = append(warnings, content.allowedForeign()...)
	return &Result{Result: *written, Warnings: append(p.warnings(c), warnings...)}, nil
}

// resolve finds all images; what cannot be found is reported together.
func (b *Builder) resolve(ctx context.Context, p *Plan) ([]*imagestore.Image, error) {
	images := make([]*imagestore.Image, len(p.Images))
	errs := make([]error, len(p.Images))
	var g errgroup.Group
	g.SetLimit(b.jobs())
	for i, want := range p.Images {
		g.Go(func() error {
			img, err := b.Store.Resolve(ctx, want.Ref, want.Pull, imagestore.Platform{OS: "linux", Arch: string(p.Arch)})
			if err != nil {
				errs[i] = fmt.Errorf("%w (needed by %s)", err, strings.Join(want.By, ", "))
				return nil
			}
			if !p.req.NoUpstreamSignatures {
				if err := b.Store.Signatures(ctx, img); err != nil {
					errs[i] = err
					return nil
				}
			}
			images[i] = img
			b.tell(Event{Stage: StageResolve, Name: want.Ref, Arch: p.Arch})
			return nil
		})
	}
	_ = g.Wait() // its functions return nil, errs has what went wrong
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return images, nil
}

// compose makes the contract and finds the bytes behind each of its lines.
func (b *Builder) compose(p *Plan, images []*imagestore.Image, programs []packed) (*bundle.Contract, *content, error) {
	c := &bundle.Contract{
		Format: bundle.FormatVersion, KubernetesVersion: p.KubernetesVersion, OS: "linux", Arch: string(p.Arch),
		Builder: p.req.Builder, ImageRepository: p.req.ImageRepository, Images: []bundle.Image{}, Files: []bundle.File{},
		TrustedKeys: p.req.TrustedKeys.Strings(), Requirements: requirements(p.req.Version),
	}
	ct := &content{store: b.Store, arch: p.Arch, files: map[string]packed{}, outer: map[string]packed{}, blobs: map[string][]byte{}, layers: map[string]*layer{}}
	for i, img := range images {
		c.Images = append(c.Images, ct.addImage(p.Images[i], img))
		ct.addUse(img, use{ref: p.Images[i].Ref, own: p.Images[i].Component != "", allowed: p.Images[i].AllowForeign})
	}
	if err := notOurs(p.Files, programs); err != nil {
		return nil, nil, err
	}
	files, err := payloadFiles(p, programs)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range files {
		c.Files = append(c.Files, f.File)
		ct.files[f.Path] = f
	}
	install, err := installFile(p.req.Installer, p.req.TrustedKeys)
	if err != nil {
		return nil, nil, &InstallerError{Path: p.req.Installer, Arch: p.Arch, Err: err}
	}
	for _, f := range []packed{install, smallFile(bundle.ReadmeName, readme(c, p.req.Base))} {
		c.Outer = append(c.Outer, f.File)
		ct.outer[f.Path] = f
	}
	return c, ct, nil
}

// addImage translates a resolved image into the contract's words.
func (c *content) addImage(want PlannedImage, img *imagestore.Image) bundle.Image {
	out := bundle.Image{
		Ref: want.Ref, Component: want.Component, Target: descriptor(img.Target), Manifest: descriptor(img.Manifest), Config: descriptor(img.Config),
		Layers: []bundle.Layer{},
	}
	// A mirror is the builder's business, and one more thing that would make equal bundles differ: the contract names
	// the upstream address that it stands for.
	source := want.Pull[0]
	if slices.Contains(want.Pull, img.Source) {
		source = img.Source
	}
	if source != want.Ref {
		out.Source = source
	}
	for _, s := range img.Signatures {
		sig := bundle.Signature{Of: s.Of, Kind: s.Kind, Manifest: descriptor(s.Manifest)}
		for _, p := range s.Parts {
			sig.Parts = append(sig.Parts, descriptor(p))
		}
		out.Signatures = append(out.Signatures, sig)
	}
	for digest, data := range img.Blobs {
		c.blobs[digest] = data
	}
	for _, l := range img.Layers {
		out.Layers = append(out.Layers, bundle.Layer{DiffID: l.DiffID, Blob: descriptor(l.Blob)})
		if c.layers[l.DiffID] == nil {
			c.layers[l.DiffID] = &layer{Layer: l}
		}
	}
	return out
}

// addUse notes who has an image's layers.
func (c *content) addUse(img *imagestore.Image, u use) {
	for _, l := range img.Layers {
		if m := c.layers[l.DiffID]; !slices.Contains(m.uses, u) {
			m.uses = append(m.uses, u)
		}
	}
}

func descriptor(d imagestore.Descriptor) bundle.Descriptor {
	return bundle.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// payloadFiles orders the files: small ones first, so that reading a unit or a manifest costs nothing, and the
// kubelet last, next to the control plane's programs, with which it shares most.
func payloadFiles(p *Plan, programs []packed) ([]packed, error) {
	var files []packed
	for _, u := range manifests.KubeletUnits(p.req.Version) {
		f := smallFile("systemd/"+u.Path, u.Data)
		f.Mode = uint32(u.Mode.Perm())
		files = append(files, f)
	}
	for _, m := range p.Manifests {
		f := smallFile(m.Path, m.data)
		if isURL(m.Source) || strings.HasPrefix(m.Source, ociScheme) {
			f.Source = m.Source // a path on the builder's machine would make bundles differ for nothing
		}
		files = append(files, f)
	}
	for _, f := range p.Files {
		in, err := includedFile(f)
		if err != nil {
			return nil, err
		}
		files = append(files, in)
	}
	rank := func(f packed) int { return slices.Index([]string{"bin/kubectl", "bin/kubelet"}, f.Path) }
	slices.SortStableFunc(programs, func(a, b packed) int { return rank(a) - rank(b) })
	return append(files, programs...), nil
}

func smallFile(path string, data []byte) packed {
	sum := sha256.Sum256(data)
	return packed{
		File: bundle.File{Path: path, Mode: 0o644, Size: int64(len(data)), SHA256: "sha256:" + hex.EncodeToString(sum[:])},
		data: data,
	}
}
