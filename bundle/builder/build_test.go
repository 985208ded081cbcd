package builder_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"

	"kubebundle/bundle"
	"kubebundle/bundle/builder"
	"kubebundle/bundle/builder/buildertest"
	"kubebundle/bundle/encoder"
	"kubebundle/bundle/needs"
	"kubebundle/imagestore"
	"kubebundle/release"
)

const flannel = `# a network
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: flannel}
spec:
  template:
    spec:
      initContainers:
      - name: install-cni
        image: flannel/flannel:v0.26.7
      containers:
      - name: kube-flannel
        image: docker.io/flannel/flannel:v0.26.7
      - name: cni
        image: flannel/cni
        imagePullPolicy: Always
`

// env is an upstream, a store and a request that works.
type env struct {
	up    *buildertest.Upstream
	store *imagestore.Store
	req   builder.Request
	dir   string
}

func newEnv(t *testing.T, v string, arch release.Arch) *env {
	t.Helper()
	e := &env{up: buildertest.New(t), dir: t.TempDir()}
	e.up.AddRelease(t, v, arch)
	e.up.AddImage(t, "flannel/flannel:v0.26.7", "flanneld", arch)
	e.up.AddImage(t, "flannel/cni:latest", "cni", arch)
	e.store = e.newStore(t, filepath.Join(t.TempDir(), "cache"))
	parsed, err := release.Parse(v)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(e.dir, "install"), buildertest.ELF(arch, "install"))
	write(t, filepath.Join(e.dir, "flannel.yml"), []byte(flannel))
	e.req = builder.Request{
		Version: parsed, Arch: arch, Manifests: []string{filepath.Join(e.dir, "flannel.yml")},
		Installer: filepath.Join(e.dir, "install"), Output: filepath.Join(t.TempDir(), "out.tar.gz"),
		Compression: encoder.Fast, Builder: "v0-test",
	}
	return e
}

