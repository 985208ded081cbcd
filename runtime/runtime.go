package runtime

import (
	"context"
	"io"
)

// Info is what a runtime says about itself.
type Info struct {
	Name         string   // "containerd" or "docker"
	Version      string   // 1.6.20
	Socket       string   // unix:///run/containerd/containerd.sock
	CRI          string   // where CRI is served for it, if not at Socket: cri-dockerd in front of Docker
	SandboxImage string   // the pause image that the runtime is configured with, "" if it has none of its own, or does not tell
	CgroupDriver string   // "systemd", "cgroupfs", "" if it cannot be told
	TellsDriver  bool     // a kubelet can ask for the driver through CRI (RuntimeConfig)
	Root         string   // where it keeps its data, "" if it does not tell
	CNIBinDirs   []string // where it looks for CNI plugins, nil if it does not tell
}

// Descriptor is a content descriptor: digest "sha256:<hex>", size in bytes.
type Descriptor struct {
	MediaType string
	Digest    string
	Size      int64
}

// Image is an image to import, described from a verified bundle.
type Image struct {
	Ref      string     // name with tag
	Target   Descriptor // index, or manifest
	Manifest Descriptor
	Config   Descriptor
	DiffIDs  []string // bottom first
	Sizes    []int64  // of the uncompressed layers, as DiffIDs
}

// Blob is one piece of a stream of image content.
type Blob struct {
	Digest string // of the content that follows; the diff ID for a layer
	Size   int64
	Layer  bool
}

// Source is a single pass over image content: blobs (index, manifest, config) before layers, a layer after its parents.
// The reader given by Next is valid until the next call, which skips what was not read of it, and returns io.EOF only if size and digest
// were right.
type Source interface {
	Next() (Blob, io.Reader, error) // io.EOF at the end
}

// Verified is what a Source's reader can be too: one that itself hashes what it gives, and gives io.EOF only after that was the digest that it names.
// A runtime does not hash such a layer once more.
type Verified interface {
	Verified() string // a digest
}

// Event tells about progress of Load.
type Event struct {
	Image string
	Done  int64 // bytes of uncompressed layers handled so far
	Total int64
}

// Runtime is a container runtime's image store.
type Runtime interface {
	Info(ctx context.Context) (Info, error)
	// Missing returns those images that are not completely present under their names, pinned where the runtime can pin.
	Missing(ctx context.Context, images []Image) ([]Image, error)
	// Load imports the images from one pass over src. Blobs that belong to none of the images are skipped.
	// Nothing is visible under an image's name before all of it is verified. A killed Load leaves nothing that a second one trips over.
	// It stops reading src as soon as it has what it needs. progress may be nil; it is called from one goroutine at a time.
	Load(ctx context.Context, images []Image, src Source, progress func(Event)) error
	// Remove deletes images by reference (used by tests and reset --images).
	Remove(ctx context.Context, refs []string) error
	Close() error
}
