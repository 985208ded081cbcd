package imagestore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func TestResolveIndex(t *testing.T) {
	reg := newRegistry(t)
	shared := layerOf(t, compression.GZip, entry{name: "etc/base", content: "base"})
	arm := imageOf(t, "arm64", v1.Config{}, shared, layerOf(t, compression.GZip, entry{name: "bin/x", content: "arm"}))
	idx := indexOf(t, map[string]v1.Image{
		"linux/amd64": imageOf(t, "amd64", v1.Config{}, shared), "linux/arm64": arm,
		"linux/arm/v6": imageOf(t, "arm", v1.Config{}), "linux/arm/v7": imageOf(t, "arm", v1.Config{Cmd: []string{"seven"}}),
	})
	ref := reg.push(t, "k8s/coredns:v1", idx)
	s := newStore(t, Options{})
	img := resolve(t, s, ref, linuxARM64)

	raw, err := idx.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	armRaw, err := arm.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	armConfig, err := arm.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{img.Target.Digest: raw, img.Manifest.Digest: armRaw, img.Config.Digest: armConfig}
	if diff := cmp.Diff(want, img.Blobs); diff != "" {
		t.Errorf("documents are not kept byte for byte (-want +got):\n%s", diff)
	}
	if digest(t, idx) != img.Target.Digest || digest(t, arm) != img.Manifest.Digest {
		t.Errorf("target %s, manifest %s", img.Target.Digest, img.Manifest.Digest)
	}
	if img.Target.MediaType != string(types.OCIImageIndex) || img.Target.Size != int64(len(raw)) {
		t.Errorf("target is %+v", img.Target)
	}
	if img.Ref != ref || img.Source != ref || img.Platform != linuxARM64 || len(img.Layers) != 2 {
		t.Errorf("image is %+v", img)
	}
	for i, l := range img.Layers {
		if checkDigest(l.DiffID) != nil || checkDigest(l.Blob.Digest) != nil || l.Blob.Size <= 0 {
			t.Errorf("layer %d is %+v", i, l)
		}
	}

	t.Run("32-bit arm prefers v7", func(t *testing.T) {
		img := resolve(t, s, ref, Platform{OS: "linux", Arch: "arm"})
		if !bytes.Contains(img.Blobs[img.Config.Digest], []byte("seven")) {
			t.Errorf("config is %s", img.Blobs[img.Config.Digest])
		}
	})
	t.Run("missing platform", func(t *testing.T) {
		_, err := s.Resolve(t.Context(), ref, nil, Platform{OS: "linux", Arch: "s390x"})
		if !errors.Is(err, ErrPlatform) {
			t.Fatal(err)
		}
		for _, want := range []string{"linux/s390x", "linux/amd64", "linux/arm64", "linux/arm/v7"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %s", err, want)
			}
		}
	})
	t.Run("by digest", func(t *testing.T) {
		byDigest := reg.host + "/k8s/coredns@" + img.Manifest.Digest
		got := resolve(t, s, byDigest, linuxARM64)
		if got.Target != got.Manifest || got.Manifest.Digest != img.Manifest.Digest {
			t.Errorf("target %v, manifest %v", got.Target, got.Manifest)
		}
	})
	t.Run("documents come from the cache the second time", func(t *testing.T) {
		reg.reset(nil)
		again := newStore(t, Options{CacheDir: s.o.CacheDir})
		if diff := cmp.Diff(img, resolve(t, again, ref, linuxARM64)); diff != "" {
			t.Errorf("-first +second:\n%s", diff)
		}
		if m, b := reg.count("GET manifests"), reg.count("GET blobs"); m != 1 || b != 0 {
			t.Errorf("%d manifests and %d blobs were asked for", m, b)
		}
	})
}

