package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

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
	// Index is the digest of the multi-arch index; Manifests are those below, by architecture.
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

// Images makes all images of a release, and those of flannel and of the tests' workload.
func (b *Builder) Images(ctx context.Context, rel *release.Release, version string, arches []string) ([]Image, error) {
	images, err := rel.Images(release.Arch(arches[0]))
	if err != nil {
		return nil, err
	}
	var out []Image
	for _, i := range images {
		names := []string{i.Ref}
		for _, p := range i.Pull {
			if p != i.Ref {
				names = append(names, p)
			}
		}
		img, err := b.image(names, arches, func(arch string) (recipe, error) { return b.component(ctx, i.Component, version, arch) })
		if err != nil {
			return nil, err
		}
		out = append(out, img)
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

// component makes the image of one of the release's components.
func (b *Builder) component(ctx context.Context, c release.Component, version, arch string) (recipe, error) {
	base, err := b.baseLayer()
	if err != nil {
		return recipe{}, err
	}
	one := func(s set, xattr map[string]string, at ...string) (recipe, error) {
		dir, err := b.build(ctx, s, arch)
		if err != nil {
			return recipe{}, err
		}
		files := map[string]string{}
		for _, p := range at {
			files[p] = filepath.Join(dir, filepath.Base(p))
		}
		l, err := b.fileLayer(string(c), files, xattr)
		return recipe{layers: []store.Layer{base, l}, entrypoint: []string{"/" + at[0]}, label: s.folder + " from its Go module"}, err
	}
	switch c {
	case release.APIServer, release.ControllerManager, release.Scheduler, release.Proxy:
		s, err := kubernetes(version)
		if err != nil {
			return recipe{}, err
		}
		r, err := one(s, nil, "usr/local/bin/"+string(c))
		if err != nil || c != release.Proxy || arch != runtime.GOARCH {
			return r, err
		}
		tools, err := b.toolsLayer(ctx)
		r.layers = []store.Layer{r.layers[0], tools, r.layers[1]}
		return r, err
	case release.Etcd:
		r, err := one(etcd, nil, "usr/local/bin/etcd", "usr/local/bin/etcdctl", "usr/local/bin/etcdutl")
		if arch != "amd64" {
			r.env = append(r.env, "ETCD_UNSUPPORTED_ARCH="+arch)
		}
		return r, err
	case release.Pause:
		r, err := one(pauseSet, nil, "pause")
		r.user = "65535:65535"
		return r, err
	case release.CoreDNS:
		// As upstream: not root, and allowed to listen on port 53 by a file capability, which an import must keep.
		r, err := one(coredns, map[string]string{"security.capability": capNetBindService}, "coredns")
		r.user = "nonroot:nonroot"
		return r, err
	case release.KubeDNS, release.KubeDNSMasq, release.KubeDNSSidecar:
	}
	return recipe{}, fmt.Errorf("the lab cannot build %s", c)
}

type extra struct {
	name string
	make func(arch string) (recipe, error)
}

// The images that the lab's manifests ask for; see test/lab/manifests.
const (
	FlannelImage    = "ghcr.io/flannel-io/flannel:v0.26.7"
	FlannelCNIImage = "ghcr.io/flannel-io/flannel-cni-plugin:v1.6.2-flannel1"
	BusyboxImage    = "docker.io/library/busybox:1.35.0"
)

func (b *Builder) extras(ctx context.Context) []extra {
	return []extra{
		{FlannelImage, func(string) (recipe, error) {
			return b.withTools(ctx, flannel, "opt/bin/flanneld")
		}},
		{FlannelCNIImage, func(string) (recipe, error) {
			return b.withTools(ctx, flannelCNI, "flannel")
		}},
		{BusyboxImage, func(string) (recipe, error) {
			base, err := b.baseLayer()
			if err != nil {
				return recipe{}, err
			}
			tools, err := b.toolsLayer(ctx)
			return recipe{layers: []store.Layer{base, tools}, cmd: []string{"sh"}, label: "Debian's busybox-static"}, err
		}},
	}
}

func (b *Builder) withTools(ctx context.Context, s set, at string) (recipe, error) {
	base, err := b.baseLayer()
	if err != nil {
		return recipe{}, err
	}
	tools, err := b.toolsLayer(ctx)
	if err != nil {
		return recipe{}, err
	}
	dir, err := b.build(ctx, s, runtime.GOARCH)
	if err != nil {
		return recipe{}, err
	}
	l, err := b.fileLayer(strings.ReplaceAll(s.folder, "/", "-"), map[string]string{at: filepath.Join(dir, filepath.Base(at))}, nil)
	return recipe{layers: []store.Layer{base, tools, l}, entrypoint: []string{"/" + at}, label: s.folder + " from its Go module"}, err
}

func (b *Builder) toolsLayer(ctx context.Context) (store.Layer, error) {
	tree, err := b.debianTree(ctx, "nettools", netTools, func(tree string) error {
		if err := linkIPTables(tree); err != nil {
			return err
		}
		return linkBusybox(ctx, tree)
	})
	if err != nil {
		return store.Layer{}, err
	}
	return b.treeLayer(tree)
}
