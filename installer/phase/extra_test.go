package phase

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"kubebundle/bundle"
)

// texts is the content of a bundle of small files.
type texts map[string]string

func (c texts) open(p string) (io.ReadCloser, error) {
	text, ok := c[p]
	if !ok {
		return nil, fmt.Errorf("no %s", p)
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func (c texts) Outer(_ context.Context, f bundle.File) (io.ReadCloser, error) { return c.open(f.Path) }

func (c texts) File(_ context.Context, f bundle.File) (io.ReadCloser, error) { return c.open(f.Path) }

func (c texts) Blob(_ context.Context, d bundle.Descriptor) (io.ReadCloser, error) {
	return c.open(d.Digest)
}

func (c texts) Layer(_ context.Context, l bundle.Layer) (io.ReadCloser, int64, error) {
	r, err := c.open(l.DiffID)
	return r, int64(len(c[l.DiffID])), err
}

func smallBundle(t *testing.T, files map[string]string) *bundle.Bundle {
	t.Helper()
	content := texts{"install": "#!/bin/true\n", "README.txt": "read me\n"}
	file := func(p, text string) bundle.File {
		sum := sha256.Sum256([]byte(text))
		content[p] = text
		return bundle.File{Path: p, Mode: 0o644, Size: int64(len(text)), SHA256: "sha256:" + hex.EncodeToString(sum[:])}
	}
	install := file("install", content["install"])
	install.Mode = 0o755
	c := &bundle.Contract{
		KubernetesVersion: testVersion, OS: "linux", Arch: "amd64", Builder: "test",
		Outer: []bundle.File{install, file("README.txt", content["README.txt"])},
	}
	for _, p := range []string{"bin/kubelet", "manifests/01-a.yml", "manifests/02-b.yml"} {
		c.Files = append(c.Files, file(p, files[p]))
	}
	path := filepath.Join(t.TempDir(), "k8s-"+testVersion+"-linux-amd64.tar.gz")
	if _, err := bundle.Write(t.Context(), path, c, content, bundle.WriteOptions{Compression: bundle.CompressionFast}); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.OpenArchive(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestManifestsOfTheBundleAreApplied(t *testing.T) {
	s := &State{Bundle: smallBundle(t, map[string]string{
		"bin/kubelet":        "binary",
		"manifests/01-a.yml": "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n",
		"manifests/02-b.yml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: net}",
	})}
	objs, err := s.extraObjects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range objs {
		got = append(got, o.(*unstructured.Unstructured).GetName())
	}
	if strings.Join(got, " ") != "net a b" { // namespaces first
		t.Errorf("got %v", got)
	}
	steps, err := ExtraManifests{}.Plan(t.Context(), s, goodHost(t))
	if err != nil || len(steps) != 1 || !strings.Contains(steps[0].String(), "01-a.yml, 02-b.yml (3 objects)") {
		t.Errorf("got %v, %v", steps, err)
	}
}

func TestManifestsThatAreNoManifests(t *testing.T) {
	s := &State{Bundle: smallBundle(t, map[string]string{"bin/kubelet": "x", "manifests/01-a.yml": "a: [\n", "manifests/02-b.yml": "b: c\n"})}
	if _, err := s.extraObjects(t.Context()); err == nil || !strings.Contains(err.Error(), "read the bundle's manifests") {
		t.Errorf("got %v", err)
	}
}
