package phase

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"kubebundle/bundle"
	"kubebundle/bundle/bundletest"
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
	if _, err := bundle.Write(t.Context(), path, c, content, bundle.WriteOptions{Encoder: bundletest.Encoder{}}); err != nil {
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

func includedFile(dest string) bundle.File {
	return bundle.File{Path: bundle.IncludePrefix + dest[1:], Mode: 0o644, Size: 3, SHA256: "sha256:" + strings.Repeat("e", 64)}
}

// Included files come before anything that may read them, for workers too.
func TestIncludedFilesArePlanned(t *testing.T) {
	m := goodHost(t)
	s := initState(t, m, goodRuntime())
	s.Contract.Files = append(s.Contract.Files, includedFile("/etc/kubernetes/audit.yaml"))
	_, text := planAll(t, InitPhases(), s, m)
	want := "include-files: install 1 included files 3 B: /etc/kubernetes/audit.yaml\nload-images: "
	if !strings.Contains(text, want) {
		t.Errorf("the plan lacks %q:\n%s", want, text)
	}
	if !slices.ContainsFunc(JoinPhases(), func(p Phase) bool { return p.Name() == "include-files" }) {
		t.Error("join leaves included files out")
	}
}

// A bundle that no bundler of ours wrote may name any place.
func TestIncludedFilesAreRefused(t *testing.T) {
	for dest, want := range map[string]string{
		"/etc/kubernetes/pki/ca.crt": "/etc/kubernetes/pki is made by the installer",
		"/etc/shadow":                "decides who may log in",
	} {
		m := goodHost(t)
		s := initState(t, m, goodRuntime())
		s.Contract.Files = append(s.Contract.Files, includedFile(dest))
		_, err := Preflight{}.Plan(t.Context(), s, m)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("preflight says %v, want %q", err, want)
		}
		if _, err := (IncludeFiles{}).Plan(t.Context(), s, m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the phase says %v, want %q", err, want)
		}
	}
}

func TestPlacesOfIncludedFiles(t *testing.T) {
	m := goodHost(t)
	write(t, m, "/etc/motd", "something else\n")
	write(t, m, "/opt/site/file", "x")
	s := initState(t, m, goodRuntime())
	s.Contract.Files = append(s.Contract.Files, includedFile("/etc/motd"), includedFile("/opt/site"))
	_, err := Preflight{}.Plan(t.Context(), s, m)
	if err == nil || !strings.Contains(err.Error(), "/opt/site is a folder, and the bundle brings a file of that name") {
		t.Errorf("got %v", err)
	}
	if p := find(t, s.Problems, "FileAvailable--etc-motd"); p.Level != LevelWarning || !strings.Contains(p.Message, "will be replaced") {
		t.Errorf("got %+v", p)
	}
}
