package imagestore

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const sigstoreBundle = "application/vnd.dev.sigstore.bundle.v0.3+json"

// smallArtifact is a small manifest of a kind, about another one if subject is given.
func smallArtifact(t *testing.T, kind types.MediaType, content string, subject *v1.Descriptor) v1.Image {
	t.Helper()
	img, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mutate.Addendum{
		Layer:       static.NewLayer([]byte(content), "application/vnd.dev.cosign.simplesigning.v1+json"),
		Annotations: map[string]string{"dev.cosignproject.cosign/signature": "c2lnbmF0dXJl"},
	})
	if err != nil {
		t.Fatal(err)
	}
	img = mutate.ConfigMediaType(img, kind)
	if subject != nil {
		img = mutate.Subject(img, *subject).(v1.Image)
	}
	return img
}

// signedImage pushes an index whose digest has a signature under cosign's tag, and whose manifest has two referrers: a
// signature and an SBOM.
func signedImage(t *testing.T, host string) (ref string, want []Signature) {
	t.Helper()
	img := imageOf(t, "amd64", v1.Config{}, bigLayer(t, 1))
	idx := indexOf(t, map[string]v1.Image{"linux/amd64": img})
	push := func(tag string, what remote.Taggable) {
		t.Helper()
		parsed, err := name.ParseReference(host + "/" + tag)
		if err != nil {
			t.Fatal(err)
		}
		switch w := what.(type) {
		case v1.Image:
			err = remote.Write(parsed, w)
		case v1.ImageIndex:
			err = remote.WriteIndex(parsed, w)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	push("signed:1", idx)
	of := digest(t, idx)
	sig := smallArtifact(t, types.OCIConfigJSON, "cosign", nil)
	push("signed:"+strings.Replace(of, ":", "-", 1)+".sig", sig)
	hash, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	size, err := img.Size()
	if err != nil {
		t.Fatal(err)
	}
	subject := &v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: hash, Size: size}
	referrer := smallArtifact(t, sigstoreBundle, "sigstore", subject)
	push("signed:referrer", referrer)
	push("signed:sbom", smallArtifact(t, "application/spdx+json", "an SBOM", subject))
	return host + "/signed:1", []Signature{wanted(t, of, KindCosign, sig), wanted(t, hash.String(), sigstoreBundle, referrer)}
}

func wanted(t *testing.T, of, kind string, img v1.Image) Signature {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	size, err := img.Size()
	if err != nil {
		t.Fatal(err)
	}
	s := Signature{Of: of, Kind: kind, Manifest: Descriptor{MediaType: string(types.OCIManifestSchema1), Digest: digest(t, img), Size: size}}
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		s.Parts = append(s.Parts, Descriptor{MediaType: string(d.MediaType), Digest: d.Digest.String(), Size: d.Size})
	}
	return s
}

func TestSignatures(t *testing.T) {
	for name, referrers := range map[string]bool{"referrers API": true, "fallback tag": false} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(referrers)))
			t.Cleanup(srv.Close)
			ref, want := signedImage(t, strings.TrimPrefix(srv.URL, "http://"))
			s := newStore(t, Options{})
			img := resolve(t, s, ref, linuxAMD64)
			if err := s.Signatures(t.Context(), img); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, img.Signatures); diff != "" {
				t.Errorf("signatures (-want +got):\n%s", diff)
			}
			for _, sig := range img.Signatures {
				for _, d := range append([]Descriptor{sig.Manifest}, sig.Parts...) {
					if data := img.Blobs[d.Digest]; sumOf(data) != d.Digest {
						t.Errorf("blob %s is %q", d.Digest, data)
					}
				}
			}
			if len(img.Warnings) > 0 {
				t.Errorf("warnings: %q", img.Warnings)
			}
		})
	}
}

// TestSignaturesAbsent proves that a registry without signatures, whatever way it has to say so, is no reason to warn, and
// that one that fails or lies is one, and never an error.
func TestSignaturesAbsent(t *testing.T) {
	status := func(code int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { http.Error(w, "no", code) }
	}
	text := func(s string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { _, _ = io.WriteString(w, s) } // a client that went away is no matter of this test
	}
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter)
		want   string
	}{
		"not found":     {nil, ""},
		"unauthorized":  {status(http.StatusForbidden), ""},
		"not known":     {status(http.StatusMethodNotAllowed), ""},
		"page of HTML":  {text("<html>"), "a signature of sha256:"},
		"foreign parts": {text(`{"schemaVersion":2,"config":{"digest":"sha256:` + strings.Repeat("0", 64) + `","size":2},"layers":[]}`), "is left out"},
		"huge parts":    {text(`{"schemaVersion":2,"config":{"digest":"sha256:` + strings.Repeat("0", 64) + `","size":99999999},"layers":[]}`), "part sha256:0000000000000000000000000000000000000000000000000000000000000000 of 99999999 bytes: not supported"},
		"broken":        {status(http.StatusInternalServerError), "unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			reg := newRegistry(t)
			ref := reg.push(t, "img:1", imageOf(t, "amd64", v1.Config{}, bigLayer(t, 1)))
			reg.reset(func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if tc.answer == nil || !strings.Contains(r.URL.Path, "/sha256-") && !strings.Contains(r.URL.Path, "/referrers/") {
					return false
				}
				tc.answer(w)
				return true
			})
			s := newStore(t, Options{Retries: -1})
			img := resolve(t, s, ref, linuxAMD64)
			if err := s.Signatures(t.Context(), img); err != nil {
				t.Fatal(err)
			}
			if len(img.Signatures) > 0 {
				t.Errorf("signatures: %+v", img.Signatures)
			}
			if got := strings.Join(img.Warnings, "\n"); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("warnings %q, want %q", got, tc.want)
			}
		})
	}
}
