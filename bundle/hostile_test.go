package bundle

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// TestEveryPlace cuts a good bundle off, and flips a bit, every few bytes: in each section many times. Nothing is let
// through but what changes no content: gzip's header has a time and a name of an operating system.
func TestEveryPlace(t *testing.T) {
	whole := sample()
	whole.addSignature()
	for name, r := range map[string]*raw{"whole": whole, "delta": deltaSample()} {
		t.Run(name, func(t *testing.T) { everyPlace(t, r.bytes()) })
	}
}

func everyPlace(t *testing.T, good []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.tar.gz")
	try := func(data []byte) error {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return readAll(t.Context(), path)
	}
	if err := try(good); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	var base *BaseError // of a delta, where the flip makes it name another base
	for n := 0; n < len(good); n += 9 {
		if err := try(good[:n]); !errors.As(err, &corrupt) {
			t.Fatalf("cut off at %d of %d bytes: %v", n, len(good), err)
		}
	}
	let := 0
	for i := 0; i < len(good); i += 5 {
		data := bytes.Clone(good)
		data[i] ^= 1 << (i % 8)
		if err := try(data); err == nil {
			let++
		} else if !errors.As(err, &corrupt) && !errors.As(err, &base) {
			t.Fatalf("byte %d flipped: not a CorruptError: %v", i, err)
		}
	}
	if let > 6 { // MTIME, XFL and OS of one gzip header
		t.Errorf("%d flipped bytes were not noticed", let)
	}
}

