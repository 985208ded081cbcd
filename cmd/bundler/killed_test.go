package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"kubebundle/bundle/builder/buildertest"
)

// TestKilledAnywhere kills builds with SIGKILL at their first request, at their second, and so on, in the middle of the answer, all over one
// cache, until one comes to its end. It must write the very bytes of a build that nobody disturbed, nothing may be visible before,
// what is in the cache may not be asked for again, and a large layer must be continued rather than begun again.
func TestKilledAnywhere(t *testing.T) {
	k := newKiller(t)
	want := k.undisturbed(t)
	cache, out := t.TempDir(), t.TempDir()
	output := filepath.Join(out, "b.tar.gz")
	packing := 0
	for round := 1; ; round++ {
		if round > 200 {
			t.Fatal("the builds get nowhere")
		}
		have := cached(t, cache)
		k.arm(round, cache)
		if k.run(t, cache, output) {
			k.disarm()
			t.Logf("%d builds were killed, %d of them while packing", round-1, packing)
			break
		}
		if _, err := os.Stat(output); err == nil {
			t.Fatalf("round %d: a killed build left an output", round)
		}
		if _, err := os.Stat(filepath.Join(out, ".b.tar.gz.part")); err == nil {
			packing++
		}
		for _, path := range k.asked() {
			_, digest, ok := strings.Cut(path, "/blobs/sha256:")
			if ok && have[digest] {
				t.Errorf("round %d: blob %s was asked for although the cache has it", round, digest)
			}
		}
	}
	got, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the bundle differs from that of a build that was not disturbed")
	}
	if left, err := os.ReadDir(out); err != nil || len(left) != 1 {
		t.Errorf("left beside the output: %v %v", left, err)
	}
	if left, err := os.ReadDir(filepath.Join(cache, "partial")); err != nil || len(left) != 0 {
		t.Errorf("left of downloads: %v %v", left, err)
	}
	for name := range walked(t, cache) {
		if strings.HasPrefix(filepath.Base(name), ".") {
			t.Errorf("left in the cache: %s", name)
		}
	}
	if packing == 0 {
		t.Error("no build was killed while it packed")
	}
	// What the server had sent and the client had not read when it was killed lies in the kernel's buffers and is lost: more than the
	// layer is sent, but it does not begin anew.
	if served, ranges := k.sent(); ranges == 0 || served >= 2*k.size {
		t.Errorf("the large layer of %d bytes: %d bytes were sent, %d answers to ranges", k.size, served, ranges)
	}

	// A cache all of whose entries have rotted is as good as none, and is mended.
	for digest := range cached(t, cache) {
		path := filepath.Join(cache, "blobs", "sha256", digest[:2], digest)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 0x10
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k.disarm()
	if !k.run(t, cache, output) {
		t.Fatal("the build over a rotten cache failed")
	}
	if got, err = os.ReadFile(output); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the bundle from a rotten cache differs, %v", err)
	}
	if served, _ := k.sent(); served != k.size {
		t.Errorf("%d bytes of the large layer were fetched again, want %d", served, k.size)
	}
	for digest := range cached(t, cache) {
		data, err := os.ReadFile(filepath.Join(cache, "blobs", "sha256", digest[:2], digest))
		if sum := sha256.Sum256(data); err != nil || hex.EncodeToString(sum[:]) != digest {
			t.Errorf("cache entry %s is still damaged, %v", digest, err)
		}
	}
}

// cached lists the digests in a cache.
func cached(t *testing.T, cache string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for name := range walked(t, filepath.Join(cache, "blobs")) {
		out[filepath.Base(name)] = true
	}
	return out
}

// walked lists the files below a folder.
func walked(t *testing.T, dir string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out[path] = true
		}
		return nil // what is not there yet holds nothing
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// killer is an upstream that ends its client in the middle of an answer.
type killer struct {
	up    *buildertest.Upstream
	args  []string
	large string // digest of the large layer, and its size
	size  int64

	mu     sync.Mutex
	at     int // kill at this request; 0 never
	cache  string
	client *os.Process
	paths  []string
	served int64 // bytes of the large layer
	ranges int   // answers to ranges of it
}