func TestResolveErrors(t *testing.T) {
	reg := newRegistry(t)
	img := imageOf(t, "amd64", v1.Config{})
	for _, tag := range []string{"v1.34.1", "v1.34.2", "v1.34.10", "v1.9.0", "latest"} {
		reg.push(t, "k8s/apiserver:"+tag, img)
	}
	closed := closedPort(t)
	s := newStore(t, Options{})

	t.Run("no such tag names near ones", func(t *testing.T) {
		_, err := s.Resolve(t.Context(), reg.host+"/k8s/apiserver:v1.34.3", nil, linuxAMD64)
		if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "v1.34.10, v1.34.2, v1.34.1") {
			t.Error(err)
		}
		if n := reg.count("GET /v2/k8s/apiserver/manifests/v1.34.3"); n != 1 {
			t.Errorf("a 404 was asked for %d times", n)
		}
	})
	t.Run("every address is named", func(t *testing.T) {
		pull := []string{closed + "/k8s/apiserver:v1", reg.host + "/k8s/none:v1"}
		_, err := s.Resolve(t.Context(), "k8s.gcr.io/apiserver:v1", pull, linuxAMD64)
		var re *ResolveError
		if !errors.As(err, &re) || len(re.Attempts) != 2 || !errors.Is(err, ErrUnreachable) || !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		for _, want := range append(pull, "k8s.gcr.io/apiserver:v1", "linux/amd64", "refused") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %s", err, want)
			}
		}
	})
	t.Run("nobody answers", func(t *testing.T) {
		_, err := s.Resolve(t.Context(), closed+"/x:1", nil, linuxAMD64)
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "--registry-mirror") || strings.Count(err.Error(), closed+"/x:1") != 1 {
			t.Error(err)
		}
	})
	t.Run("the first good address wins", func(t *testing.T) {
		pull := []string{closed + "/k8s/apiserver:v1", reg.host + "/k8s/apiserver:v1.34.1"}
		got, err := s.Resolve(t.Context(), "k8s.gcr.io/apiserver:v1.34.1", pull, linuxAMD64)
		if err != nil {
			t.Fatal(err)
		}
		if got.Source != pull[1] || got.Ref != "k8s.gcr.io/apiserver:v1.34.1" {
			t.Errorf("ref %s, source %s", got.Ref, got.Source)
		}
	})
	t.Run("bad name", func(t *testing.T) {
		if _, err := s.Resolve(t.Context(), "Not A Name", nil, linuxAMD64); err == nil || !strings.Contains(err.Error(), "Not A Name") {
			t.Error(err)
		}
	})
}

// TestRefused: what is no image that can be carried, with the reason.
func TestRefused(t *testing.T) {
	reg := newRegistry(t)
	cfg := `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:` + strings.Repeat("a", 64) + `"]}}`
	cfgDigest := sumOf([]byte(cfg))
	reg.reset(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if isBlob(r, cfgDigest) {
			fmt.Fprint(w, cfg)
			return true
		}
		return false
	})
	config := fmt.Sprintf(`"config":{"mediaType":"%s","size":%d,"digest":"%s"}`, types.OCIConfigJSON, len(cfg), cfgDigest)
	layer := func(kind, extra string) string {
		return fmt.Sprintf(`"layers":[{"mediaType":"%s","size":3,"digest":"sha256:%s"%s}]`, kind, strings.Repeat("b", 64), extra)
	}
	for name, c := range map[string]struct{ body, want string }{
		"no json":      {`hello`, "no JSON"},
		"schema 1":     {`{"schemaVersion":1,"fsLayers":[]}`, "schema 1"},
		"both":         {`{"schemaVersion":2,"manifests":[],"layers":[]}`, "neither index nor manifest, or both"},
		"neither":      {`{"schemaVersion":2}`, "neither"},
		"helm chart":   {`{"schemaVersion":2,"layers":[],"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","size":3,"digest":"` + cfgDigest + `"}}`, "no container image"},
		"foreign type": {`{"schemaVersion":2,` + config + `,` + layer(string(types.DockerForeignLayer), "") + `}`, "outside the registry"},
		"foreign url":  {`{"schemaVersion":2,` + config + `,` + layer(string(types.OCILayer), `,"urls":["https://example.com/x"]`) + `}`, "outside the registry"},
		"encrypted":    {`{"schemaVersion":2,` + config + `,` + layer("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "") + `}`, "encrypted"},
		"layer count":  {`{"schemaVersion":2,` + config + `,"layers":[]}`, "0 layers in the manifest, 1 diff IDs"},
		"lying size":   {`{"schemaVersion":2,"layers":[],"config":{"mediaType":"` + string(types.OCIConfigJSON) + `","size":7,"digest":"` + cfgDigest + `"}}`, "want 7 bytes"},
		"empty index":  {`{"schemaVersion":2,"manifests":[]}`, "the index has none"},
	} {
		t.Run(name, func(t *testing.T) {
			fault := reg.fault
			tag := strings.ReplaceAll(name, " ", "-")
			reg.reset(func(w http.ResponseWriter, r *http.Request, n int) bool {
				if strings.HasSuffix(r.URL.Path, "/manifests/"+tag) {
					w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
					fmt.Fprint(w, c.body)
					return true
				}
				return fault(w, r, n)
			})
			defer reg.reset(fault)
			s := newStore(t, Options{})
			_, err := s.Resolve(t.Context(), reg.host+"/x:"+tag, nil, linuxAMD64)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestNestedIndex(t *testing.T) {
	reg := newRegistry(t)
	inner := indexOf(t, map[string]v1.Image{"linux/amd64": imageOf(t, "amd64", v1.Config{})})
	outer := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add: inner, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}},
	})
	ref := reg.push(t, "x:1", outer)
	_, err := newStore(t, Options{}).Resolve(t.Context(), ref, nil, linuxAMD64)
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "index inside an index") {
		t.Error(err)
	}
}