// TestEveryFile does the same to the files of a folder, at their beginning, middle and end.
func TestEveryFile(t *testing.T) {
	r := sample()
	parts := map[string][]byte{}
	r.outer = func(p []part) []part {
		for _, f := range p[1:] {
			parts[filepath.Base(f.h.Name)] = f.data
		}
		return p
	}
	r.bytes()
	dir := t.TempDir()
	put := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	try := func() error {
		b, err := Open(dir)
		if err != nil {
			return err
		}
		return b.Verify(t.Context())
	}
	for name, data := range parts {
		put(name, data)
	}
	if err := try(); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	for name, data := range parts {
		for _, n := range []int{0, 1, len(data) / 2, len(data) - 2} {
			put(name, data[:n])
			if err := try(); !errors.As(err, &corrupt) {
				t.Errorf("%s cut off at %d of %d bytes: %v", name, n, len(data), err)
			}
			flipped := bytes.Clone(data)
			flipped[min(n, len(data)-1)] ^= 4
			put(name, flipped)
			if err := try(); !errors.As(err, &corrupt) {
				t.Errorf("%s with byte %d flipped: %v", name, n, err)
			}
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/dev/zero", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := try(); !errors.As(err, &corrupt) {
			t.Errorf("%s as a link: %v", name, err)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		put(name, data)
	}
}

// TestBombs reads what is made to eat memory, and watches the heap, garbage included: the window and 64 MiB are the limit.
func TestBombs(t *testing.T) {
	const window = 8 << 20
	entry := func(name string, size int64) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: epoch}
	}
	// stream is a payload of entries; their contents are zeros.
	stream := func(next func(i int) (tar.Header, bool)) ([]byte, int64) {
		var packed bytes.Buffer
		enc, err := zstd.NewWriter(&packed, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
		must(err)
		raw := &countWriter{w: enc}
		tw := tar.NewWriter(raw)
		for i := 0; ; i++ {
			h, ok := next(i)
			if !ok {
				break
			}
			must(tw.WriteHeader(&h))
			_, err := io.CopyN(tw, zeros{}, h.Size)
			must(err)
		}
		must(tw.Close())
		must(enc.Close())
		return packed.Bytes(), raw.n
	}
	// around makes a bundle of a payload; seal makes the contract agree with it.
	around := func(payload []byte, n int64, change func(*Contract)) []byte {
		r := sample()
		r.contract.Payload = Payload{Path: PayloadName, Size: int64(len(payload)), SHA256: digestOf(payload), Uncompressed: n, WindowBytes: window}
		change(r.contract)
		r.outer = func(p []part) []part {
			p[4] = filePart(p[4].h.Name, payload)
			return p
		}
		return r.bytes()
	}
	contract := func(text string) func() []byte {
		return func() []byte {
			r := sample()
			r.patch = func([]byte) []byte { return []byte(text) }
			return r.bytes()
		}
	}
	document := func(open, one, end string) func() []byte {
		return func() []byte {
			index := []byte(open + strings.Repeat(one, (MaxBlob-len(open)-len(end))/len(one)) + end)
			r := sample()
			r.replaceBlob(1, &r.contract.Images[0].Target, string(index))
			return r.bytes()
		}
	}
	for _, tc := range []struct {
		name string
		make func() []byte
		want string // "" for a bundle that is good, only large
	}{
		{"one large file", func() []byte {
			const size = 256 << 20
			p, n := stream(func(i int) (tar.Header, bool) { return entry("bin/kubelet", size), i == 0 })
			return around(p, n, func(c *Contract) {
				c.Images = nil
				c.Files[0].Size, c.Files[0].SHA256 = size, zeroDigest(size)
			})
		}, ""},
		{"one file larger than the contract says", func() []byte {
			p, n := stream(func(i int) (tar.Header, bool) { return entry("bin/kubelet", 256<<20), i == 0 })
			return around(p, n, func(*Contract) {})
		}, "the contract says 9"},
		{"files without end", func() []byte {
			p, n := stream(func(i int) (tar.Header, bool) { return entry(fmt.Sprintf("bin/evil%d", i), 0), i < 300_000 })
			return around(p, n, func(*Contract) {})
		}, "and more: the rest was not looked at"},
		{"an installer without end", func() []byte {
			r := sample()
			r.outer = func(p []part) []part { return p[:1] }
			var buf bytes.Buffer
			zw := gzip.NewWriter(&buf)
			tw := tar.NewWriter(zw)
			h := entry("k8s-v1.34.4-linux-amd64/", 0)
			h.Typeflag = tar.TypeDir
			must(tw.WriteHeader(&h))
			h = entry("k8s-v1.34.4-linux-amd64/"+InstallName, maxOuter+1)
			must(tw.WriteHeader(&h))
			_, err := io.CopyN(tw, zeros{}, 1<<20)
			must(err)
			must(zw.Close())
			return buf.Bytes()
		}, "install: is larger than"},
		{"a contract of images", contract(`{"format":1,"images":[` + strings.Repeat("{},", MaxContract/3-20) + `{}]}`), "objects, more than"},
		{"a contract of numbers", contract(`{"format":1,"requirements":{"ports":[` + strings.Repeat("1,", MaxContract/2-50) + `1]}}`), "values, more than"},
		{"a contract of mistakes", contract(`{"format":1,"images":[` + strings.Repeat(`{"layers":[{}]},`, maxObjects/2-5) + `{}]}`), "and more: the rest was not looked at"},
		{"a contract of long texts", contract(`{"format":1,"images":[` + strings.Repeat(`{"ref":"`+strings.Repeat("x", 1<<20)+`","layers":[{},{},{}]},`, 6) + `{}]}`), "odd reference"},
		{"a contract that is too large", contract(strings.Repeat(" ", MaxContract+1)), "bundle.json: is larger than"},
		{"an index of manifests", document(`{"manifests":[`, "{},", `{}]}`), "objects, more than"},
		{"an index of numbers", document(`{"manifests":[`, "1,", `1]}`), "values, more than"},
		{"sums of nothing", func() []byte {
			r := sample()
			r.outer = func(p []part) []part {
				p[3] = filePart(p[3].h.Name, bytes.Repeat([]byte("\n"), maxSums))
				return p
			}
			return r.bytes()
		}, "is not a checksum"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "b.tar.gz")
			if err := os.WriteFile(path, tc.make(), 0o600); err != nil {
				t.Fatal(err)
			}
			var err error
			peak := heapPeak(func() {
				var b *Bundle
				if b, err = OpenArchive(path); err == nil {
					err = b.Verify(t.Context())
				}
			})
			if limit := uint64(window + besideWindow); peak > limit {
				t.Errorf("%d MiB of heap, more than %d", peak>>20, limit>>20)
			}
			var corrupt *CorruptError
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (!errors.As(err, &corrupt) || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error %.300v, want %q", err, tc.want)
			case err != nil && len(err.Error()) > 1<<20:
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

// TestDeltaMemory applies deltas and watches the heap: the windows of both payloads, the largest old file and 64 MiB are the limit.
func TestDeltaMemory(t *testing.T) {
	const window, large = 8 << 20, 96 << 20
	// A file that stays as it is, but for its first byte: one operation for each block.
	patch := func(size int64) []byte {
		out := []byte(patchMagic)
		for first := true; size > 0; first = false {
			n := min(size, patchBlock)
			streams := []string{op(uint64(n), 0, 0), "", "", "", ""}
			if first {
				streams = []string{op(uint64(n), 0, 0), "\x00", "\x01", "\x01", ""}
			}
			out = append(out, patchOf(uint64(n), streams...)[len(patchMagic):]...)
			size -= n
		}
		return out
	}
	// The bomb says that much is coming, and some of it comes.
	bomb := append(binary.AppendUvarint([]byte(patchMagic), patchBlock), bytes.Repeat(binary.AppendUvarint(nil, 4*patchBlock), 5)...)
	bomb = append(bomb, make([]byte, 5*4*patchBlock)...)
	for name, tc := range map[string]struct {
		sizes []int64 // of the files in the base
		bomb  bool
		want  string
	}{
		"one large file":             {[]int64{large}, false, ""},
		"each larger than the last":  {[]int64{large / 2, large * 2 / 3, large}, false, ""},
		"each smaller than the last": {[]int64{large, large / 2}, false, ""},
		"a block of endless streams": {[]int64{patchBlock}, true, "patches/bin/f0: is malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			base, next := sample(), deltaSample()
			base.window, next.window = window, window
			base.contract.Files, next.contract.Files = nil, nil
			taken := next.contract.Delta.Taken[1:] // the layer
			var olds, patches []part
			var list []Taken
			for i, n := range tc.sizes {
				path := fmt.Sprintf("bin/f%d", i)
				old := make([]byte, n)
				olds = append(olds, filePart(path, old))
				base.contract.Files = append(base.contract.Files, File{Path: path, Mode: 0o755, Size: n, SHA256: digestOf(old)})
				old[0] = 1
				next.contract.Files = append(next.contract.Files, File{Path: path, Mode: 0o755, Size: n, SHA256: digestOf(old)})
				old[0] = 0
				p := patch(n)
				if tc.bomb {
					p = bomb
				}
				patches = append(patches, filePart(patchPrefix+path, p))
				list = append(list, Taken{Path: path, From: path, Patch: &Patch{Size: int64(len(p)), SHA256: digestOf(p)}})
			}
			base.entries, next.entries = append(olds, base.entries[1:]...), append(patches, next.entries[1:]...)
			next.contract.Delta.Taken = append(list, taken...)
			next.contract.Delta.Base.Content = base.contract.ContentDigest()
			open := func(r *raw, name string) *Bundle {
				data, n := r.payload()
				r.contract.Payload = Payload{Path: PayloadName, Size: int64(len(data)), SHA256: digestOf(data), Uncompressed: n, WindowBytes: window}
				path := filepath.Join(t.TempDir(), name)
				if err := os.WriteFile(path, r.bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
				b, err := OpenArchive(path)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			b := open(next, "next.tar.gz")
			if err := b.UseBase(open(base, "base.tar.gz")); err != nil {
				t.Fatal(err)
			}
			base, next = nil, nil // not a reader's
			var err error
			peak := heapPeak(func() { err = pass(t.Context(), b) })
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			if limit := uint64(2*window+besideWindow) + uint64(slices.Max(tc.sizes)); peak > limit {
				t.Errorf("%d MiB of heap, more than %d", peak>>20, limit>>20)
			}
		})
	}
}

// besideWindow is what a reader may need beside the window of its decoder, in bytes.
const besideWindow = 64 << 20

// heapPeak is by how much the heap grows at most while f runs, sampled every millisecond.
func heapPeak(f func()) uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	base, stop, done := m.HeapAlloc, make(chan struct{}), make(chan uint64)
	go func() {
		var peaks []uint64
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peaks = append(peaks, m.HeapAlloc)
			select {
			case <-stop:
				done <- slices.Max(peaks)
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	f()
	close(stop)
	return max(<-done, base) - base
}
