package sbom_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdxlib"

	"kubebundle/bundle"
	"kubebundle/bundle/bundletest"
	"kubebundle/bundle/sbom"
)

var update = flag.Bool("update", false, "write testdata anew (the run fails, so that nobody leaves it on)")

func write(t *testing.T, path string) []byte {
	t.Helper()
	b, err := bundle.OpenPath(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := sbom.Write(t.Context(), &out, b, "bundler-test"); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// parse reads a document with the library's parser and lets it validate.
func parse(t *testing.T, data []byte) *spdx.Document {
	t.Helper()
	doc, err := spdxjson.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(doc); err != nil {
		t.Error(err)
	}
	return doc
}

// TestGolden holds the whole of a small document, which is the same from the file, from the folder and another time.
func TestGolden(t *testing.T) {
	m := bundletest.Small()
	m.Contract.Files[1].Source = "https://dl.k8s.io/v1.34.4/bin/linux/amd64/kubelet"
	m.Image("quay.io/deb:1", "", files("etc/os-release", "ID=debian\n", "var/lib/dpkg/status", dpkgStatus), files("var/lib/dpkg/status.d/base", "Package: base-files\nVersion: 12.4\nArchitecture: amd64\n", "var/lib/dpkg/status.d/base.md5sums", "x y\n"))
	archive := m.Write(t, t.TempDir())
	got := write(t, archive)
	parse(t, got)
	b, err := bundle.OpenPath(archive)
	if err != nil {
		t.Fatal(err)
	}
	// It depends on the encoder's bytes, which are not this test's business.
	got = bytes.ReplaceAll(got, []byte(strings.TrimPrefix(bundletest.Digest(b.ContractBytes()), "sha256:")), []byte("<contract>"))
	golden := filepath.Join("testdata", "small.spdx.json")
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Fatal("the golden file is written; run again without -update")
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
	if first := write(t, archive); !bytes.Equal(first, write(t, bundletest.Unpack(t, archive, t.TempDir()))) {
		t.Error("the folder has another document than the file")
	}
}

const dpkgStatus = `Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u13
Description: a library
 Package: not a field, but a line that goes on
Depends: libgcc-s1

Package: gone
Status: deinstall ok config-files
Version: 1
`

// TestModules lists a real program: this test, as an image's program, as a node's, and as the installer.
func TestModules(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	self, ok := debug.ReadBuildInfo()
	if !ok {
		t.Fatal("this test has no build information")
	}
	m := bundletest.New("amd64")
	m.Outer(bundle.InstallName, 0o755, program)
	m.File("bin/kubelet", 0o755, program)
	m.File("bin/strange", 0o755, append([]byte("\x7fELF"), bytes.Repeat([]byte{0xff}, 200)...))
	m.Image("registry.k8s.io/kube-apiserver:v1.34.4", "kube-apiserver", bundletest.Layer("usr/local/bin/kube-apiserver", string(program)))
	m.Image("registry.k8s.io/no-tar:1", "", []byte("this layer is no tar"))
	doc := parse(t, write(t, m.Write(t, t.TempDir())))

	packages := map[string]*spdx.Package{}
	for _, p := range doc.Packages {
		packages[string(p.PackageSPDXIdentifier)] = p
	}
	deps := map[string][]string{} // program -> modules
	for _, r := range doc.Relationships {
		if r.Relationship == common.TypeRelationshipDependencyOf {
			p, m := packages[string(r.RefB.ElementRefID)], packages[string(r.RefA.ElementRefID)]
			deps[p.PackageName] = append(deps[p.PackageName], m.PackageName+" "+m.PackageVersion)
		}
	}
	want := []string{"stdlib " + strings.TrimPrefix(strings.Fields(self.GoVersion)[0], "go"), "kubebundle " + self.Main.Version}
	for _, d := range self.Deps {
		want = append(want, d.Path+" "+d.Version)
	}
	slices.Sort(want)
	for _, name := range []string{"install", "bin/kubelet", "usr/local/bin/kube-apiserver"} {
		got := deps[name]
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if len(deps) != 3 {
		t.Errorf("%d programs have modules", len(deps))
	}
	for _, p := range doc.Packages {
		if p.PackageName == "github.com/google/go-cmp" && p.PackageExternalReferences[0].Locator != "pkg:golang/github.com/google/go-cmp@"+p.PackageVersion {
			t.Errorf("purl %s", p.PackageExternalReferences[0].Locator)
		}
	}
}

// TestDamaged proves that a bundle whose bytes are not those of its contract has no document.
func TestDamaged(t *testing.T) {
	dir := bundletest.Small().WriteDir(t, t.TempDir())
	for _, name := range []string{bundle.InstallName, bundle.PayloadName} {
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		old := bytes.Clone(data)
		data[len(data)/2] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		var corrupt *bundle.CorruptError
		if err := sbom.Write(t.Context(), &out, b, "test"); !errors.As(err, &corrupt) || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", name, err, out.Len())
		}
		if err := os.WriteFile(path, old, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sbom.Write(ctx, new(bytes.Buffer), b, "test"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// files is a layer's tar: names and contents by turns.
func files(list ...string) []byte {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for i := 0; i < len(list); i += 2 {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "./" + list[i], Mode: 0o644, Size: int64(len(list[i+1]))}); err != nil {
			panic(err) // memory
		}
		if _, err := tw.Write([]byte(list[i+1])); err != nil {
			panic(err) // memory
		}
	}
	if err := tw.Close(); err != nil {
		panic(err) // memory
	}
	return buf.Bytes()
}