func TestWrongDocuments(t *testing.T) {
	reg := newRegistry(t)
	img := imageOf(t, "amd64", v1.Config{}, layerOf(t, compression.GZip, entry{name: "a", content: "a"}))
	ref := reg.push(t, "x:1", indexOf(t, map[string]v1.Image{"linux/amd64": img}))
	good := resolve(t, newStore(t, Options{}), ref, linuxAMD64)
	for what, suffix := range map[string]string{"manifest": "/manifests/" + good.Manifest.Digest, "config": "/blobs/" + good.Config.Digest} {
		t.Run(what, func(t *testing.T) {
			reg.reset(func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if strings.HasSuffix(r.URL.Path, suffix) {
					fmt.Fprint(w, `{"schemaVersion":2}`)
					return true
				}
				return false
			})
			defer reg.reset(nil)
			s := newStore(t, Options{})
			_, err := s.Resolve(t.Context(), ref, nil, linuxAMD64)
			var de *DigestError
			if !errors.Is(err, ErrDigest) || !errors.As(err, &de) || de.What != what {
				t.Errorf("got %v", err)
			}
			if got := files(t, s.o.CacheDir, "blobs"); what == "manifest" && len(got) != 0 {
				t.Errorf("the cache holds %v", got)
			}
		})
	}
	t.Run("index by digest", func(t *testing.T) {
		reg.reset(func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if strings.Contains(r.URL.Path, "/manifests/") {
				fmt.Fprint(w, `{"schemaVersion":2,"manifests":[]}`)
				return true
			}
			return false
		})
		defer reg.reset(nil)
		_, err := newStore(t, Options{}).Resolve(t.Context(), reg.host+"/x@"+good.Target.Digest, nil, linuxAMD64)
		if !errors.Is(err, ErrDigest) {
			t.Errorf("got %v", err)
		}
	})
}

