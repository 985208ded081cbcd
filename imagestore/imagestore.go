package imagestore

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Platform is the platform that an image is resolved for.
type Platform struct{ OS, Arch, Variant string }

// Options configure a Store.
type Options struct {
	CacheDir  string            // content-addressed cache; must be given
	Mirrors   map[string]string // registry (or registry/prefix) -> replacement, as --registry-mirror from=to
	Insecure  []string          // registries that may be spoken to by plain HTTP or with an unknown certificate
	Keychain  authn.Keychain    // nil: the docker/podman configuration
	Transport http.RoundTripper // nil: proxies from the environment
	// BinaryMirrors maps URL prefixes for Download; see ParseBinaryMirrors.
	BinaryMirrors map[string]string
	Jobs          int          // concurrent layer downloads, default 4
	Retries       int          // per request, default 5, with backoff
	Log           *slog.Logger // nil discards
	Progress      func(Event)  // nil discards
}

// Event tells about progress.
type Event struct {
	Ref    string // image that asked for it first
	Digest string
	Done   int64 // bytes of this blob so far
	Size   int64 // bytes of this blob
	Cached bool
	Err    error
}

// Descriptor is a content descriptor. Digests are "sha256:<hex>".
type Descriptor struct {
	MediaType string
	Digest    string
	Size      int64
}

// Layer is one layer of a resolved image.
type Layer struct {
	DiffID string
	Blob   Descriptor // as the registry has it
}

// Image is a resolved image: small documents in memory, layers in the registry or the cache.
type Image struct {
	Ref      string
	Source   string
	Target   Descriptor
	Manifest Descriptor
	Config   Descriptor
	// Platform is what was asked for; the config may name another one (see CheckArch).
	Platform Platform
	Layers   []Layer
	Blobs    map[string][]byte // digest -> bytes of index, manifest and config
	Warnings []string
}

// Store resolves and pulls images through a cache.
type Store struct{}

// New opens a store.
func New(o Options) (*Store, error) { panic("stub") }

// Resolve finds the platform's manifest. pull lists addresses to try in order; ref is the name that the image will have.
func (s *Store) Resolve(ctx context.Context, ref string, pull []string, p Platform) (*Image, error) {
	panic("stub")
}

// Fetch brings every layer of the images into the cache, each once, Jobs at a time.
func (s *Store) Fetch(ctx context.Context, images []*Image) error { panic("stub") }

// Open opens the uncompressed tar of a layer. The reader returns io.EOF only if the blob's digest and the diff ID were right.
// It waits for a running Fetch, or fetches itself.
func (s *Store) Open(ctx context.Context, l Layer) (io.ReadCloser, error) { panic("stub") }

// CheckArch judges an image whose config names another architecture than p.Arch by the ELF header of its entrypoint, fetching
// the layers that it needs. It returns a warning where the programs are right and only the config is wrong, and an error where
// the programs are wrong too. Fetch calls it for every image with such a config.
func (s *Store) CheckArch(ctx context.Context, img *Image, p Platform) (warning string, err error) {
	panic("stub")
}

// ParseMirrors reads "from=to" pairs of --registry-mirror into Options.Mirrors.
func ParseMirrors(pairs []string) (map[string]string, error) { panic("stub") }

// ParseBinaryMirrors reads the values of --binary-mirror into Options.BinaryMirrors: "from-prefix=to-prefix" or one plain URL, which
// stands in for both https://dl.k8s.io and https://github.com.
func ParseBinaryMirrors(values []string) (map[string]string, error) { panic("stub") }
