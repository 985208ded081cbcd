package buildertest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // what the old releases published
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"kubebundle/release"
)

// Upstream stands for registry.k8s.io, dl.k8s.io, GitHub and docker.io.
type Upstream struct {
	Registry *httptest.Server
	Files    *httptest.Server

	mu     sync.Mutex
	files  map[string][]byte // path -> content, checksum files included
	counts map[string]int    // "METHOD path"
	fault  func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

// New starts an empty upstream that ends with the test.
func New(tb testing.TB) *Upstream {
	tb.Helper()
	u := &Upstream{files: map[string][]byte{}, counts: map[string]int{}}
	reg := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	u.Registry = httptest.NewServer(u.watched(reg))
	u.Files = httptest.NewServer(u.watched(http.HandlerFunc(u.serveFile)))
	tb.Cleanup(u.Registry.Close)
	tb.Cleanup(u.Files.Close)
	return u
}

func (u *Upstream) watched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.counts[r.Method+" "+r.URL.Path]++
		fault := u.fault
		u.mu.Unlock()
		if fault != nil {
			fault(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (u *Upstream) serveFile(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	data, ok := u.files[r.URL.Path]
	u.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(data) // a client that went away is a test's intention
}

// SetFault puts a handler before both servers; nil takes it away.
func (u *Upstream) SetFault(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fault = f
}

// Count tells how many requests had a path that contains s.
func (u *Upstream) Count(s string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for k, c := range u.counts {
		if strings.Contains(k, s) {
			n += c
		}
	}
	return n
}

// Repeated lists the paths that were asked for more than once by the same method.
func (u *Upstream) Repeated() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []string
	for k, n := range u.counts {
		if n > 1 {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// Forget sets all counts to zero.
func (u *Upstream) Forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	clear(u.counts)
}

// Host is the registry's host:port.
func (u *Upstream) Host() string { return strings.TrimPrefix(u.Registry.URL, "http://") }

// RegistryMirrors are the values of --registry-mirror that lead to this upstream.
func (u *Upstream) RegistryMirrors() []string {
	var out []string
	for _, r := range []string{"registry.k8s.io", "k8s.gcr.io", "docker.io"} {
		out = append(out, r+"="+u.Host()+"/"+r)
	}
	return out
}

// BinaryMirror is the value of --binary-mirror that leads to this upstream.
func (u *Upstream) BinaryMirror() string { return u.Files.URL }

// SetFile serves a file as it is.
func (u *Upstream) SetFile(path string, data []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.files[path] = data
}

// File returns what is served at a path.
func (u *Upstream) File(path string) []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.files[path]
}

// AddRelease serves the images and binaries of a version for some architectures.
func (u *Upstream) AddRelease(tb testing.TB, v string, arches ...release.Arch) {
	tb.Helper()
	parsed, err := release.Parse(v)
	must(tb, err)
	rel, err := release.Find(parsed, release.Options{})
	must(tb, err)
	pushed := map[string]bool{}
	for _, a := range arches {
		images, err := rel.Images(a)
		must(tb, err)
		for _, img := range images {
			if !pushed[img.Pull[0]] {
				pushed[img.Pull[0]] = true
				u.AddImage(tb, img.Pull[0], string(img.Component), arches...)
			}
		}
		binaries, err := rel.Binaries(a)
		must(tb, err)
		for _, b := range binaries {
			u.addBinary(tb, b, a)
		}
	}
}

// AddImage pushes an image with an index over some architectures: a base layer, and one with the program.
func (u *Upstream) AddImage(tb testing.TB, ref, program string, arches ...release.Arch) {
	tb.Helper()
	images := map[release.Arch]v1.Image{}
	for _, a := range arches {
		images[a] = u.image(tb, program+" of "+ref, program, a)
	}
	u.pushIndex(tb, ref, images)
}

func (u *Upstream) pushIndex(tb testing.TB, ref string, images map[release.Arch]v1.Image) {
	tb.Helper()
	index := v1.ImageIndex(empty.Index)
	index = mutate.IndexMediaType(index, types.DockerManifestList)
	for _, a := range slices.Sorted(maps.Keys(images)) {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        images[a],
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: string(a)}},
		})
	}
	target, err := name.ParseReference(u.address(tb, ref))
	must(tb, err)
	must(tb, remote.WriteIndex(target, index))
}

// AddChart pushes a Helm chart (a .tgz) as `helm push` does.
func (u *Upstream) AddChart(tb testing.TB, ref string, tgz []byte) {
	tb.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, "application/vnd.cncf.helm.config.v1+json")
	img, err := mutate.AppendLayers(img, static.NewLayer(tgz, "application/vnd.cncf.helm.chart.content.v1.tar+gzip"))
	must(tb, err)
	target, err := name.ParseReference(u.address(tb, ref))
	must(tb, err)
	must(tb, remote.Write(target, img))
}

