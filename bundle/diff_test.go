package bundle_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/bundle"
)

func digestN(n byte) string { return "sha256:" + strings.Repeat(string(n), 64) }

func diffImage(ref, component string, manifest byte, layers ...byte) bundle.Image {
	d := bundle.Descriptor{Digest: digestN(manifest)}
	m := bundle.Image{Ref: ref, Component: component, Target: d, Manifest: d, Config: d}
	for _, l := range layers {
		m.Layers = append(m.Layers, bundle.Layer{DiffID: digestN(l), Size: 1000 + int64(l-'0')})
	}
	return m
}

// TestDiff upgrades a bundle by a patch: tags change, a base layer stays, one image goes, one comes, a second flannel makes its
// repository ambiguous.
func TestDiff(t *testing.T) {
	old := &bundle.Contract{
		KubernetesVersion: "v1.34.3", OS: "linux", Arch: "amd64",
		Images: []bundle.Image{
			diffImage("registry.k8s.io/kube-proxy:v1.34.3", "kube-proxy", 'a', '1', '2'),
			diffImage("registry.k8s.io/pause:3.10", "pause", 'b', '3'),
			diffImage("docker.io/x/tool:1", "", 'c', '4'),
			diffImage("docker.io/x/gone:1", "", 'd', '5'),
			diffImage("docker.io/x/two:1", "", 'e', '6'),
			diffImage("docker.io/x/same:1", "", 'f', '6'),
		},
		Files: []bundle.File{
			{Path: "bin/kubelet", Mode: 0o755, Size: 10, SHA256: digestN('1')},
			{Path: "bin/gone", Mode: 0o755, Size: 11, SHA256: digestN('2')},
			{Path: "cni/bridge", Mode: 0o755, Size: 12, SHA256: digestN('3')},
		},
		Requirements: bundle.Requirements{DiskBytes: 5, Ports: []int{1, 2}},
	}
	new := &bundle.Contract{
		KubernetesVersion: "v1.34.4", OS: "linux", Arch: "amd64",
		Images: []bundle.Image{
			diffImage("registry.k8s.io/kube-proxy:v1.34.4", "kube-proxy", '0', '1', '7'),
			diffImage("registry.k8s.io/pause:3.10", "pause", 'b', '3'),
			diffImage("x/tool:2", "", '1', '4', '7'),
			diffImage("docker.io/x/two:2", "", '2', '8'),
			diffImage("docker.io/x/two:3", "", '3', '8'),
			diffImage("x/same:1", "", '4', '6'),
		},
		Files: []bundle.File{
			{Path: "bin/kubelet", Mode: 0o755, Size: 20, SHA256: digestN('4')},
			{Path: "cni/bridge", Mode: 0o700, Size: 12, SHA256: digestN('3')},
			{Path: "cni/copy", Mode: 0o755, Size: 12, SHA256: digestN('3')},
		},
		Requirements: bundle.Requirements{DiskBytes: 6, Ports: []int{1, 2}},
	}
	want := &bundle.Difference{
		Facts:        []bundle.FactChange{{Name: "Kubernetes", Old: "v1.34.3", New: "v1.34.4"}},
		Requirements: []bundle.FactChange{{Name: "disk bytes", Old: int64(5), New: int64(6)}},
		Images: []bundle.ImageChange{
			{Kind: bundle.Removed, Old: "docker.io/x/gone:1", OldDigest: digestN('d')},
			{Kind: bundle.Removed, Old: "docker.io/x/two:1", OldDigest: digestN('e')},
			{Kind: bundle.Added, New: "docker.io/x/two:2", NewDigest: digestN('2'), Layers: 1, NewBytes: 1008},
			{Kind: bundle.Added, New: "docker.io/x/two:3", NewDigest: digestN('3'), Layers: 1},
			{
				Kind: bundle.Changed, Old: "registry.k8s.io/kube-proxy:v1.34.3", New: "registry.k8s.io/kube-proxy:v1.34.4",
				OldDigest: digestN('a'), NewDigest: digestN('0'), Layers: 2, Shared: 1, NewBytes: 1007,
			},
			{Kind: bundle.Changed, Old: "docker.io/x/same:1", New: "x/same:1", OldDigest: digestN('f'), NewDigest: digestN('4'), Layers: 1, Shared: 1},
			{Kind: bundle.Changed, Old: "docker.io/x/tool:1", New: "x/tool:2", OldDigest: digestN('c'), NewDigest: digestN('1'), Layers: 2, Shared: 1},
		},
		Files: []bundle.FileChange{
			{Kind: bundle.Removed, Path: "bin/gone", OldSize: 11, OldMode: 0o755, OldSHA256: digestN('2')},
			{Kind: bundle.Changed, Path: "bin/kubelet", OldSize: 10, NewSize: 20, OldMode: 0o755, NewMode: 0o755, OldSHA256: digestN('1'), NewSHA256: digestN('4')},
			{Kind: bundle.Changed, Path: "cni/bridge", OldSize: 12, NewSize: 12, OldMode: 0o755, NewMode: 0o700, OldSHA256: digestN('3'), NewSHA256: digestN('3')},
			{Kind: bundle.Added, Path: "cni/copy", NewSize: 12, NewMode: 0o755, NewSHA256: digestN('3')},
		},
		NewBytes: 1008 + 1007 + 20,
	}
	got := bundle.Diff(old, new)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
	if got.Same() || !bundle.Diff(old, old).Same() {
		t.Error("Same is wrong")
	}
}
