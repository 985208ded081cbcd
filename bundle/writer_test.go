package bundle

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeContent makes every content out of its size: zeros. Layers and files are the same to it.
type fakeContent struct {
	install []byte
	layer   func() (io.ReadCloser, int64, error)
}

func (f fakeContent) Outer(context.Context, File) (io.ReadCloser, error) {
	return text(string(f.install)), nil
}

func (f fakeContent) File(context.Context, File) (io.ReadCloser, error) {
	return nil, errors.New("no file")
}

func (f fakeContent) Blob(context.Context, Descriptor) (io.ReadCloser, error) { return text("{}"), nil }

func (f fakeContent) Layer(context.Context, Layer) (io.ReadCloser, int64, error) {
	return f.layer()
}

func text(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func oneLayer(layerDigest string) *Contract {
	empty := digestOf([]byte("{}"))
	d := Descriptor{Digest: empty, Size: 2}
	return &Contract{
		KubernetesVersion: "v1.34.4", OS: "linux", Arch: "amd64",
		Images: []Image{{Ref: "pause:3.10", Target: d, Manifest: d, Config: d, Layers: []Layer{{DiffID: layerDigest, Blob: d}}}},
		Outer:  []File{{Path: InstallName, Mode: 0o755, Size: 3, SHA256: digestOf([]byte("ELF"))}},
	}
}

// TestWriteFails proves that a failed write leaves nothing, and leaves what was there.
func TestWriteFails(t *testing.T) {
	good := digestOf([]byte("layer"))
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		contract *Contract
		content  fakeContent
		want     string
	}{
		"open":         {oneLayer(good), fakeContent{[]byte("ELF"), func() (io.ReadCloser, int64, error) { return nil, 0, boom }}, "boom"},
		"read":         {oneLayer(good), fakeContent{[]byte("ELF"), func() (io.ReadCloser, int64, error) { return io.NopCloser(failing{boom}), 5, nil }}, "boom"},
		"cut short":    {oneLayer(good), fakeContent{[]byte("ELF"), func() (io.ReadCloser, int64, error) { return io.NopCloser(failing{io.ErrUnexpectedEOF}), 5, nil }}, "unexpected EOF"},
		"too long":     {oneLayer(good), fakeContent{[]byte("ELF"), func() (io.ReadCloser, int64, error) { return text("layer!"), 5, nil }}, "more than the expected 5 bytes"},
		"too short":    {oneLayer(good), fakeContent{[]byte("ELF"), func() (io.ReadCloser, int64, error) { return text("lay"), 5, nil }}, "has 3 bytes instead of 5"},
		"other digest": {oneLayer(good), fakeContent{[]byte("ELF"), func() (io.ReadCloser, int64, error) { return text("LAYER"), 5, nil }}, "has digest"},
		"install":      {oneLayer(good), fakeContent{[]byte("elf"), func() (io.ReadCloser, int64, error) { return text("layer"), 5, nil }}, "pack install: has digest"},
		"odd contract": {oneLayer("sha256:xyz"), fakeContent{}, `odd digest "sha256:xyz"`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "out.tar.gz")
			if err := os.WriteFile(path, []byte("older"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Write(t.Context(), path, tc.contract, tc.content, WriteOptions{Encoder: testEncoder{}})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
			onlyFile(t, dir, "out.tar.gz", "older")
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func onlyFile(t *testing.T, dir, name, content string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{name}, names); diff != "" {
		t.Errorf("left behind (-want +got):\n%s", diff)
	}
	if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != content {
		t.Errorf("%s = %q, %v", name, data, err)
	}
}

func TestWriteCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	content := fakeContent{[]byte("ELF"), func() (io.ReadCloser, int64, error) {
		cancel()
		return io.NopCloser(io.LimitReader(rand.Reader, 1<<30)), 1 << 30, nil
	}}
	dir := t.TempDir()
	path := filepath.Join(dir, "out.tar.gz")
	if err := os.WriteFile(path, []byte("older"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Write(ctx, path, oneLayer(digestOf(nil)), content, WriteOptions{Encoder: testEncoder{}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Write = %v", err)
	}
	onlyFile(t, dir, "out.tar.gz", "older")
}

// TestTwoWriters proves that the second writer of one output stops instead of mixing in, and that the remains of a
// killed one do not hinder.
func TestTwoWriters(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.tar.gz")
	first, err := createAtomic(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := createAtomic(path); err == nil || !strings.Contains(err.Error(), "being written by another process") {
		t.Errorf("second writer: %v", err)
	}
	if _, err := first.file.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	_ = first.file.Close() // what a kill does: the lock goes, the file stays
	content := fakeContent{[]byte("ELF"), func() (io.ReadCloser, int64, error) { return text("layer"), 5, nil }}
	if _, err := Write(t.Context(), path, oneLayer(digestOf([]byte("layer"))), content, WriteOptions{Encoder: testEncoder{}}); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 {
		t.Errorf("folder has %v, %v", list, err)
	}
}

// TestModTime proves that the time of the entries is the caller's and nothing else changes with the clock.
func TestModTime(t *testing.T) {
	sums := map[string]bool{}
	for _, tm := range []time.Time{{}, epoch, time.Unix(1700000000, 0)} {
		content := fakeContent{[]byte("ELF"), func() (io.ReadCloser, int64, error) { return text("layer"), 5, nil }}
		res, err := Write(t.Context(), filepath.Join(t.TempDir(), "o"), oneLayer(digestOf([]byte("layer"))), content, WriteOptions{Encoder: testEncoder{}, ModTime: tm})
		if err != nil {
			t.Fatal(err)
		}
		sums[res.SHA256] = true
	}
	if len(sums) != 2 {
		t.Errorf("%d digests, want 2", len(sums))
	}
}

func TestLayerOrder(t *testing.T) {
	layer := func(s string) Layer { return Layer{DiffID: s} }
	img := func(ids ...string) Image {
		var m Image
		for _, id := range ids {
			m.Layers = append(m.Layers, layer(id))
		}
		return m
	}
	for name, tc := range map[string]struct {
		images []Image
		want   string
	}{
		"shared base":         {[]Image{img("base", "a"), img("base", "b")}, "base a b"},
		"parent known later":  {[]Image{img("x", "c"), img("a", "x")}, "a x c"},
		"opposite orders":     {[]Image{img("a", "b"), img("b", "a")}, "a b"},
		"cycle and a way out": {[]Image{img("a", "b"), img("b", "a"), img("c")}, "c a b"},
		"empty layer twice":   {[]Image{img("a", "e", "e", "b")}, "a e b"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, l := range layerOrder(tc.images) {
				got = append(got, l.DiffID)
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("got %q, want %q", s, tc.want)
			}
		})
	}
}

// TestMemoryIsFlat writes and reads a large layer and watches the heap: the window counts, not the content.
func TestMemoryIsFlat(t *testing.T) {
	const size, limit = 600 << 20, 450 << 20
	debug.FreeOSMemory() // windows of earlier tests
	var peak uint64
	watch := func() {
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		peak = max(peak, s.HeapInuse)
	}
	content := fakeContent{[]byte("ELF"), func() (io.ReadCloser, int64, error) { return io.NopCloser(io.LimitReader(zeros{}, size)), size, nil }}
	path := filepath.Join(t.TempDir(), "o.tar.gz")
	if _, err := Write(t.Context(), path, oneLayer(zeroDigest(size)), content, WriteOptions{
		Encoder: testEncoder{}, Progress: func(WriteEvent) { watch() },
	}); err != nil {
		t.Fatal(err)
	}
	if peak > limit {
		t.Errorf("writing took %d MiB, limit %d MiB", peak>>20, limit>>20)
	}
	debug.FreeOSMemory()
	peak = 0
	b, err := OpenArchive(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Payload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }() // only read from
	for err == nil {
		if _, err = p.Next(); err == nil {
			_, err = io.Copy(writerFunc(func([]byte) { watch() }), onlyReader{p})
		}
	}
	if limit := uint64(MaxWindow + besideWindow); peak > limit {
		t.Errorf("reading took %d MiB, limit %d MiB", peak>>20, limit>>20)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}
