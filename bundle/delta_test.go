package bundle_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubebundle/bundle"
	"kubebundle/bundle/bundletest"
)

// noise is content that does not compress; spots changes a byte in every so many.
func noise(seed uint64, n, spots int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	for i := spots; spots > 0 && i < n; i += spots {
		b[i]++
	}
	return b
}

// release is a bundle of one version of a made-up Kubernetes.
func release(version string, spots int) *bundletest.Maker {
	m := bundletest.New("amd64")
	m.Contract.KubernetesVersion = version
	m.File("systemd/kubelet.service", 0o644, []byte("[Service]\n"))
	m.File("manifests/01-net.yml", 0o644, []byte("kind: List\napiVersion: v1\nitems: []\n"))
	m.File("cni/bridge", 0o755, noise(1, 50_000, 0))
	m.File("bin/kubelet", 0o755, noise(2, 200_000, spots))
	base := bundletest.Layer("etc/os-release", "ID=test\n")
	m.Image("registry.k8s.io/kube-apiserver:"+version, "kube-apiserver", base, bundletest.Layer("usr/local/bin/kube-apiserver", string(noise(3, 300_000, spots))))
	m.Image("registry.k8s.io/etcd:3.6.5-0", "etcd", base, bundletest.Layer("etcd", string(noise(4, 100_000, 0))))
	m.Image("ghcr.io/example/net:"+version, "", bundletest.Layer("net", string(noise(5, 80_000, spots))))
	return m
}

// content reads everything that a bundle gives.
func content(t *testing.T, b *bundle.Bundle) []string {
	t.Helper()
	p, err := b.Payload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }() // only read from
	var out []string
	for {
		e, err := p.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		n, err := io.Copy(sum, p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %s %d %x", e.Kind, e.Path, n, sum.Sum(nil)))
	}
}

func opened(t *testing.T, path string) *bundle.Bundle {
	t.Helper()
	b, err := bundle.OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDelta proves that a delta on its base gives exactly what the whole bundle gives, from files and from folders.
func TestDelta(t *testing.T) {
	dir := t.TempDir()
	old := release("v1.34.3", 0)
	oldPath := old.Write(t, dir)
	oldDir := bundletest.Unpack(t, oldPath, dir)
	full := opened(t, release("v1.34.4", 10_007).Write(t, t.TempDir()))
	path := release("v1.34.4", 10_007).WriteDelta(t, dir, opened(t, oldPath))
	want := content(t, full)
	for _, delta := range []string{path, bundletest.Unpack(t, path, dir)} {
		for _, base := range []string{oldPath, oldDir} {
			b := opened(t, delta)
			if err := b.UseBase(opened(t, base)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, content(t, b)); diff != "" {
				t.Errorf("%s on %s (-whole +delta):\n%s", delta, base, diff)
			}
			if err := errors.Join(b.Verify(t.Context()), b.CheckPayload(t.Context())); err != nil {
				t.Error(err)
			}
		}
	}
	b := opened(t, path)
	c := b.Contract()
	if c.Format != bundle.FormatDelta || c.Name() != "k8s-v1.34.4-linux-amd64-from-v1.34.3" || c.BaseName() != "k8s-v1.34.3-linux-amd64" {
		t.Errorf("format %d, name %s, base %s", c.Format, c.Name(), c.BaseName())
	}
	if got := c.ContentDigest(); got != full.Contract().ContentDigest() || got == c.Delta.Base.Content || old.Contract.ContentDigest() != c.Delta.Base.Content {
		t.Errorf("content %s, whole %s, base %s", got, full.Contract().ContentDigest(), c.Delta.Base.Content)
	}
	var taken []string
	for _, k := range c.Delta.Taken {
		taken = append(taken, fmt.Sprintf("%.10s %t", k.Path, k.Patch != nil))
	}
	if diff := cmp.Diff([]string{"cni/bridge false", "bin/kubelet"[:10] + " true", "layers/sha false", "layers/sha true", "layers/sha false", "layers/sha true"}, taken); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
	small, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	large, err := os.Stat(full.Path())
	if err != nil {
		t.Fatal(err)
	}
	if small.Size()*20 > large.Size() {
		t.Errorf("the delta has %d bytes of %d", small.Size(), large.Size())
	}
	again := release("v1.34.4", 10_007).WriteDelta(t, t.TempDir(), opened(t, oldDir))
	if !bytes.Equal(read(t, path), read(t, again)) {
		t.Error("two deltas of the same differ")
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestDeltaAlone proves what a delta tells without its base.
func TestDeltaAlone(t *testing.T) {
	dir := t.TempDir()
	old := opened(t, release("v1.34.3", 0).Write(t, dir))
	path := release("v1.34.4", 10_007).WriteDelta(t, dir, old)
	b := opened(t, path)
	if err := b.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	files, err := b.ReadFiles(t.Context(), "manifests/01-net.yml", "systemd/kubelet.service")
	if err != nil || len(files) != 2 {
		t.Errorf("ReadFiles = %v, %v", files, err)
	}
	want := "k8s-v1.34.4-linux-amd64-from-v1.34.3 is a delta and needs its base, k8s-v1.34.3-linux-amd64 with the content " + old.Contract().ContentDigest()
	var missing *bundle.BaseError
	if _, err := b.Payload(t.Context()); !errors.As(err, &missing) || err.Error() != want || missing.Hint() == "" {
		t.Errorf("Payload: %v", err)
	}
	if _, err := b.ReadFiles(t.Context(), "cni/bridge"); !errors.As(err, &missing) {
		t.Errorf("ReadFiles of what the base has: %v", err)
	}
	for name, other := range map[string]*bundletest.Maker{"is k8s-v1.34.2-linux-amd64 with the content sha256:": release("v1.34.2", 5), "is k8s-v1.34.3-linux-amd64 with the content sha256:": release("v1.34.3", 7)} {
		err := b.UseBase(opened(t, other.Write(t, t.TempDir())))
		if !errors.As(err, &missing) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), old.Contract().ContentDigest()) {
			t.Errorf("another base: %v", err)
		}
	}
	if err := b.UseBase(opened(t, path)); !errors.As(err, &missing) || !strings.Contains(err.Error(), "is a delta itself") {
		t.Errorf("a delta as the base: %v", err)
	}
	if err := old.UseBase(old); err == nil {
		t.Error("a whole bundle takes a base")
	}
	// Only the base's content matters, not the bytes that hold it.
	m := release("v1.34.3", 0)
	later := filepath.Join(t.TempDir(), "later.tar.gz")
	if _, err := bundle.Write(t.Context(), later, &m.Contract, m.Content(), bundle.WriteOptions{Encoder: bundletest.Encoder{}, ModTime: time.Unix(1_700_000_000, 0)}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.UseBase(opened(t, later)), b.Verify(t.Context())); err != nil {
		t.Errorf("the base built again: %v", err)
	}
}

// TestDeltaDamaged proves that the fault is found where it lies.
func TestDeltaDamaged(t *testing.T) {
	dir := t.TempDir()
	oldPath := release("v1.34.3", 0).Write(t, dir)
	path := release("v1.34.4", 10_007).WriteDelta(t, dir, opened(t, oldPath))
	for name, tc := range map[string]struct {
		file string
		at   int // percent
		want string
	}{
		"base":  {oldPath, 60, "base " + oldPath},
		"delta": {path, 70, "from-v1.34.3.tar.gz"},
	} {
		t.Run(name, func(t *testing.T) {
			good := read(t, tc.file)
			bad := slices.Clone(good)
			bad[len(bad)*tc.at/100] ^= 1
			if err := os.WriteFile(tc.file, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.WriteFile(tc.file, good, 0o600) }()
			b := opened(t, path)
			if err := b.UseBase(opened(t, oldPath)); err != nil {
				t.Fatal(err)
			}
			for what, err := range map[string]error{"Verify": b.Verify(t.Context()), "CheckPayload": b.CheckPayload(t.Context())} {
				var c *bundle.CorruptError
				if !errors.As(err, &c) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%s: %v, want a CorruptError with %q", what, err, tc.want)
				}
			}
		})
	}
}

