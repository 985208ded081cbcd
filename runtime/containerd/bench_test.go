package containerd

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	cruntime "kubebundle/runtime"
	"kubebundle/runtime/runtimetest"
)

// BenchmarkImport imports images of one binary each on a shared base layer, as Kubernetes' are, once from a stream like a bundle's payload
// and once by `ctr images import` from an archive with gzip layers, in turns, each into a fresh daemon and including a sync. It prints
// for both the seconds and the processor seconds, the daemon's included, and their ratios. On a busy machine the latter are the ones to trust.
//
//	KUBEBUNDLE_INTEGRATION=1 KUBEBUNDLE_BENCH_BINARIES=/path/to/binaries go test -bench Import -benchtime 3x -run '^$' ./runtime/containerd
func BenchmarkImport(b *testing.B) {
	runtimetest.Integration(b)
	list := benchImages(b)
	payload, archive := filepath.Join(b.TempDir(), "payload.zst"), filepath.Join(b.TempDir(), "images.tar")
	src := runtimetest.NewSource(list...)
	writePayload(b, payload, src)
	writeArchive(b, archive, list)
	for i := range src.Pieces {
		src.Pieces[i].Data = nil // read from the file from now on
	}
	for i := range list {
		list[i].Layers = nil
	}
	for _, binary := range runtimetest.Binaries(b, binariesEnv, "containerd") {
		b.Run(binary, func(b *testing.B) {
			var ours, ctr cost
			for b.Loop() {
				ours.add(measure(b, binary, func(d *runtimetest.Daemon) error {
					f, err := os.Open(payload)
					if err != nil {
						return err
					}
					defer func() { _ = f.Close() }()
					z, err := zstd.NewReader(f, zstd.WithDecoderMaxWindow(128<<20), zstd.WithDecoderLowmem(false))
					if err != nil {
						return err
					}
					defer z.Close()
					r := connect(b, d, Options{})
					return r.Load(context.Background(), runtimetest.Images(list...), &streamSource{pieces: src.Pieces, r: z}, nil)
				}))
				ctr.add(measure(b, binary, func(d *runtimetest.Daemon) error {
					out, err := exec.Command(filepath.Join(filepath.Dir(binary), "ctr"), "-a", d.Socket, "-n", "k8s.io", "images", "import", archive).CombinedOutput()
					if err != nil {
						b.Logf("%s", out)
					}
					return err
				}))
			}
			n := float64(b.N)
			b.ReportMetric(ours.wall.Seconds()/n, "load-s/op")
			b.ReportMetric(ctr.wall.Seconds()/n, "ctr-s/op")
			b.ReportMetric(ours.wall.Seconds()/ctr.wall.Seconds(), "ratio")
			b.ReportMetric(ours.cpu.Seconds()/n, "load-cpu-s/op")
			b.ReportMetric(ctr.cpu.Seconds()/n, "ctr-cpu-s/op")
			b.ReportMetric(ours.cpu.Seconds()/ctr.cpu.Seconds(), "cpu-ratio")
		})
	}
}

type cost struct{ wall, cpu time.Duration }

func (c *cost) add(o cost) {
	c.wall += o.wall
	c.cpu += o.cpu
}

func measure(b *testing.B, binary string, work func(*runtimetest.Daemon) error) cost {
	b.Helper()
	d := runtimetest.StartContainerd(b, binary, "")
	defer d.Close()
	unix.Sync()
	start, cpu := time.Now(), ownCPU(b)+d.CPU()
	if err := work(d); err != nil {
		b.Fatal(err)
	}
	unix.Sync()
	return cost{time.Since(start), ownCPU(b) + d.CPU() - cpu}
}

// ownCPU is the processor time of this process and of the commands it ran.
func ownCPU(b *testing.B) (sum time.Duration) {
	b.Helper()
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if err := unix.Getrusage(who, &r); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return sum
}

// streamSource reads the pieces, one behind the other, from one stream.
type streamSource struct {
	pieces []runtimetest.Piece
	r      io.Reader
	cur    *io.LimitedReader
}

func (s *streamSource) Next() (cruntime.Blob, io.Reader, error) {
	if s.cur != nil {
		if _, err := io.Copy(io.Discard, s.cur); err != nil {
			return cruntime.Blob{}, nil, err
		}
	}
	if len(s.pieces) == 0 {
		return cruntime.Blob{}, nil, io.EOF
	}
	p := s.pieces[0].Blob
	s.pieces = s.pieces[1:]
	s.cur = &io.LimitedReader{R: s.r, N: p.Size}
	return p, s.cur, nil
}

func benchImages(b *testing.B) []runtimetest.Image {
	b.Helper()
	dir := os.Getenv("KUBEBUNDLE_BENCH_BINARIES")
	if dir == "" {
		b.Fatal("set KUBEBUNDLE_BENCH_BINARIES to a folder with Kubernetes' binaries")
	}
	files, err := filepath.Glob(filepath.Join(dir, "kube*"))
	if err != nil || len(files) == 0 {
		b.Fatalf("no binaries in %s: %v", dir, err)
	}
	base := runtimetest.Layer(runtimetest.Dir("etc", 0o755), runtimetest.File("etc/base", 0o644, strings.Repeat("base\n", 600_000)))
	var list []runtimetest.Image
	for _, f := range files {
		body, err := os.ReadFile(f)
		if err != nil {
			b.Fatal(err)
		}
		list = append(list, runtimetest.NewImage("registry.k8s.io/"+filepath.Base(f)+":v1", base, runtimetest.Layer(runtimetest.File("bin/"+filepath.Base(f), 0o755, string(body)))))
	}
	return list
}

func writePayload(b *testing.B, path string, src *runtimetest.Source) {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := zstd.NewWriter(f, zstd.WithWindowSize(128<<20))
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range src.Pieces {
		if _, err := z.Write(p.Data); err != nil {
			b.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
}

// writeArchive writes a docker-archive with gzip layers.
func writeArchive(b *testing.B, path string, list []runtimetest.Image) {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	w := tar.NewWriter(f)
	seen := map[string]bool{}
	add := func(name string, body []byte) {
		if seen[name] {
			return
		}
		seen[name] = true
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(body))}); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			b.Fatal(err)
		}
	}
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	var manifest []entry
	for _, img := range list {
		e := entry{Config: strings.TrimPrefix(img.Config.Digest, "sha256:") + ".json", RepoTags: []string{img.Ref}}
		add(e.Config, img.Blobs[img.Config.Digest])
		for i, l := range img.Layers {
			name := strings.TrimPrefix(img.DiffIDs[i], "sha256:") + ".tar.gz"
			e.Layers = append(e.Layers, name)
			if !seen[name] {
				var z bytes.Buffer
				gz := gzip.NewWriter(&z)
				_, _ = gz.Write(l)
				_ = gz.Close()
				add(name, z.Bytes())
			}
		}
		manifest = append(manifest, e)
	}
	m, err := json.Marshal(manifest)
	if err != nil {
		b.Fatal(err)
	}
	add("manifest.json", m)
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}
