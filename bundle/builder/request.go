package builder

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"kubebundle/bundle"
	"kubebundle/bundle/encoder"
	"kubebundle/bundle/trust"
	"kubebundle/imagestore"
	"kubebundle/release"
)

// Request says what a bundle shall hold.
type Request struct {
	Version         *version.Version
	Arch            release.Arch
	ImageRepository string // "" for the version's own default
	KubeDNS         bool
	VirtualIP       map[string]string // images of keepalived and HAProxy; nil for none
	AllowUnknown    bool              // a version that the catalog does not know goes on with the nearest rules

	Manifests []string // files or http(s) URLs, in the order in which they are to be applied
	Charts    []Chart  // are rendered to manifests that come after those
	Images    []string // extra references
	Includes  []Include
	NoCrictl  bool // leave crictl out without a warning
	// AllowForeign names images of the user's in whose layers programs for other architectures may be.
	AllowForeign []string

	Installer   string              // path of `install` for Arch; only a plan that is not built may lack it
	Output      string              // path of the .tar.gz
	Compression encoder.Compression // "" is encoder.Default
	ModTime     time.Time           // of every entry; zero is bundle's own fixed time
	PartSize    int64               // of the parts of the output, in bytes; 0 is one file
	Base        *bundle.Bundle      // nil, or what the bundle is a delta of
	Builder     string              // version of the program, for the contract

	Sign        bundle.SignFunc // nil leaves the bundle unsigned
	TrustedKeys trust.Keys      // pinned into the installer

	NoUpstreamSignatures bool // leave out the signatures that registries hold beside the images
}

// Store is what a build needs of an image store; *imagestore.Store is one.
type Store interface {
	Resolve(ctx context.Context, ref string, pull []string, p imagestore.Platform) (*imagestore.Image, error)
	Fetch(ctx context.Context, images []*imagestore.Image) error
	Open(ctx context.Context, l imagestore.Layer) (io.ReadCloser, error)
	GuessSize(ctx context.Context, l imagestore.Layer) (int64, error)
	Signatures(ctx context.Context, img *imagestore.Image) error
	Download(ctx context.Context, r imagestore.DownloadRequest) (*imagestore.File, error)
	Artifact(ctx context.Context, ref, mediaType string, limit int64) (*imagestore.Artifact, error)
}

var _ Store = (*imagestore.Store)(nil)

// Builder builds bundles. Several builds may share one.
type Builder struct {
	Store Store
	// HTTP fetches manifests that are given as URLs; nil is a client with the environment's proxies.
	HTTP     *http.Client
	Log      *slog.Logger // nil discards
	Progress func(Event)  // nil discards; called by one goroutine at a time
	Jobs     int          // concurrent resolutions and downloads, default 4

	telling sync.Mutex
}

// Stage says what an Event speaks of.
type Stage string

// The stages of a build. Pulling is reported by the store.
const (
	StageResolve Stage = "resolve" // Name is an image
	StageProgram Stage = "program" // Name is a binary that is there and checked
	StageBegin   Stage = "begin"   // Name is the output, which is about to be packed
	StagePack    Stage = "pack"    // Name is a payload path; Done and Size are bytes
	StageFinish  Stage = "finish"  // Name is the output
)

// Event tells about progress.
type Event struct {
	Stage   Stage
	Name    string
	Arch    release.Arch // of the bundle; "" while packing
	Ref     string       // of a layer: the first image that it belongs to
	Done    int64
	Size    int64
	Packed  int64 // bytes of the whole payload so far, before compression
	Total   int64 // bytes that Packed goes to; what is not measured yet is guessed
	Written int64 // compressed bytes of the payload so far
}

func (b *Builder) tell(e Event) {
	if b.Progress == nil {
		return
	}
	b.telling.Lock()
	defer b.telling.Unlock()
	b.Progress(e)
}

func (b *Builder) jobs() int {
	if b.Jobs > 0 {
		return b.Jobs
	}
	return 4
}
