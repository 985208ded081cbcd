package release

import (
	"fmt"
	"slices"
	"strings"
)

// Component names what an image is for. The values are the repository base names that kubeadm uses
// ("kube-apiserver", "etcd", "pause", "coredns", "k8s-dns-kube-dns", …), without arch suffix.
type Component string

// The components of a cluster.
const (
	APIServer         Component = "kube-apiserver"
	ControllerManager Component = "kube-controller-manager"
	Scheduler         Component = "kube-scheduler"
	Proxy             Component = "kube-proxy"
	Etcd              Component = "etcd"
	Pause             Component = "pause"
	CoreDNS           Component = "coredns"
	KubeDNS           Component = "k8s-dns-kube-dns"
	KubeDNSMasq       Component = "k8s-dns-dnsmasq-nanny"
	KubeDNSSidecar    Component = "k8s-dns-sidecar"
)

// The two registries of the project. The old one is frozen since April 2023; all that it ever had is in the new one.
const (
	oldRegistry = "k8s.gcr.io"
	newRegistry = "registry.k8s.io"
)

// Image is one image of a release.
type Image struct {
	Component Component `json:"component"`
	// Ref is the name that kubeadm of that version writes into pods, tag included.
	Ref string `json:"ref"`
	// Pull lists where the same content can be fetched from, best first. It always holds at least one entry.
	Pull []string `json:"pull"`
}

// Components lists the components of this release in the order of Images.
func (r *Release) Components() []Component {
	cs := []Component{APIServer, ControllerManager, Scheduler, Proxy, Etcd, Pause}
	if r.opts.KubeDNS {
		return append(cs, KubeDNS, KubeDNSMasq, KubeDNSSidecar)
	}
	return append(cs, CoreDNS)
}

// Images lists what a cluster of this release needs on an arch, in a fixed order.
func (r *Release) Images(a Arch) ([]Image, error) {
	if err := r.checkArch(a); err != nil {
		return nil, err
	}
	cs := r.Components()
	images := make([]Image, len(cs))
	for i, c := range cs {
		images[i] = r.image(a, c)
	}
	return images, nil
}

// Image returns the image of one component. The error wraps ErrUnknownArch, or ErrOption if the release has no such component.
func (r *Release) Image(a Arch, c Component) (Image, error) {
	if err := r.checkArch(a); err != nil {
		return Image{}, err
	}
	if !slices.Contains(r.Components(), c) {
		return Image{}, fmt.Errorf("image %s of Kubernetes %s: %w", c, Tag(r.Version), ErrOption)
	}
	return r.image(a, c), nil
}

func (r *Release) image(a Arch, c Component) Image {
	tag := ":" + r.tag(c)
	repo, upstream := r.opts.ImageRepository, true
	if repo == "" {
		repo = r.state.registry
	} else {
		upstream = repo == oldRegistry || repo == newRegistry
	}
	img := Image{Component: c, Ref: repo + "/" + r.path(a, c, repo) + tag}
	if c == CoreDNS && r.state.corednsFixed != "" {
		// kubeadm v1.10.0-.9 names Docker Hub, whatever the image repository says.
		img.Ref, upstream = r.state.corednsFixed+tag, true
		img.Pull = []string{img.Ref}
	}
	if !upstream {
		img.Pull = []string{img.Ref}
		return img
	}
	canonical := r.path(a, c, r.state.registry)
	for _, p := range []string{
		newRegistry + "/" + canonical + tag,
		oldRegistry + "/" + canonical + tag,
		img.Ref,
	} {
		// A version that names the new registry was never pushed to the old one with certainty: do not ask it.
		if strings.HasPrefix(p, oldRegistry+"/") && r.state.registry != oldRegistry && p != img.Ref {
			continue
		}
		if !slices.Contains(img.Pull, p) {
			img.Pull = append(img.Pull, p)
		}
	}
	if r.opts.KubeDNS && !r.minor.ArchSuffix && strings.HasPrefix(string(c), "k8s-dns-") {
		// kubeadm v1.12+ drops the suffix here too, but the kube-dns images of that time were also (v1.12: perhaps only) published with it.
		img.Pull = append(img.Pull, newRegistry+"/"+string(c)+"-"+string(a)+tag)
	}
	return img
}

// path is the repository path below a registry.
// Source: cmd/kubeadm/app/images/images.go. Names had an arch suffix through v1.11, except CoreDNS's; CoreDNS moved to
// coredns/coredns in v1.21, and only v1.21 appends that to a custom repository too.
func (r *Release) path(a Arch, c Component, repo string) string {
	switch {
	case c == CoreDNS && repo == r.state.registry:
		return r.minor.CoreDNSPath.Default
	case c == CoreDNS:
		return r.minor.CoreDNSPath.Custom
	case r.minor.ArchSuffix:
		return string(c) + "-" + string(a)
	}
	return string(c)
}

func (r *Release) tag(c Component) string {
	switch c {
	case Etcd:
		return r.state.etcd
	case Pause:
		return r.state.pause
	case CoreDNS:
		return r.state.coredns
	case KubeDNS, KubeDNSMasq, KubeDNSSidecar:
		return r.minor.KubeDNS.Version
	case APIServer, ControllerManager, Scheduler, Proxy:
	}
	// A tag has no "+": kubeadm replaces it.
	return strings.ReplaceAll(Tag(r.Version), "+", "_")
}