func newKiller(t *testing.T) *killer {
	t.Helper()
	k := &killer{up: buildertest.New(t)}
	k.up.AddRelease(t, "v1.34.4", "amd64")
	k.pushLarge(t)
	installer := filepath.Join(t.TempDir(), "install")
	if err := os.WriteFile(installer, buildertest.ELF("amd64", "install"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.args = []string{
		"build", "--version", "v1.34.4", "--arch", "amd64", "--image", "docker.io/large/large:1", "--installer", installer, "--compression", "fast",
		"--binary-mirror", k.up.BinaryMirror(), "--retries", "0", "--jobs", "2",
	}
	for _, m := range k.up.RegistryMirrors() {
		k.args = append(k.args, "--registry-mirror", m)
	}
	k.up.SetFault(k.serve)
	return k
}

// pushLarge pushes an image with a layer of 4 MiB that does not compress.
func (k *killer) pushLarge(t *testing.T) {
	t.Helper()
	noise := make([]byte, 4<<20)
	source := rand.NewChaCha8([32]byte{1})
	if _, err := source.Read(noise); err != nil {
		t.Fatal(err)
	}
	blob := buildertest.Gzip(buildertest.Tar(buildertest.Member{Name: "noise", Data: noise}))
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(blob)), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: must1(img.ConfigFile()).RootFS})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(k.up.Host() + "/docker.io/large/large:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	k.large, k.size = must1(layer.Digest()).String(), must1(layer.Size())
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// undisturbed builds with a cache of its own.
func (k *killer) undisturbed(t *testing.T) []byte {
	t.Helper()
	output := filepath.Join(t.TempDir(), "b.tar.gz")
	if !k.run(t, t.TempDir(), output) {
		t.Fatal("the first build failed")
	}
	data, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	k.sent()
	return data
}

func (k *killer) arm(at int, cache string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at, k.cache, k.paths = at, cache, nil
}

func (k *killer) disarm() { k.arm(0, "") }

func (k *killer) asked() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.paths
}

// sent tells how much of the large layer was sent since it was asked last, and in how many answers to ranges.
func (k *killer) sent() (served int64, ranges int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	served, ranges = k.served, k.ranges
	k.served, k.ranges = 0, 0
	return served, ranges
}

// run builds, and says whether the build came to its end.
func (k *killer) run(t *testing.T, cache, output string) bool {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, "bundler", append(slices.Clone(k.args), "--cache-dir", cache, "--output-file", output)...)
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	k.mu.Lock() // before the first request is answered
	err := cmd.Start()
	k.client = cmd.Process
	k.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if err != nil && cmd.ProcessState.ExitCode() >= 0 {
		t.Fatalf("the build ended by itself: %v\n%s", err, stderr.String())
	}
	return err == nil
}

// serve answers, or sends one half and kills.
func (k *killer) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	k.mu.Lock()
	k.paths = append(k.paths, r.URL.Path)
	large := strings.HasSuffix(r.URL.Path, k.large) && r.Method == http.MethodGet
	kill := k.at > 0 && (len(k.paths) == k.at || large && k.served == 0)
	client, cache := k.client, k.cache
	k.mu.Unlock()
	answer := &recorder{ResponseWriter: w}
	if kill {
		if large {
			answer.whole = k.size / 2
		}
		answer.end = func() {
			if large { // what it got so far must have reached its disk
				waitForPartial(cache)
			}
			_ = client.Kill() // it may have ended by itself
		}
	}
	next.ServeHTTP(answer, r)
	if kill {
		_ = client.Kill() // an answer without a body
	}
	if large {
		k.mu.Lock()
		k.served += answer.sent
		if r.Header.Get("Range") != "" {
			k.ranges++
		}
		k.mu.Unlock()
	}
}

func waitForPartial(cache string) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		entries, err := os.ReadDir(filepath.Join(cache, "partial"))
		if err != nil {
			continue
		}
		for _, e := range entries {
			if st, err := e.Info(); err == nil && st.Size() > 64<<10 {
				return
			}
		}
	}
}

// recorder counts what is sent. Where end is set, it ends in the middle of the write that comes after so many bytes.
type recorder struct {
	http.ResponseWriter
	sent, whole int64
	end         func()
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.end == nil || r.sent+int64(len(b)) <= r.whole {
		n, err := r.ResponseWriter.Write(b)
		r.sent += int64(n)
		return n, err
	}
	n, err := r.ResponseWriter.Write(b[:len(b)/2])
	r.sent += int64(n)
	if err == nil {
		r.ResponseWriter.(http.Flusher).Flush()
		r.end()
		err = http.ErrAbortHandler
	}
	return n, err
}