func TestMirror(t *testing.T) {
	reg := newRegistry(t)
	img := imageOf(t, "amd64", v1.Config{})
	reg.push(t, "mirror/coredns/coredns:v1", img)
	reg.push(t, "hub/library/busybox:1", img)
	mirrors, err := ParseMirrors([]string{
		"registry.k8s.io=" + reg.host + "/mirror", "registry.k8s.io/other=" + reg.host + "/nowhere", "docker.io=" + reg.host + "/hub/",
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(t, Options{Mirrors: mirrors})
	for ref, source := range map[string]string{
		"registry.k8s.io/coredns/coredns:v1":                "/mirror/coredns/coredns:v1",
		"busybox:1":                                         "/hub/library/busybox:1",
		"docker.io/library/busybox:1":                       "/hub/library/busybox:1",
		"registry.k8s.io/coredns/coredns@" + digest(t, img): "/mirror/coredns/coredns@" + digest(t, img),
	} {
		if got := resolve(t, s, ref, linuxAMD64); got.Source != reg.host+source || got.Ref != ref {
			t.Errorf("%s came from %s", ref, got.Source)
		}
	}
	_, err = s.Resolve(t.Context(), "registry.k8s.io/other/x:1", nil, linuxAMD64)
	if err == nil || !strings.Contains(err.Error(), reg.host+"/nowhere/x:1") {
		t.Errorf("the longest prefix must win, and the mirror be named: %v", err)
	}
	t.Run("two names behind one mirror are asked once", func(t *testing.T) {
		both := newStore(t, Options{Mirrors: map[string]string{"registry.k8s.io": reg.host, "k8s.gcr.io": reg.host}})
		reg.reset(nil)
		_, err := both.Resolve(t.Context(), "k8s.gcr.io/no:1", []string{"registry.k8s.io/no:1", "k8s.gcr.io/no:1"}, linuxAMD64)
		if n := reg.count("GET manifests"); n != 1 || !errors.Is(err, ErrNotFound) {
			t.Errorf("%d requests, %v", n, err)
		}
	})
}

func TestParseMirrors(t *testing.T) {
	for _, bad := range [][]string{
		{"registry.k8s.io"},
		{"=x.example.com"},
		{"registry.k8s.io="},
		{"registry.k8s.io=https://x.example.com"},
		{"library=x.example.com"},
		{"registry.k8s.io=UPPER.example.com/PATH"},
		{"registry.k8s.io=a.example.com", "registry.k8s.io/=b.example.com"},
		{"registry.k8s.io=localhost:5000/a b"},
	} {
		if got, err := ParseMirrors(bad); err == nil {
			t.Errorf("ParseMirrors(%q) = %v", bad, got)
		}
	}
	got, err := ParseMirrors([]string{"docker.io/library=localhost/x/", "registry.k8s.io=[::1]:5000"})
	want := map[string]string{"index.docker.io/library": "localhost/x", "registry.k8s.io": "[::1]:5000"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

type keychain map[string]authn.AuthConfig

func (k keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if c, ok := k[r.RegistryStr()]; ok {
		return authn.FromConfig(c), nil
	}
	return authn.Anonymous, nil
}

func TestCredentials(t *testing.T) {
	reg := newRegistry(t)
	ref := reg.push(t, "secret/x:1", imageOf(t, "amd64", v1.Config{}))
	guarded := func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if user, pass, ok := r.BasicAuth(); ok && user == "me" && pass == "hunter2" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		http.Error(w, "<html>\n no entry", http.StatusUnauthorized)
		return true
	}
	reg.reset(guarded)
	resolve(t, newStore(t, Options{Keychain: keychain{reg.host: {Username: "me", Password: "hunter2"}}}), ref, linuxAMD64)
	for name, k := range map[string]keychain{"none": {}, "wrong": {reg.host: {Username: "me", Password: "hunter3"}}} {
		reg.reset(guarded)
		_, err := newStore(t, Options{Keychain: k}).Resolve(t.Context(), ref, nil, linuxAMD64)
		if !errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), "docker login "+reg.host) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "html") {
			t.Errorf("%s: %q tells too much", name, err)
		}
		if n := reg.count("GET manifests"); n != 1 {
			t.Errorf("%s: asked %d times", name, n)
		}
	}
}