// SignImage signs an image's index as cosign does with a key: the tag sha256-HEX.sig holds what was signed, and the
// signature. It returns the public key.
func (u *Upstream) SignImage(tb testing.TB, ref string) *ecdsa.PublicKey {
	tb.Helper()
	target, err := name.ParseReference(u.address(tb, ref))
	must(tb, err)
	desc, err := remote.Head(target)
	must(tb, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`,
		target.Context().Name(), desc.Digest)
	sum := sha256.Sum256(payload)
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	must(tb, err)
	img, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{
		Layer:       static.NewLayer(payload, "application/vnd.dev.cosign.simplesigning.v1+json"),
		Annotations: map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signature)},
	})
	must(tb, err)
	must(tb, remote.Write(target.Context().Tag(strings.Replace(desc.Digest.String(), ":", "-", 1)+".sig"), mutate.ConfigMediaType(img, types.OCIConfigJSON)))
	return &key.PublicKey
}

// address is where a mirror keeps a reference.
func (u *Upstream) address(tb testing.TB, ref string) string {
	tb.Helper()
	parsed, err := name.ParseReference(ref)
	must(tb, err)
	full := strings.Replace(parsed.Name(), "index.docker.io", "docker.io", 1)
	return u.Host() + "/" + full
}

func (u *Upstream) image(tb testing.TB, seed, program string, arch release.Arch) v1.Image {
	tb.Helper()
	return imageOf(tb, arch, program,
		Tar(Member{"etc/os-release", []byte("ID=tiny\n")}),
		Tar(Member{"usr/local/bin/" + program, ELF(arch, seed+" "+string(arch))}),
	)
}

// AddImageOf pushes an image with an index that lists it for one architecture. It has the given tars as layers, starts
// /usr/local/bin/PROGRAM, and its config names an architecture of its own: upstream has published images where the two differ.
func (u *Upstream) AddImageOf(tb testing.TB, ref, program string, arch, configArch release.Arch, tars ...[]byte) {
	tb.Helper()
	u.pushIndex(tb, ref, map[release.Arch]v1.Image{arch: imageOf(tb, configArch, program, tars...)})
}

func imageOf(tb testing.TB, arch release.Arch, program string, tars ...[]byte) v1.Image {
	tb.Helper()
	img := mutate.MediaType(empty.Image, types.DockerManifestSchema2)
	img = mutate.ConfigMediaType(img, types.DockerConfigJSON)
	for _, l := range tars {
		layer := static.NewLayer(Gzip(l), types.DockerLayer)
		var err error
		img, err = mutate.Append(img, mutate.Addendum{Layer: diffIDLayer{layer, l}})
		must(tb, err)
	}
	cf, err := img.ConfigFile()
	must(tb, err)
	cf = cf.DeepCopy()
	cf.Architecture, cf.OS = string(arch), "linux"
	cf.Config.Entrypoint = []string{"/usr/local/bin/" + program}
	img, err = mutate.ConfigFile(img, cf)
	must(tb, err)
	return img
}

// diffIDLayer is a compressed layer that knows its content.
type diffIDLayer struct {
	v1.Layer
	plain []byte
}

func (l diffIDLayer) DiffID() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(l.plain))
	return h, err
}

func (l diffIDLayer) Uncompressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.plain)), nil
}

func (u *Upstream) addBinary(tb testing.TB, b release.Binary, arch release.Arch) {
	tb.Helper()
	var data []byte
	switch {
	case b.Archive == "":
		data = ELF(arch, b.Name+" "+b.Version+" "+string(arch))
	case b.Name == "cni-plugins":
		data = Archive(
			Member{"./", nil},
			Member{"./LICENSE", []byte("a licence\n")},
			Member{"./portmap", ELF(arch, "portmap")},
			Member{"./bridge", ELF(arch, "bridge")},
			Member{"./loopback", ELF(arch, "loopback")},
			Member{"./host-local", ELF(arch, "host-local")},
		)
	default:
		data = Archive(Member{b.Name, ELF(arch, b.Name)})
	}
	u.AddBinary(tb, pathOf(tb, b.URL), data)
}

// AddBinary serves a file with honest checksum files beside it.
func (u *Upstream) AddBinary(tb testing.TB, path string, data []byte) {
	tb.Helper()
	u.SetFile(path, data)
	sum512, sum256 := sha512.Sum512(data), sha256.Sum256(data)
	u.SetFile(path+".sha512", []byte(hex.EncodeToString(sum512[:])+"\n"))
	u.SetFile(path+".sha256", []byte(hex.EncodeToString(sum256[:])+"\n"))
	sum1 := sha1.Sum(data) //nolint:gosec // what the old releases published
	u.SetFile(path+".sha1", []byte(hex.EncodeToString(sum1[:])+"\n"))
}

func pathOf(tb testing.TB, raw string) string {
	tb.Helper()
	parsed, err := url.Parse(raw)
	must(tb, err)
	return parsed.Path
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