func (e *env) newStore(t *testing.T, cache string) *imagestore.Store {
	t.Helper()
	mirrors, err := imagestore.ParseMirrors(e.up.RegistryMirrors())
	if err != nil {
		t.Fatal(err)
	}
	binaries, err := imagestore.ParseBinaryMirrors([]string{e.up.BinaryMirror()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := imagestore.New(imagestore.Options{
		CacheDir: cache, Mirrors: mirrors, BinaryMirrors: binaries, Keychain: authn.NewMultiKeychain(), Retries: -1, RetryDelay: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (e *env) build(t *testing.T) (*builder.Result, error) {
	t.Helper()
	b := &builder.Builder{Store: e.store}
	p, err := b.Plan(t.Context(), e.req)
	if err != nil {
		return nil, err
	}
	return b.Build(t.Context(), p)
}

func TestBuild(t *testing.T) {
	for _, tc := range []struct {
		version string
		arch    release.Arch
	}{{"v1.34.4", "amd64"}, {"v1.34.4", "s390x"}, {"v1.22.17", "arm"}, {"v1.12.0", "arm64"}} {
		t.Run(tc.version+" "+string(tc.arch), func(t *testing.T) {
			e := newEnv(t, tc.version, tc.arch)
			res, err := e.build(t)
			if err != nil {
				t.Fatal(err)
			}
			b, err := bundle.OpenArchive(res.Path)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Verify(t.Context()); err != nil {
				t.Error(err)
			}
			list, err := needs.Of(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Contract().VerifyComplete(list.Needs); err != nil {
				t.Error(err)
			}
			var files []string
			for _, f := range b.Contract().Files {
				files = append(files, f.Path)
			}
			want := []string{
				"systemd/kubelet.service", "systemd/kubelet.service.d/10-kubeadm.conf", "manifests/01-flannel.yml",
				"cni/portmap", "cni/bridge", "cni/loopback", "cni/host-local", "bin/crictl", "bin/kubectl", "bin/kubelet",
			}
			if diff := cmp.Diff(want, files); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			got, err := b.ReadFiles(t.Context(), "manifests/01-flannel.yml")
			if err != nil || string(got["manifests/01-flannel.yml"]) != flannel {
				t.Errorf("the manifest is not what was given: %q, %v", got, err)
			}
			if n := len(b.Contract().Images); n != 9 {
				t.Errorf("%d images, want 7 of Kubernetes and 2 of flannel", n)
			}
			if !slices.ContainsFunc(res.Warnings, func(w string) bool {
				return strings.Contains(w, "flannel.yml:16: imagePullPolicy Always needs a registry")
			}) {
				t.Errorf("warnings %q do not speak of line 16", res.Warnings)
			}
			if b.Contract().Requirements.DiskBytes == 0 {
				t.Error("the disk requirement is not counted")
			}
		})
	}
}

// TestSameBytes builds with another cache, another number of jobs and from another folder.
func TestSameBytes(t *testing.T) {
	e := newEnv(t, "v1.34.4", "amd64")
	first, err := e.build(t)
	if err != nil {
		t.Fatal(err)
	}
	again, err := e.build(t) // warm cache
	if err != nil {
		t.Fatal(err)
	}
	e.store = e.newStore(t, t.TempDir())
	other := t.TempDir()
	write(t, filepath.Join(other, "flannel.yml"), []byte(flannel))
	e.req.Manifests, e.req.Output = []string{filepath.Join(other, "flannel.yml")}, filepath.Join(other, "elsewhere.tar.gz")
	b := &builder.Builder{Store: e.store, Jobs: 1}
	p, err := b.Plan(t.Context(), e.req)
	if err != nil {
		t.Fatal(err)
	}
	cold, err := b.Build(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if first.SHA256 != again.SHA256 || first.SHA256 != cold.SHA256 {
		t.Errorf("digests differ: %s, warm %s, cold %s", first.SHA256, again.SHA256, cold.SHA256)
	}
}

// TestNothingTwice proves that a second build pulls no blob and no binary again.
func TestNothingTwice(t *testing.T) {
	e := newEnv(t, "v1.34.4", "amd64")
	if _, err := e.build(t); err != nil {
		t.Fatal(err)
	}
	kubelet := e.up.Count("GET /release/v1.34.4/bin/linux/amd64/kubelet")
	blobs := e.up.Count("/blobs/")
	if _, err := e.build(t); err != nil {
		t.Fatal(err)
	}
	// The configs are asked for again, and the checksum files.
	if n := e.up.Count("/blobs/") - blobs; n > 9 {
		t.Errorf("%d requests for blobs in the second build", n)
	}
	if n := e.up.Count("GET /release/v1.34.4/bin/linux/amd64/kubelet") - kubelet; n != 1 {
		t.Errorf("%d requests for the kubelet and its checksum in the second build, want 1", n)
	}
}

// TestSharedCache builds for two architectures: what they share is pulled once.
func TestSharedCache(t *testing.T) {
	e := newEnv(t, "v1.34.4", "amd64")
	e.req.Manifests = nil
	e.up.AddRelease(t, "v1.34.4", "amd64", "arm64")
	e.up.Forget()
	layers := map[release.Arch][]string{}
	for _, arch := range []release.Arch{"amd64", "arm64"} {
		e.req.Arch, e.req.Output = arch, filepath.Join(t.TempDir(), "out.tar.gz")
		write(t, e.req.Installer, buildertest.ELF(arch, "install"))
		res, err := e.build(t)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range res.Contract.Images[0].Layers {
			layers[arch] = append(layers[arch], l.Blob.Digest)
		}
	}
	if a, b := layers["amd64"], layers["arm64"]; a[0] != b[0] || a[1] == b[1] {
		t.Fatalf("the upstream does not share the base layer alone: %v, %v", a, b)
	}
	for _, asked := range e.up.Repeated() {
		if !strings.HasSuffix(asked, "/v2/") && !strings.Contains(asked, "/manifests/") { // what a tag means is asked each time
			t.Errorf("more than once: %s", asked)
		}
	}
}

func TestBadInput(t *testing.T) {
	const kubeletPath = "/release/v1.34.4/bin/linux/amd64/kubelet"
	cniPath := "/containernetworking/plugins/releases/download/v1.7.1/cni-plugins-linux-amd64-v1.7.1.tgz"
	for name, tc := range map[string]struct {
		change func(t *testing.T, e *env)
		want   []string
		is     error
	}{
		"unknown version": {func(_ *testing.T, e *env) { e.req.Version, _ = release.Parse("v1.99.0") }, []string{"v1.99.0", "--allow-unknown-version"}, release.ErrUnknownVersion},
		"unknown arch":    {func(_ *testing.T, e *env) { e.req.Arch = "mips" }, []string{"mips", "amd64"}, release.ErrUnknownArch},
		"registry down":   {func(_ *testing.T, e *env) { e.up.Registry.Close() }, []string{"registry.k8s.io/kube-apiserver:v1.34.4", "needed by Kubernetes v1.34.4"}, imagestore.ErrUnreachable},
		"files down":      {func(_ *testing.T, e *env) { e.up.Files.Close() }, []string{"mirror http://127.0.0.1"}, imagestore.ErrUnreachable},
		"wrong checksum": {func(_ *testing.T, e *env) {
			e.up.SetFile(kubeletPath, append(e.up.File(kubeletPath), "altered"...))
		}, []string{"kubelet"}, imagestore.ErrDigest},
		"kubelet of another arch": {func(t *testing.T, e *env) {
			e.up.AddBinary(t, kubeletPath, buildertest.ELF("arm64", "x"))
		}, []string{"kubelet", "is a program for linux/arm64, not for linux/amd64"}, nil},
		"kubelet is a web page": {func(t *testing.T, e *env) {
			e.up.AddBinary(t, kubeletPath, []byte("<html>log in to the hotel network</html>"))
		}, []string{"is not a Linux program"}, nil},
		"plugin of another arch": {func(t *testing.T, e *env) {
			e.up.AddBinary(t, cniPath, buildertest.Archive(buildertest.Member{Name: "./bridge", Data: buildertest.ELF("arm", "x")}))
		}, []string{"./bridge in the archive: is a program for linux/arm"}, nil},
		"archive cut": {func(t *testing.T, e *env) {
			data := e.up.File(cniPath)
			e.up.AddBinary(t, cniPath, data[:len(data)/2])
		}, []string{cniPath, "the archive"}, nil},
		"archive without programs": {func(t *testing.T, e *env) {
			e.up.AddBinary(t, cniPath, buildertest.Archive(buildertest.Member{Name: "README", Data: []byte("hello")}))
		}, []string{"holds no program"}, nil},
		"installer missing":         {func(_ *testing.T, e *env) { e.req.Installer += "-not" }, []string{"install-not", "no such file"}, os.ErrNotExist},
		"installer of another arch": {func(t *testing.T, e *env) { write(t, e.req.Installer, buildertest.ELF("arm64", "x")) }, []string{"is a program for linux/arm64"}, nil},
		"installer is a script": {func(t *testing.T, e *env) {
			write(t, e.req.Installer, []byte("#!/bin/sh\necho this is not a program\n"))
		}, []string{"is not a Linux program"}, nil},
		"manifest missing": {func(_ *testing.T, e *env) { e.req.Manifests[0] += "-not" }, []string{"flannel.yml-not", "no such file"}, os.ErrNotExist},
		"manifest image not pulled": {func(t *testing.T, e *env) {
			write(t, e.req.Manifests[0], []byte(strings.ReplaceAll(flannel, "flannel/cni", "flannel/none:v1")))
		}, []string{"docker.io/flannel/none:v1", "flannel.yml:15"}, imagestore.ErrNotFound},
		"manifest image is odd": {func(t *testing.T, e *env) {
			write(t, e.req.Manifests[0], []byte(strings.ReplaceAll(flannel, "flannel/cni", "Flannel/CNI")))
		}, []string{"flannel.yml:15", `odd image "Flannel/CNI"`}, nil},
		"container without an image": {func(t *testing.T, e *env) {
			write(t, e.req.Manifests[0], []byte(strings.ReplaceAll(flannel, "        image: flannel/cni\n", "")))
		}, []string{"flannel.yml:14", `container "cni" has no image`}, nil},
		"extra image is odd": {func(_ *testing.T, e *env) { e.req.Images = []string{"a b"} }, []string{`image "a b"`}, nil},
		"blob altered": {func(_ *testing.T, e *env) {
			e.up.SetFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/kube-proxy/blobs/") {
					w.Header().Set("Content-Length", "5")
					_, _ = w.Write([]byte("bogus"))
					return
				}
				next.ServeHTTP(w, r)
			})
		}, []string{"kube-proxy"}, nil},
		"output folder missing": {func(_ *testing.T, e *env) { e.req.Output = filepath.Join(e.dir, "no", "x.tar.gz") }, []string{"no such file"}, os.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, "v1.34.4", "amd64")
			tc.change(t, e)
			_, err := e.build(t)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q lacks %q", err, w)
				}
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("error %q is not %q", err, tc.is)
			}
			if list, err := os.ReadDir(filepath.Dir(e.req.Output)); err == nil && filepath.Dir(e.req.Output) != e.dir && len(list) > 0 {
				t.Errorf("left behind: %v", list)
			}
		})
	}
}