func TestBearerToken(t *testing.T) {
	reg := newRegistry(t)
	layer := layerOf(t, compression.GZip, entry{name: "a", content: "a"})
	ref := reg.push(t, "secret/x:1", imageOf(t, "amd64", v1.Config{}, layer))
	reg.reset(func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.URL.Path == "/token" {
			if user, pass, _ := r.BasicAuth(); user == "me" && pass == "hunter2" && r.URL.Query().Get("scope") == "repository:secret/x:pull" {
				fmt.Fprint(w, `{"token":"t0ken"}`)
			} else {
				http.Error(w, "no", http.StatusUnauthorized)
			}
			return true
		}
		if r.Header.Get("Authorization") == "Bearer t0ken" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+reg.URL+`/token",service="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	s := newStore(t, Options{Keychain: keychain{reg.host: {Username: "me", Password: "hunter2"}}})
	if err := s.Fetch(t.Context(), []*Image{resolve(t, s, ref, linuxAMD64)}); err != nil {
		t.Fatal(err)
	}
	if n := reg.count("GET /token"); n != 1 {
		t.Errorf("%d tokens for one repository", n)
	}
	_, err := newStore(t, Options{}).Resolve(t.Context(), ref, nil, linuxAMD64)
	if !errors.Is(err, ErrUnauthorized) {
		t.Errorf("without credentials: %v", err)
	}
}

// TestPlainHTTP: names other than loopback are spoken to by plain HTTP only if the user said so.
func TestPlainHTTP(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "x:1", imageOf(t, "amd64", v1.Config{}))
	dial := &http.Transport{DialContext: (&redirectDialer{to: reg.host}).dial}
	for _, host := range []string{"registry.example.com", "10.11.12.13:5000"} {
		_, err := newStore(t, Options{Transport: dial, Retries: -1}).Resolve(t.Context(), host+"/x:1", nil, linuxAMD64)
		if err == nil || !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: %v", host, err)
		}
		if n := reg.count("GET /v2/"); n != 0 {
			t.Errorf("%s: %d plain requests got through", host, n)
		}
		img := resolve(t, newStore(t, Options{Transport: dial, Insecure: []string{host}}), host+"/x:1", linuxAMD64)
		if img.Source != host+"/x:1" {
			t.Errorf("came from %s", img.Source)
		}
		reg.reset(nil)
	}
}

// TestDoubtful: an address whose config names another platform, without an index to vouch for it, gives way to a later one.
func TestDoubtful(t *testing.T) {
	reg := newRegistry(t)
	wrong := reg.push(t, "old/coredns:1", imageOf(t, "amd64", v1.Config{}))
	right := reg.push(t, "new/coredns:1", imageOf(t, "arm64", v1.Config{}))
	s := newStore(t, Options{})
	for _, pull := range [][]string{{wrong, right}, {right, wrong}} {
		img, err := s.Resolve(t.Context(), "coredns:1", pull, linuxARM64)
		if err != nil || img.Source != right {
			t.Errorf("%v: %+v, %v", pull, img, err)
		}
	}
	img, err := s.Resolve(t.Context(), "coredns:1", []string{wrong, reg.host + "/none:1"}, linuxARM64)
	if err != nil || img.Source != wrong {
		t.Errorf("the doubtful one is better than none: %v", err)
	}
}

// redirectDialer sends every plain connection to one address.
type redirectDialer struct{ to string }

func (d *redirectDialer) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, d.to)
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // a test's port
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was sent
	return l.Addr().String()
}

func FuzzKindOf(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"layers":[]}`), "application/json; charset=utf-8")
	f.Add([]byte(`{"schemaVersion":2,"manifests":[],"mediaType":"application/vnd.oci.image.index.v1+json"}`), "")
	f.Fuzz(func(t *testing.T, data []byte, contentType string) {
		kind, err := kindOf(data, contentType)
		if err == nil && kind.IsIndex() == kind.IsImage() {
			t.Errorf("kind %q is neither or both", kind)
		}
	})
}

func TestNearest(t *testing.T) {
	const tags = `{"tags":["sha256-aa.sig","v1.34.1","v1.34.10","v1.34.10-rc.0","v1.34.8","v1.34.9","v1.35.0","v1.35.0-alpha.1"]}`
	for want, near := range map[string][]string{
		"v1.34.99":        {"v1.34.9", "v1.34.10", "v1.34.8"},
		"v1.34.20":        {"v1.34.10", "v1.34.9", "v1.34.8"},
		"v1.35.0-alpha.2": {"v1.35.0-alpha.1", "v1.35.0", "v1.34.10-rc.0"},
	} {
		if diff := cmp.Diff(near, nearest(strings.NewReader(tags), want)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want, diff)
		}
	}
}

func FuzzNearest(f *testing.F) {
	f.Add([]byte(`{"tags":["v1.34.4","v1.34.5"]}`), "v1.34.6")
	f.Fuzz(func(t *testing.T, data []byte, want string) {
		got := nearest(bytes.NewReader(data), want)
		if len(got) > 3 {
			t.Errorf("%d tags", len(got))
		}
		var list struct{ Tags []string }
		if json.Unmarshal(data, &list) == nil {
			for _, g := range got {
				if !slices.Contains(list.Tags, g) {
					t.Errorf("%q was made up", g)
				}
			}
		}
	})
}
