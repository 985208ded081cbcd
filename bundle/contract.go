package bundle

// The format numbers that this package reads and writes.
const (
	FormatVersion = 1 // a bundle that is whole
	FormatDelta   = 2 // one that needs a base; a reader of format 1 would take it for one with holes
)

// Contract is bundle.json: everything that is in the bundle and everything that the installation needs.
type Contract struct {
	Format            int          `json:"format"`
	KubernetesVersion string       `json:"kubernetesVersion"` // v1.34.4
	OS                string       `json:"os"`                // linux
	Arch              string       `json:"arch"`              // amd64
	Builder           string       `json:"builder"`           // version of the bundler that wrote it
	ImageRepository   string       `json:"imageRepository,omitempty"`
	TrustedKeys       []string     `json:"trustedKeys,omitempty"` // minisign public keys that were pinned into `install`
	Images            []Image      `json:"images"`
	Files             []File       `json:"files"` // inside the payload
	Outer             []File       `json:"outer"` // beside the payload: install, README.txt
	Payload           Payload      `json:"payload"`
	Requirements      Requirements `json:"requirements"`
	Delta             *Delta       `json:"delta,omitempty"` // with FormatDelta: what comes from another bundle
}

// Digests are written "sha256:<hex>"; sizes are bytes.

// Image is one image of the bundle, exactly as the registry had it, layers uncompressed.
type Image struct {
	// Ref is the name that pods ask for, tag (or digest) included.
	Ref string `json:"ref"`
	// Component is release.Component for Kubernetes' own images, "" for the user's.
	Component string `json:"component,omitempty"`
	// Source is where it was pulled from, if that differs from Ref.
	Source string `json:"source,omitempty"`
	// Target is what the tag resolved to: an index, or a manifest where there is none.
	Target Descriptor `json:"target"`
	// Manifest is the manifest of the bundle's platform; equal to Target where there is no index.
	Manifest Descriptor `json:"manifest"`
	Config   Descriptor `json:"config"`
	Layers   []Layer    `json:"layers"` // bottom first
	// Signatures lay beside the image in its registry. They are carried along, not checked and not imported.
	Signatures []Signature `json:"signatures,omitempty"`
}

// Signature is a signature of an image by whoever published it, as the registry had it (payload entries signatures/sha256/<hex>).
type Signature struct {
	Of       string       `json:"of"`   // the digest that was signed: Target's or Manifest's
	Kind     string       `json:"kind"` // "cosign" for one under cosign's tag, or the artifact type of an OCI referrer
	Manifest Descriptor   `json:"manifest"`
	Parts    []Descriptor `json:"parts"` // config and layers of that manifest
}

// blobs are the manifest and its parts.
func (s *Signature) blobs() []Descriptor { return append([]Descriptor{s.Manifest}, s.Parts...) }

// Descriptor names a blob that is stored byte for byte as the registry had it (payload entry blobs/sha256/<hex>).
type Descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// Layer is one layer: stored uncompressed under its diff ID (payload entry layers/sha256/<hex>).
type Layer struct {
	DiffID string `json:"diffID"`
	Size   int64  `json:"size"` // of the uncompressed tar
	// Blob is the compressed layer as the registry had it; it is not in the payload.
	Blob Descriptor `json:"blob"`
}

// File is one file of the bundle.
type File struct {
	// Path is relative to the payload (or to the bundle's folder for Outer), e.g. "bin/kubelet",
	// "cni/bridge", "systemd/kubelet.service", "systemd/kubelet.service.d/10-kubeadm.conf", "manifests/kube-flannel.yml".
	Path   string `json:"path"`
	Mode   uint32 `json:"mode"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // sha256:<hex>
	// Source and Checksum say where a downloaded file came from and which published checksum it was checked against ("sha512:<hex>").
	Source   string `json:"source,omitempty"`
	Checksum string `json:"checksum,omitempty"`
}

// Payload describes payload.tar.zst.
type Payload struct {
	Path         string `json:"path"`
	Size         int64  `json:"size"`
	SHA256       string `json:"sha256"`
	Uncompressed int64  `json:"uncompressed"`
	WindowBytes  int64  `json:"windowBytes"`
	// Encoder names what made it, with its version and its settings: whoever wants the same bytes needs the same one.
	Encoder string `json:"encoder,omitempty"`
}

// Requirements is what a host needs, known at build time.
type Requirements struct {
	DiskBytes     int64    `json:"diskBytes"`   // images and binaries, unpacked
	MemoryBytes   int64    `json:"memoryBytes"` // control plane
	KernelModules []string `json:"kernelModules"`
	Ports         []int    `json:"ports"` // control plane
	WorkerPorts   []int    `json:"workerPorts"`
}
