package bundletest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"kubebundle/bundle"
)

const (
	mediaIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaConfig   = "application/vnd.docker.container.image.v1+json"
	mediaLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// Maker collects the content of a bundle. It is a bundle.Content.
type Maker struct {
	Contract bundle.Contract
	Sign     bundle.SignFunc // nil leaves the bundle unsigned
	outer    map[string][]byte
	files    map[string][]byte
	blobs    map[string][]byte
	layers   map[string][]byte
}

// New starts an empty bundle for v1.34.4 on an architecture; it has an `install` and a README.txt.
func New(arch string) *Maker {
	m := &Maker{
		Contract: bundle.Contract{
			Format: bundle.FormatVersion, KubernetesVersion: "v1.34.4", OS: "linux", Arch: arch, Builder: "test",
			Images: []bundle.Image{}, Files: []bundle.File{},
			Requirements: bundle.Requirements{MemoryBytes: 1700 << 20, KernelModules: []string{"overlay"}, Ports: []int{6443}, WorkerPorts: []int{10250}},
		},
		outer: map[string][]byte{}, files: map[string][]byte{}, blobs: map[string][]byte{}, layers: map[string][]byte{},
	}
	m.Outer(bundle.InstallName, 0o755, []byte("#!/bin/sh\necho a stand-in for install\n"))
	m.Outer(bundle.ReadmeName, 0o644, []byte("a test bundle\n"))
	return m
}

// Small is a bundle with three images over one base layer, a manifest and two programs.
func Small() *Maker {
	m := New("amd64")
	m.File("cni/bridge", 0o755, []byte("bridge program\n"))
	m.File("bin/kubelet", 0o755, bytes.Repeat([]byte("kubelet program\n"), 4096))
	m.File("manifests/01-net.yml", 0o644, []byte("kind: List\napiVersion: v1\nitems: []\n"))
	base := Layer("etc/os-release", "ID=test\n")
	m.Image("registry.k8s.io/kube-apiserver:v1.34.4", "kube-apiserver", base, Layer("usr/local/bin/kube-apiserver", "apiserver"))
	m.Image("registry.k8s.io/kube-proxy:v1.34.4", "kube-proxy", base, Layer("usr/sbin/iptables", "iptables"), Layer("usr/local/bin/kube-proxy", "proxy"))
	m.Image("registry.k8s.io/pause:3.10.1", "pause", Layer("pause", "pause"))
	return m
}

// Outer adds a file beside the payload, or replaces it.
func (m *Maker) Outer(path string, mode uint32, data []byte) {
	f := bundle.File{Path: path, Mode: mode, Size: int64(len(data)), SHA256: Digest(data)}
	m.outer[path] = data
	for i := range m.Contract.Outer {
		if m.Contract.Outer[i].Path == path {
			m.Contract.Outer[i] = f
			return
		}
	}
	m.Contract.Outer = append(m.Contract.Outer, f)
}

// File adds a file to the payload.
func (m *Maker) File(path string, mode uint32, data []byte) {
	m.files[path] = data
	m.Contract.Files = append(m.Contract.Files, bundle.File{Path: path, Mode: mode, Size: int64(len(data)), SHA256: Digest(data)})
}

// Image adds an image made of uncompressed layer tars, behind an index as registries have them.
func (m *Maker) Image(ref, component string, layers ...[]byte) bundle.Image {
	img := bundle.Image{Ref: ref, Component: component}
	var diffIDs []string
	var layerDocs []map[string]any
	for _, tarball := range layers {
		id := Digest(tarball)
		m.layers[id] = tarball
		blob := gzipped(tarball)
		l := bundle.Layer{DiffID: id, Blob: bundle.Descriptor{MediaType: mediaLayer, Digest: Digest(blob), Size: int64(len(blob))}}
		img.Layers = append(img.Layers, l)
		diffIDs = append(diffIDs, id)
		layerDocs = append(layerDocs, doc(l.Blob))
	}
	img.Config = m.blob(mediaConfig, map[string]any{
		"architecture": m.Contract.Arch, "os": m.Contract.OS, "config": map[string]any{"Entrypoint": []string{"/" + component}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	img.Manifest = m.blob(mediaManifest, map[string]any{
		"schemaVersion": 2, "mediaType": mediaManifest, "config": doc(img.Config), "layers": layerDocs,
	})
	entry := doc(img.Manifest)
	entry["platform"] = map[string]any{"os": m.Contract.OS, "architecture": m.Contract.Arch}
	img.Target = m.blob(mediaIndex, map[string]any{"schemaVersion": 2, "mediaType": mediaIndex, "manifests": []any{entry}})
	m.Contract.Images = append(m.Contract.Images, img)
	return img
}

func doc(d bundle.Descriptor) map[string]any {
	return map[string]any{"mediaType": d.MediaType, "digest": d.Digest, "size": d.Size}
}

func (m *Maker) blob(mediaType string, v any) bundle.Descriptor {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings always encode
	}
	d := bundle.Descriptor{MediaType: mediaType, Digest: Digest(data), Size: int64(len(data))}
	m.blobs[d.Digest] = data
	return d
}

// Write writes the bundle into dir and returns its path.
func (m *Maker) Write(tb testing.TB, dir string) string {
	tb.Helper()
	path := filepath.Join(dir, m.Contract.Name()+".tar.gz")
	if _, err := bundle.Write(context.Background(), path, &m.Contract, m.Content(), bundle.WriteOptions{Encoder: Encoder{}, Sign: m.Sign}); err != nil {
		tb.Fatal(err)
	}
	return path
}

// WriteDelta writes the delta of the bundle and a base into dir and returns its path.
func (m *Maker) WriteDelta(tb testing.TB, dir string, base *bundle.Bundle) string {
	tb.Helper()
	path := filepath.Join(dir, m.Contract.Name()+"-from-"+base.Contract().KubernetesVersion+".tar.gz")
	if _, err := bundle.Write(context.Background(), path, &m.Contract, m.Content(), bundle.WriteOptions{Encoder: Encoder{}, Base: base}); err != nil {
		tb.Fatal(err)
	}
	return path
}

// WriteDir writes the bundle and unpacks it below dir; it returns the bundle's folder.
func (m *Maker) WriteDir(tb testing.TB, dir string) string {
	tb.Helper()
	return Unpack(tb, m.Write(tb, tb.TempDir()), dir)
}

// Content is what bundle.Write asks for.
func (m *Maker) Content() bundle.Content { return content{m} }

type content struct{ m *Maker }

func (c content) Outer(_ context.Context, f bundle.File) (io.ReadCloser, error) {
	return open(c.m.outer, f.Path)
}

func (c content) File(_ context.Context, f bundle.File) (io.ReadCloser, error) {
	return open(c.m.files, f.Path)
}

func (c content) Blob(_ context.Context, d bundle.Descriptor) (io.ReadCloser, error) {
	return open(c.m.blobs, d.Digest)
}

func (c content) Layer(_ context.Context, l bundle.Layer) (io.ReadCloser, int64, error) {
	r, err := open(c.m.layers, l.DiffID)
	return r, int64(len(c.m.layers[l.DiffID])), err
}

func open(from map[string][]byte, key string) (io.ReadCloser, error) {
	data, ok := from[key]
	if !ok {
		return nil, fmt.Errorf("no content for %s", key)
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// Digest is "sha256:<hex>" of data.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Layer is a layer's tar with one program in it.
func Layer(name, data string) []byte {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	must(tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(data))}))
	_, err := tw.Write([]byte(data))
	must(err)
	must(tw.Close())
	return buf.Bytes()
}

func gzipped(data []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write(data)
	must(err)
	must(w.Close())
	return buf.Bytes()
}

// must is for writes to memory, which do not go wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
