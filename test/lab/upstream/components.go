package upstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	utilversion "k8s.io/apimachinery/pkg/util/version"

	"kubebundle/release"
	"kubebundle/test/lab/upstream/store"
)

// releaseImage makes an image of the release: an index, or, where the architecture is part of the name, what that was: a single manifest.
func (b *Builder) releaseImage(ctx context.Context, i release.Image, version, arch string, arches []string) (Image, error) {
	names := []string{i.Ref}
	for _, p := range i.Pull {
		if p != i.Ref {
			names = append(names, p)
		}
	}
	component := func(arch string) (recipe, error) { return b.component(ctx, i, version, arch) }
	if repo, _, _ := cutTag(i.Ref); strings.HasSuffix(repo, "-"+arch) {
		return b.singleImage(names, arch, component)
	}
	return b.image(names, arches, component)
}

// component makes the image of one of the release's components.
func (b *Builder) component(ctx context.Context, img release.Image, version, arch string) (recipe, error) {
	switch c := img.Component; c {
	case release.APIServer, release.ControllerManager, release.Scheduler, release.Proxy:
		return b.kubernetesImage(ctx, c, version, arch)
	case release.Etcd:
		r, err := b.one(ctx, c, etcd, arch, nil, "usr/local/bin/etcd", "usr/local/bin/etcdctl", "usr/local/bin/etcdutl")
		if err != nil {
			return r, err
		}
		r.label += standsFor(etcd, img.Ref)
		if arch != "amd64" {
			r.env = append(r.env, "ETCD_UNSUPPORTED_ARCH="+arch)
		}
		if tagBefore(img.Ref, "3.4.0") { // those had a shell, which kubeadm's probe of that time calls
			err = b.addTools(ctx, &r, arch)
		}
		return r, err
	case release.Pause:
		r, err := b.one(ctx, c, pauseSet, arch, nil, "pause")
		r.user = "65535:65535"
		return r, err
	case release.CoreDNS:
		if tagBefore(img.Ref, "1.5.0") { // the last that knows a Corefile of that time
			r, err := b.one(ctx, c, oldCoreDNS, arch, nil, "coredns")
			r.env = ClientEnv(version)
			r.label += standsFor(oldCoreDNS, img.Ref)
			return r, err
		}
		// As upstream: not root, and allowed to listen on port 53 by a file capability, which an import must keep.
		r, err := b.one(ctx, c, coredns, arch, map[string]string{"security.capability": capNetBindService}, "coredns")
		r.user = "nonroot:nonroot"
		r.label += standsFor(coredns, img.Ref)
		return r, err
	case release.KubeDNS, release.KubeDNSMasq, release.KubeDNSSidecar:
	}
	return recipe{}, fmt.Errorf("the lab cannot build %s", img.Component)
}

// ClientEnv is what the programs of a version need in their environment. Those from before modules bring an HTTP/2 transport along which does not get
// on with the net/http of today's Go ("http2: no cached connection was available").
func ClientEnv(version string) []string {
	if sets, err := kubernetes(version); err == nil && sets[0].gopath {
		return []string{"DISABLE_HTTP2=1"}
	}
	return nil
}

func (b *Builder) kubernetesImage(ctx context.Context, c release.Component, version, arch string) (recipe, error) {
	sets, err := kubernetes(version)
	if err != nil {
		return recipe{}, err
	}
	r, err := b.one(ctx, c, sets[0], arch, nil, "usr/local/bin/"+string(c))
	if err != nil {
		return r, err
	}
	r.env = ClientEnv(version)
	if sets[0].gopath {
		r.label += ", some of its dependencies at the nearest version that resolves"
	}
	if c == release.Proxy {
		err = b.addTools(ctx, &r, arch)
	}
	if c == release.Proxy && sets[0].gopath && arch != "amd64" && err == nil {
		err = b.addEmulator(&r, arch)
	}
	return r, err
}

// addEmulator puts below an image's own layer what upstream's build of other architectures left in its base through v1.15: the emulator in which the
// base was made, a program of the building machine (k8s.io/kubernetes/build/debian-base/Dockerfile.build).
func (b *Builder) addEmulator(r *recipe, arch string) error {
	machine := map[string]string{"arm": "arm", "arm64": "aarch64", "ppc64le": "ppc64le", "s390x": "s390x"}[arch] // as qemu names them
	name := "qemu-" + machine + "-static"
	l, err := b.fileLayer("emulator", map[string]string{"usr/bin/" + name: "/usr/bin/" + name}, nil)
	r.layers = append([]store.Layer{r.layers[0], l}, r.layers[1:]...)
	return err
}

// one is an image with programs of a set; the first is what it runs.
func (b *Builder) one(ctx context.Context, c release.Component, s set, arch string, xattr map[string]string, at ...string) (recipe, error) {
	base, err := b.baseLayer()
	if err != nil {
		return recipe{}, err
	}
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

// addTools puts a shell and the programs that kube-proxy calls below an image's own layer. They are the distribution's, and so for the machine's
// architecture only; other architectures do without.
func (b *Builder) addTools(ctx context.Context, r *recipe, arch string) error {
	if arch != runtime.GOARCH {
		return nil
	}
	tools, err := b.toolsLayer(ctx)
	r.layers = []store.Layer{r.layers[0], tools, r.layers[1]}
	return err
}

// standsFor says in an image's label that its tag names another version than the set's; "" if it does not.
func standsFor(s set, ref string) string {
	_, tag, _ := cutTag(ref)
	if v := "-v" + strings.TrimPrefix(strings.TrimSuffix(tag, "-0"), "v"); strings.HasSuffix(s.folder, v) {
		return ""
	}
	return ", stands in for " + tag
}

// tagBefore says whether an image's tag is a version before another.
func tagBefore(ref, v string) bool {
	_, tag, _ := cutTag(ref)
	parsed, err := utilversion.ParseGeneric(tag)
	return err == nil && parsed.LessThan(utilversion.MustParseGeneric(v))
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

// AddVirtualIP adds the images of keepalived and HAProxy, made of the distribution's packages, under the names that bundler asks for.
func (u *Upstream) AddVirtualIP(ctx context.Context) error {
	for c, ref := range release.VirtualIPImages() {
		img, err := u.b.image([]string{ref}, []string{runtime.GOARCH}, func(string) (recipe, error) {
			base, err := u.b.baseLayer()
			if err != nil {
				return recipe{}, err
			}
			tree, err := u.b.debianTree(ctx, "vip", vipTools, func(tree string) error {
				return errors.Join(linkBusybox(ctx, tree), os.RemoveAll(filepath.Join(tree, "usr/lib/x86_64-linux-gnu/perl")))
			})
			if err != nil {
				return recipe{}, err
			}
			tools, err := u.b.treeLayer(tree)
			return recipe{layers: []store.Layer{base, tools}, cmd: []string{c}, label: "Debian's " + c}, err
		})
		if err != nil {
			return err
		}
		u.Images = append(u.Images, img)
	}
	return nil
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