// TestWeakChecksum: where only SHA-1 is left of what was published, the build goes on and says so.
func TestWeakChecksum(t *testing.T) {
	e := newEnv(t, "v1.12.0", "arm64")
	e.up.SetFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasSuffix(r.URL.Path, "kubelet.sha512") {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
	res, err := e.build(t)
	if err != nil {
		t.Fatal(err)
	}
	if want := "kubelet v1.12.0 is only checked by SHA-1: its sha512 checksum was not found beside it"; !slices.Contains(res.Warnings, want) {
		t.Errorf("warnings %q lack %q", res.Warnings, want)
	}
}

// TestCrictlIsOptional proves that a build goes on without crictl and says so, but not with a wrong one.
func TestCrictlIsOptional(t *testing.T) {
	e := newEnv(t, "v1.34.4", "amd64")
	e.up.SetFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "crictl") {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
	res, err := e.build(t)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(res.Warnings, func(w string) bool { return strings.HasPrefix(w, "crictl is left out: ") }) {
		t.Errorf("warnings %q do not speak of crictl", res.Warnings)
	}
	e.req.NoCrictl = true
	if res, err = e.build(t); err != nil {
		t.Fatal(err)
	}
	for _, w := range res.Warnings {
		if strings.Contains(w, "crictl") {
			t.Errorf("a warning although crictl was not wanted: %s", w)
		}
	}
	e.req.NoCrictl = false
	e.up.SetFault(nil)
	path := "/kubernetes-sigs/cri-tools/releases/download/v1.34.0/crictl-v1.34.0-linux-amd64.tar.gz"
	e.up.SetFile(path, bytes.ToUpper(e.up.File(path)))
	if _, err = e.build(t); !errors.Is(err, imagestore.ErrDigest) {
		t.Errorf("altered crictl: %v", err)
	}
}
