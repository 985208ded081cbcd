// Package digests: what the runtime shows of every image is what the registry has: the digest of the config as its ID; with containerd also
// the digest of the index under its name, and the mark that keeps it from being collected. Docker has neither.
package digests

import (
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/hosts"
)

// image is an image in CRI's words, as the bundle's crictl prints it.
type image struct {
	ID          string   `json:"id"`
	RepoTags    []string `json:"repoTags"`
	RepoDigests []string `json:"repoDigests"`
	Pinned      bool     `json:"pinned"`
}

// Test compares every image on every host with the registry.
func Test(t *testing.T, s *suite.Suite) {
	for _, h := range s.Cluster.Hosts {
		if h.Runtime.HasDocker() {
			inDocker(t, s, h)
			continue
		}
		have := images(t, h)
		for _, u := range s.Upstream.Images {
			tag := u.Ref()
			repo := tag[:strings.LastIndexByte(tag, ':')]
			i := slices.IndexFunc(have, func(i image) bool { return slices.Contains(i.RepoTags, tag) })
			if i < 0 {
				t.Errorf("%s: CRI has no %s", h.Name, tag)
				continue
			}
			img := have[i]
			if want := repo + "@" + u.Index; !slices.Contains(img.RepoDigests, want) {
				t.Errorf("%s: %s has digests %v in CRI, the registry says %s", h.Name, tag, img.RepoDigests, want)
			}
			if want := config(t, s, u.Manifests[runtime.GOARCH]); img.ID != want {
				t.Errorf("%s: %s has ID %s in CRI, the registry's config is %s", h.Name, tag, img.ID, want)
			}
			// CRI of containerd 1.6 does not tell about pins; the label is asked for below.
		}
		pinned(t, s, h)
	}
}

// inDocker asks Docker itself: its names and IDs are the kubelet's. An archive for Docker cannot carry the registry's digest.
func inDocker(t *testing.T, s *suite.Suite, h *hosts.Host) {
	t.Helper()
	for _, u := range s.Upstream.Images {
		id, err := h.Output(t.Context(), "docker", "image", "inspect", "--format", "{{.Id}}", u.Ref())
		if err != nil {
			t.Errorf("%s: Docker has no %s: %v", h.Name, u.Ref(), err)
			continue
		}
		if want := config(t, s, u.Manifests[runtime.GOARCH]); strings.TrimSpace(id) != want {
			t.Errorf("%s: %s has ID %s in Docker, the registry's config is %s", h.Name, u.Ref(), id, want)
		}
	}
}

func images(t *testing.T, h *hosts.Host) []image {
	t.Helper()
	out, err := h.Output(t.Context(), "crictl", "images")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Images []image `json:"images"`
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("crictl images on %s: %v", h.Name, err)
	}
	return list.Images
}

func config(t *testing.T, s *suite.Suite, manifest string) string {
	t.Helper()
	raw, err := os.ReadFile(s.Upstream.Blob(manifest))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Config struct {
			Digest string `json:"digest"`
		} `json:"config"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m.Config.Digest
}

func pinned(t *testing.T, s *suite.Suite, h *hosts.Host) {
	t.Helper()
	out, err := h.Output(t.Context(), "ctr", "-n", "k8s.io", "images", "list")
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range s.Upstream.Images {
		found := false
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); len(f) > 0 && f[0] == u.Ref() {
				found = true
				if !strings.Contains(line, "io.cri-containerd.pinned=pinned") {
					t.Errorf("%s: %s is not pinned: %s", h.Name, u.Ref(), line)
				}
			}
		}
		if !found {
			t.Errorf("%s: containerd has no %s", h.Name, u.Ref())
		}
	}
}