// TestDeltaReordered proves that what cannot be read side by side is packed instead.
func TestDeltaReordered(t *testing.T) {
	dir := t.TempDir()
	old := bundletest.New("amd64")
	old.File("bin/a", 0o755, noise(1, 50_000, 0))
	old.File("bin/b", 0o755, noise(2, 90_000, 0))
	base := opened(t, old.Write(t, dir))
	next := bundletest.New("amd64")
	next.File("bin/b", 0o755, noise(2, 90_000, 0))
	next.File("bin/a", 0o755, noise(1, 50_000, 0))
	next.File("bin/c", 0o755, noise(2, 90_000, 0))
	b := opened(t, next.WriteDelta(t, dir, base))
	if k := b.Contract().Delta.Taken; len(k) != 2 || k[0].Path != "bin/a" || k[1].Path != "bin/c" || k[1].From != "bin/b" {
		t.Errorf("taken %v, want the heavier pairs that do not cross", k)
	}
	if err := errors.Join(b.UseBase(base), b.Verify(t.Context())); err != nil {
		t.Error(err)
	}
}

// TestDeltaPaysNot proves that what has nothing in common with its older self is packed whole.
func TestDeltaPaysNot(t *testing.T) {
	dir := t.TempDir()
	pair := func(seed uint64) *bundletest.Maker {
		m := bundletest.New("amd64")
		m.File("bin/other", 0o755, noise(seed, 70_000, 0))
		m.File("bin/same", 0o755, append(noise(9, 70_000, 0), byte(seed)))
		return m
	}
	base := opened(t, pair(1).Write(t, dir))
	b := opened(t, pair(2).WriteDelta(t, t.TempDir(), base))
	if k := b.Contract().Delta.Taken; len(k) != 1 || k[0].Path != "bin/same" || k[0].Patch == nil {
		t.Errorf("taken %+v, want a patch of bin/same alone", k)
	}
	if err := errors.Join(b.UseBase(base), b.Verify(t.Context())); err != nil {
		t.Error(err)
	}
}
