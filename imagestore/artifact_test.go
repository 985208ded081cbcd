package imagestore

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const testMedia = "application/vnd.example.thing.v1"

func artifact(t *testing.T, layers ...v1.Layer) v1.Image {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, "application/vnd.example.config.v1+json")
	img, err := mutate.AppendLayers(img, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestArtifact: content that is no image comes through the cache, once, and is checked.
func TestArtifact(t *testing.T) {
	r := newRegistry(t)
	want := []byte("a thing")
	ref := r.push(t, "things/thing:1", artifact(t, static.NewLayer([]byte("signature"), "application/x-other"), static.NewLayer(want, testMedia)))
	s := newStore(t, Options{})
	for range 2 {
		got, err := s.Artifact(t.Context(), ref, testMedia, 100)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Data, want) || !strings.HasPrefix(got.Digest, digestPrefix) {
			t.Errorf("got %q %q", got.Data, got.Digest)
		}
	}
	if n := r.count("GET blobs"); n != 1 {
		t.Errorf("%d requests for blobs, want 1", n)
	}
	// By digest, the manifest itself is checked, too.
	got, err := s.Artifact(t.Context(), ref, testMedia, 100)
	if err != nil {
		t.Fatal(err)
	}
	byDigest := strings.TrimSuffix(ref, ":1") + "@" + got.Digest
	if _, err := s.Artifact(t.Context(), byDigest, testMedia, 100); err != nil {
		t.Error(err)
	}
	r.reset(func(w http.ResponseWriter, req *http.Request, _ int) bool {
		if !strings.Contains(req.URL.Path, "/manifests/") {
			return false
		}
		_, _ = w.Write([]byte(`{"schemaVersion":2,"layers":[],"config":{}}`)) // a liar
		return true
	})
	if _, err := s.Artifact(t.Context(), byDigest, testMedia, 100); !errors.Is(err, ErrDigest) {
		t.Errorf("another manifest under the digest: %v", err)
	}
}

func TestArtifactRefused(t *testing.T) {
	r := newRegistry(t)
	thing := static.NewLayer([]byte("a thing"), testMedia)
	s := newStore(t, Options{})
	for name, tc := range map[string]struct {
		ref  string
		want error
	}{
		"none":     {r.push(t, "things/none:1", artifact(t, static.NewLayer([]byte("x"), "application/x-other"))), ErrUnsupported},
		"two":      {r.push(t, "things/two:1", artifact(t, thing, static.NewLayer([]byte("another"), testMedia))), ErrUnsupported},
		"large":    {r.push(t, "things/large:1", artifact(t, static.NewLayer(make([]byte, 101), testMedia))), ErrUnsupported},
		"index":    {r.push(t, "things/index:1", v1.ImageIndex(empty.Index)), ErrUnsupported},
		"not here": {r.host + "/things/absent:1", ErrNotFound},
	} {
		if _, err := s.Artifact(t.Context(), tc.ref, testMedia, 100); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}
