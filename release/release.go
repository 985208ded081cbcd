package release

import (
	"errors"

	"k8s.io/apimachinery/pkg/util/version"
)

// Arch is a Go architecture name as Kubernetes publishes it: amd64, arm, arm64, ppc64le, s390x.
type Arch string

// Component names what an image is for. The values are the repository base names that kubeadm uses
// ("kube-apiserver", "etcd", "pause", "coredns", "k8s-dns-kube-dns", …), without arch suffix.
type Component string

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

// ErrUnknownVersion is wrapped by every error that says a version is not in the catalog.
var ErrUnknownVersion = errors.New("unknown Kubernetes version")

// ErrUnknownArch is wrapped by every error that says a version was never published for an arch.
var ErrUnknownArch = errors.New("unknown architecture")

// Image is one image of a release.
type Image struct {
	Component Component `json:"component"`
	// Ref is the name that kubeadm of that version writes into pods, tag included.
	Ref string `json:"ref"`
	// Pull lists where the same content can be fetched from, best first. It always holds at least one entry.
	Pull []string `json:"pull"`
}

// Checksum is a published checksum file of a binary.
type Checksum struct {
	Kind string `json:"kind"` // sha256, sha512 or sha1
	URL  string `json:"url"`
}

// Binary is one file (or one archive of files) that a node needs.
type Binary struct {
	Name    string `json:"name"`    // kubelet, kubectl, crictl, cni-plugins
	Version string `json:"version"` // v1.34.4
	URL     string `json:"url"`     // upstream address, before any mirror
	// Checksums are the published checksum files, strongest first.
	Checksums []Checksum `json:"checksums"`
	// Archive is "" for a plain executable and "tar.gz" for an archive.
	Archive string `json:"archive,omitempty"`
	// Optional binaries may be left out of a bundle with a warning (crictl).
	Optional bool `json:"optional,omitempty"`
}

// Options choose among what a release offers.
type Options struct {
	ImageRepository string // "" for the version's own default
	KubeDNS         bool   // kube-dns instead of CoreDNS, where it existed
	AllowUnknown    bool   // a version newer than the catalog goes on with the newest minor's rules
}

// Release is one patch version of Kubernetes with its options applied.
type Release struct {
	Version *version.Version
	opts    Options
}

// Parse reads "v1.34.4" or "1.34.4".
func Parse(s string) (*version.Version, error) { panic("stub") }

// Find looks a version up.
func Find(v *version.Version, o Options) (*Release, error) { panic("stub") }

// Images lists what a cluster of this release needs on an arch, in a fixed order.
func (r *Release) Images(a Arch) ([]Image, error) { panic("stub") }

// Image returns the image of one component.
func (r *Release) Image(a Arch, c Component) (Image, error) { panic("stub") }

// Binaries lists the node binaries of this release for an arch.
func (r *Release) Binaries(a Arch) ([]Binary, error) { panic("stub") }
