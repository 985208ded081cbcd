package release

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// Where the project publishes. dl.k8s.io serves every release since v1.0; the older storage bucket gets no new ones.
const (
	kubernetesDownloads = "https://dl.k8s.io/release"
	cniDownloads        = "https://github.com/containernetworking/plugins/releases/download"
	criToolsDownloads   = "https://github.com/kubernetes-sigs/cri-tools/releases/download"
)

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
	// Checksums are the published checksum files, strongest first. A kind may turn out not to exist: then the next one holds.
	Checksums []Checksum `json:"checksums"`
	// Archive is "" for a plain executable and "tar.gz" for an archive.
	Archive string `json:"archive,omitempty"`
	// Optional binaries may be left out of a bundle with a warning (crictl).
	Optional bool `json:"optional,omitempty"`
}

// Binaries lists the node binaries of this release for an arch: kubelet, kubectl, cni-plugins, crictl.
func (r *Release) Binaries(a Arch) ([]Binary, error) {
	if err := r.checkArch(a); err != nil {
		return nil, err
	}
	return []Binary{r.kubernetesBinary("kubelet", a), r.kubernetesBinary("kubectl", a), r.cniPlugins(a), r.criTools(a)}, nil
}

func (r *Release) kubernetesBinary(name string, a Arch) Binary {
	u := strings.Join([]string{kubernetesDownloads, Tag(r.Version), "bin/linux", string(a), name}, "/")
	return Binary{Name: name, Version: Tag(r.Version), URL: u, Checksums: checksumsBeside(u, r.state.checksums)}
}

// cniPlugins names the archive of the CNI reference plugins. The operating system joined its name with v0.8.0.
func (r *Release) cniPlugins(a Arch) Binary {
	v := "v" + r.minor.CNIPlugins.Version
	platform := "linux-" + string(a)
	if !version.MustParseSemantic(v).AtLeast(version.MustParseSemantic("v0.8.0")) {
		platform = string(a)
	}
	u := cniDownloads + "/" + v + "/cni-plugins-" + platform + "-" + v + ".tgz"
	return Binary{Name: "cni-plugins", Version: v, URL: u, Archive: "tar.gz", Checksums: checksumsBeside(u, []string{"sha512", "sha256", "sha1"})}
}

// criTools names crictl of the same minor. No cluster needs it, so it is optional.
func (r *Release) criTools(a Arch) Binary {
	v := "v" + r.minor.CRITools.Version
	u := criToolsDownloads + "/" + v + "/crictl-" + v + "-linux-" + string(a) + ".tar.gz"
	return Binary{
		Name: "crictl", Version: v, URL: u, Archive: "tar.gz", Optional: true,
		Checksums: checksumsBeside(u, []string{"sha512", "sha256"}),
	}
}

func checksumsBeside(u string, kinds []string) []Checksum {
	sums := make([]Checksum, 0, len(kinds))
	for _, k := range kinds {
		sums = append(sums, Checksum{Kind: k, URL: u + "." + k})
	}
	return slices.Clip(sums)
}
