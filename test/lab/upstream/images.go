package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"

	"kubebundle/release"
	"kubebundle/test/lab/upstream/store"
)

// Media types as docker's tools write them; most of upstream's images still have these.
const (
	typeIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeConfig   = "application/vnd.docker.container.image.v1+json"
	typeLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// Image is an image that the lab's registry serves.
type Image struct {
	// Names are all names it is served under: the one pods ask for, and those it can be pulled from.
	Names []string
	// Index is the digest that the tag points at: of the multi-arch index, or of the only manifest. Manifests are those below, by architecture.
	Index     string
	Manifests map[string]string
}

// Ref is the name that pods ask for.
func (i Image) Ref() string { return i.Names[0] }

// recipe says how an image is made for one architecture.
type recipe struct {
	layers     []store.Layer
	entrypoint []string
	cmd        []string
	env        []string
	user       string
	label      string // what is really inside
}

type descriptor struct {
	MediaType string    `json:"mediaType"`
	Size      int64     `json:"size"`
	Digest    string    `json:"digest"`
	Platform  *platform `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        *descriptor  `json:"config,omitempty"`
	Layers        []descriptor `json:"layers,omitempty"`
	Manifests     []descriptor `json:"manifests,omitempty"`
}

type imageConfig struct {
	Architecture string          `json:"architecture"`
	OS           string          `json:"os"`
	Created      string          `json:"created"`
	Config       containerConfig `json:"config"`
	RootFS       rootFS          `json:"rootfs"`
	History      []history       `json:"history"`
}

type containerConfig struct {
	User       string            `json:"User,omitempty"`
	Env        []string          `json:"Env,omitempty"`
	Entrypoint []string          `json:"Entrypoint,omitempty"`
	Cmd        []string          `json:"Cmd,omitempty"`
	WorkingDir string            `json:"WorkingDir,omitempty"`
	Labels     map[string]string `json:"Labels,omitempty"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type history struct {
	Created   string `json:"created"`
	CreatedBy string `json:"created_by"`
}

const epoch = "1970-01-01T00:00:00Z"

// putManifest stores an image of one architecture and returns its descriptor in an index.
func (b *Builder) putManifest(r recipe, arch string) (descriptor, error) {
	cfg := imageConfig{
		Architecture: arch, OS: "linux", Created: epoch,
		Config: containerConfig{
			User: r.user, Env: append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, r.env...),
			Entrypoint: r.entrypoint, Cmd: r.cmd, WorkingDir: "/",
			Labels: map[string]string{"kubebundle.lab": r.label},
		},
		RootFS: rootFS{Type: "layers"},
	}
	m := manifest{SchemaVersion: 2, MediaType: typeManifest}
	for _, l := range r.layers {
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, l.DiffID)
		cfg.History = append(cfg.History, history{Created: epoch, CreatedBy: "kubebundle lab"})
		m.Layers = append(m.Layers, descriptor{MediaType: typeLayer, Size: l.Size, Digest: l.Digest})
	}
	d, err := b.putJSON(cfg, typeConfig)
	if err != nil {
		return d, err
	}
	m.Config = &d
	d, err = b.putJSON(m, typeManifest)
	d.Platform = &platform{Architecture: arch, OS: "linux"}
	return d, err
}

func (b *Builder) putJSON(v any, mediaType string) (descriptor, error) {
	raw, err := json.MarshalIndent(v, "", "   ") // as docker writes manifests
	if err != nil {
		return descriptor{}, err
	}
	digest, err := b.store().Put(raw)
	return descriptor{MediaType: mediaType, Size: int64(len(raw)), Digest: digest}, err
}

// image makes the index of an image. Architectures that were not asked for are there as well, as a base layer that says so:
// who picks the wrong one gets an image in which nothing runs.
func (b *Builder) image(names []string, arches []string, make func(arch string) (recipe, error)) (Image, error) {
	img := Image{Names: names, Manifests: map[string]string{}}
	idx := manifest{SchemaVersion: 2, MediaType: typeIndex}
	base, err := b.baseLayer()
	if err != nil {
		return img, err
	}
	for _, arch := range []string{"amd64", "arm64", "s390x"} {
		r := recipe{layers: []store.Layer{base}, label: "placeholder: the lab was not asked for " + arch}
		for _, a := range arches {
			if a == arch {
				if r, err = make(arch); err != nil {
					return img, fmt.Errorf("image %s for %s: %w", names[0], arch, err)
				}
			}
		}
		d, err := b.putManifest(r, arch)
		if err != nil {
			return img, fmt.Errorf("image %s for %s: %w", names[0], arch, err)
		}
		img.Manifests[arch] = d.Digest
		idx.Manifests = append(idx.Manifests, d)
	}
	d, err := b.putJSON(idx, typeIndex)
	img.Index = d.Digest
	return img, err
}

// singleImage makes an image for one architecture, without an index.
func (b *Builder) singleImage(names []string, arch string, make func(arch string) (recipe, error)) (Image, error) {
	img := Image{Names: names}
	r, err := make(arch)
	if err != nil {
		return img, fmt.Errorf("image %s: %w", names[0], err)
	}
	d, err := b.putManifest(r, arch)
	if err != nil {
		return img, fmt.Errorf("image %s: %w", names[0], err)
	}
	img.Index, img.Manifests = d.Digest, map[string]string{arch: d.Digest}
	return img, nil
}

// Images makes all images of a release, and those of flannel and of the tests' workload.
func (b *Builder) Images(ctx context.Context, rel *release.Release, version string, arches []string) ([]Image, error) {
	var out []Image
	seen := map[string]bool{}
	for _, arch := range arches {
		images, err := rel.Images(release.Arch(arch))
		if err != nil {
			return nil, err
		}
		for _, i := range images {
			if seen[i.Ref] { // a name for all architectures
				continue
			}
			seen[i.Ref] = true
			img, err := b.releaseImage(ctx, i, version, arch, arches)
			if err != nil {
				return nil, err
			}
			out = append(out, img)
		}
	}
	for _, x := range b.extras(ctx) {
		img, err := b.image([]string{x.name}, []string{runtime.GOARCH}, x.make)
		if err != nil {
			return nil, err
		}
		out = append(out, img)
	}
	return out, nil
}
