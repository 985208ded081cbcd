package imagestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/sync/errgroup"
)

// Platform is the platform that an image is resolved for.
type Platform struct{ OS, Arch, Variant string }

// String writes linux/arm/v7.
func (p Platform) String() string {
	s := p.OS + "/" + p.Arch
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// Options configure a Store.
type Options struct {
	CacheDir string            // content-addressed cache; must be given
	Mirrors  map[string]string // registry (or registry/prefix) -> replacement, as --registry-mirror from=to; see ParseMirrors
	// BinaryMirrors maps URL prefixes for Download; see ParseBinaryMirrors.
	BinaryMirrors map[string]string
	Insecure      []string          // registries (host[:port]) that may be spoken to by plain HTTP or with an unknown certificate
	Keychain      authn.Keychain    // nil: the docker/podman configuration
	Transport     http.RoundTripper // nil: proxies from the environment
	Jobs          int               // concurrent layer downloads, default 4
	Retries       int               // per request, default 5, with backoff; negative for none
	RetryDelay    time.Duration     // first pause between tries, default 500 ms; it doubles each time
	StallTimeout  time.Duration     // a download that brings no byte for this long is broken off and tried again, default 1 minute
	Log           *slog.Logger      // nil discards
	// Progress is called by one goroutine at a time; nil discards.
	Progress func(Event)
}

// Event tells about progress. The last event of a blob has Done == Size or Err.
type Event struct {
	Ref    string // image that asked for it first, or the address of a download
	Digest string // "" while the sha256 of a download is not known yet
	Done   int64  // bytes of this blob so far
	Size   int64  // bytes of this blob, 0 if not known
	Cached bool   // it was in the cache already
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
	Ref      string // as asked for
	Source   string // address that answered, after mirrors
	Target   Descriptor
	Manifest Descriptor
	Config   Descriptor
	// Platform is what was asked for; the config may name another one (see CheckArch).
	Platform Platform
	Layers   []Layer           // bottom first
	Blobs    map[string][]byte // digest -> bytes of index, manifest and config, and of what Signatures found
	// Signatures are those that Store.Signatures has found beside the image.
	Signatures []Signature
	Warnings   []string
}

// Store resolves and pulls images through a cache. It is safe for concurrent use.
type Store struct {
	o     Options
	cache *cache
	jobs  chan struct{} // one token per running download

	plain    http.RoundTripper // as configured
	insecure http.RoundTripper // accepts any certificate

	mu       sync.Mutex
	sessions map[string]*session // by repository
	sources  map[string][]source // blob digest -> where resolved images have it
	flights  map[string]*flight  // downloads under way
	files    map[string]*File    // downloads done by this process, by checksum
	hashed   map[string]struct{} // blobs that this process has verified
	asked    map[string][]byte   // by address: what Signatures asked for, nil where nothing was; architectures share an index
	progress sync.Mutex          // one Progress call at a time
}

// source is one place of a blob.
type source struct {
	repo name.Repository
	ref  string // image, for people
}

// New opens a store. It creates the cache directory.
func New(o Options) (*Store, error) {
	if o.CacheDir == "" {
		return nil, errors.New("open image store: no cache directory")
	}
	if o.Jobs <= 0 {
		o.Jobs = 4
	}
	switch {
	case o.Retries == 0:
		o.Retries = 5
	case o.Retries < 0:
		o.Retries = 0
	}
	if o.RetryDelay <= 0 {
		o.RetryDelay = 500 * time.Millisecond
	}
	if o.StallTimeout <= 0 {
		o.StallTimeout = time.Minute
	}
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c, err := newCache(o.CacheDir)
	if err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	s := &Store{
		o: o, cache: c, jobs: make(chan struct{}, o.Jobs),
		sessions: map[string]*session{}, sources: map[string][]source{}, flights: map[string]*flight{},
		files: map[string]*File{}, hashed: map[string]struct{}{}, asked: map[string][]byte{},
	}
	s.plain, s.insecure = transports(o.Transport)
	return s, nil
}

// Fetch brings every layer of the images into the cache, each once, Jobs at a time, in the order given. It then checks the architecture of
// images whose config names another one, and adds to their Warnings.
func (s *Store) Fetch(ctx context.Context, images []*Image) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.o.Jobs)
	seen := map[string]struct{}{}
	for _, img := range images {
		for _, l := range img.Layers {
			if _, ok := seen[l.Blob.Digest]; ok {
				continue
			}
			seen[l.Blob.Digest] = struct{}{}
			g.Go(func() error {
				if err := s.ensureBlob(gctx, l.Blob); err != nil {
					return fmt.Errorf("pull %s: %w", img.Ref, err)
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	for _, img := range images {
		warning, err := s.CheckArch(ctx, img, img.Platform)
		if err != nil {
			return fmt.Errorf("pull %s: %w", img.Ref, err)
		}
		if warning != "" && !slices.Contains(img.Warnings, warning) {
			img.Warnings = append(img.Warnings, warning)
		}
	}
	return nil
}

// tell passes an event on, one at a time.
func (s *Store) tell(e Event) {
	if s.o.Progress == nil {
		return
	}
	s.progress.Lock()
	defer s.progress.Unlock()
	s.o.Progress(e)
}
