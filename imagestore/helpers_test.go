package imagestore

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

var (
	linuxAMD64 = Platform{OS: "linux", Arch: "amd64"}
	linuxARM64 = Platform{OS: "linux", Arch: "arm64"}
)

// testRegistry is a registry in this process that counts requests and can be told to misbehave.
type testRegistry struct {
	*httptest.Server
	host string

	mu     sync.Mutex
	counts map[string]int // "GET blobs", "GET manifests", … and "GET <path>"
	ranges []string
	// fault, if it answers true, has dealt with the request itself. n counts the requests of this method and path, from 1.
	fault func(w http.ResponseWriter, r *http.Request, n int) bool
}

func newRegistry(t *testing.T) *testRegistry {
	t.Helper()
	r := &testRegistry{counts: map[string]int{}}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n, fault := r.note(req)
		if fault != nil && fault(w, req, n) {
			return
		}
		inner.ServeHTTP(w, req)
	}))
	t.Cleanup(r.Close)
	r.host = strings.TrimPrefix(r.URL, "http://")
	return r
}

func (r *testRegistry) note(req *http.Request) (int, func(http.ResponseWriter, *http.Request, int) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[req.Method+" "+req.URL.Path]++
	for _, kind := range []string{"blobs", "manifests", "tags"} {
		if strings.Contains(req.URL.Path, "/"+kind+"/") {
			r.counts[req.Method+" "+kind]++
		}
	}
	if rng := req.Header.Get("Range"); rng != "" {
		r.ranges = append(r.ranges, rng)
	}
	return r.counts[req.Method+" "+req.URL.Path], r.fault
}

func (r *testRegistry) count(key string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[key]
}

// reset forgets counts and sets a fault, nil for none.
func (r *testRegistry) reset(fault func(w http.ResponseWriter, r *http.Request, n int) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts, r.ranges, r.fault = map[string]int{}, nil, fault
}

func (r *testRegistry) push(t *testing.T, repoTag string, what remote.Taggable) string {
	t.Helper()
	ref, err := name.ParseReference(r.host + "/" + repoTag)
	if err != nil {
		t.Fatal(err)
	}
	switch w := what.(type) {
	case v1.Image:
		err = remote.Write(ref, w)
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, w)
	default:
		err = remote.Put(ref, w)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.reset(nil)
	return ref.Name()
}

// newStore opens a store that is quick to give up.
func newStore(t *testing.T, o Options) *Store {
	t.Helper()
	if o.CacheDir == "" {
		o.CacheDir = t.TempDir()
	}
	if o.RetryDelay == 0 {
		o.RetryDelay = time.Millisecond
	}
	if o.Keychain == nil {
		o.Keychain = authn.NewMultiKeychain() // knows nobody
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// entry is one file of a test layer.
type entry struct {
	name, content, link string
	hard                bool
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o755, Size: int64(len(e.content)), Typeflag: tar.TypeReg}
		if e.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
			if e.hard {
				h.Typeflag = tar.TypeLink
			}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// noise is content that does not compress, the same for the same seed.
func noise(seed uint64, size int) string {
	src := rand.New(rand.NewPCG(seed, 1)) // test data
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(src.Uint32())
	}
	return string(b)
}

func layerOf(t *testing.T, c compression.Compression, entries ...entry) v1.Layer {
	t.Helper()
	data := tarOf(t, entries...)
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	kind := types.OCILayer
	switch c { //nolint:exhaustive // gzip is the default
	case compression.ZStd:
		kind = types.OCILayerZStd
	case compression.None:
		return static.NewLayer(data, types.OCIUncompressedLayer) // tarball would compress it all the same
	}
	l, err := tarball.LayerFromOpener(opener, tarball.WithCompression(c), tarball.WithMediaType(kind))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// imageOf makes an image whose config names an arch.
func imageOf(t *testing.T, arch string, cfg v1.Config, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layers...)
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.ConfigFile(img, withConfig(t, img, arch, cfg))
	if err != nil {
		t.Fatal(err)
	}
	return mutate.ConfigMediaType(img, types.OCIConfigJSON)
}

func withConfig(t *testing.T, img v1.Image, arch string, cfg v1.Config) *v1.ConfigFile {
	t.Helper()
	f, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	f = f.DeepCopy()
	f.OS, f.Architecture, f.Config = "linux", arch, cfg
	return f
}

// indexOf makes an index; the keys are platforms as in "linux/arm/v7".
func indexOf(t *testing.T, images map[string]v1.Image) v1.ImageIndex {
	t.Helper()
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for key, img := range images {
		p, err := v1.ParsePlatform(key)
		if err != nil {
			t.Fatal(err)
		}
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: p}})
	}
	return idx
}

// elfFor is the beginning of a program.
func elfFor(m elf.Machine) string {
	b := make([]byte, 64)
	copy(b, elf.ELFMAG)
	b[elf.EI_CLASS], b[elf.EI_DATA] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB)
	if m == elf.EM_386 || m == elf.EM_ARM {
		b[elf.EI_CLASS] = byte(elf.ELFCLASS32)
	}
	b[16], b[18], b[19] = 2, byte(m), byte(m>>8)
	return string(b)
}

func resolve(t *testing.T, s *Store, ref string, p Platform) *Image {
	t.Helper()
	img, err := s.Resolve(t.Context(), ref, nil, p)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func readLayer(t *testing.T, s *Store, l Layer) ([]byte, error) {
	t.Helper()
	r, err := s.Open(t.Context(), l)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// files lists what a cache holds, relative to its directory.
func files(t *testing.T, dir, sub string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(filepath.Join(dir, sub), func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, strings.TrimPrefix(p, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// spoil changes the last byte of a file.
func spoil(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 0xff
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// cut serves the first n bytes of a blob of the registry and breaks the connection.
func cut(inner []byte, n int) func(w http.ResponseWriter, r *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(inner)))
		w.WriteHeader(http.StatusOK)
		w.Write(inner[:n]) //nolint:errcheck // the test looks at the other side
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler) // closes the connection
	}
}

func compressed(t *testing.T, l v1.Layer) []byte {
	t.Helper()
	r, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func digest(t *testing.T, l interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	h, err := l.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// isBlob tells the request for a layer from the one for a config.
func isBlob(r *http.Request, digest string) bool {
	return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blobs/"+digest)
}
