package docker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	cruntime "kubebundle/runtime"
	"kubebundle/runtime/runtimetest"
)

// fake is an engine whose answers the test gives: what a real one does rarely, or in versions that are not at hand.
func fake(t *testing.T, handlers map[string]http.HandlerFunc) *Runtime {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]string{"Version": "29.0.0", "ApiVersion": "1.52"})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		answer(w, map[string]string{"message": "No such image"})
	})
	for pattern, h := range handlers {
		mux.HandleFunc(pattern, h)
	}
	srv := &http.Server{Handler: mux}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	r, err := New(t.Context(), socket, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func answer(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func plain(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]string{"CgroupDriver": "systemd"})
}

func testImage() runtimetest.Image {
	return runtimetest.NewImage("registry.k8s.io/a:v1", runtimetest.Layer(runtimetest.File("a", 0o644, strings.Repeat("a", 4<<20))))
}

// An error that Docker reports under status 200, after it read everything.
func TestLoadReportsDockersError(t *testing.T) {
	img := testImage()
	r := fake(t, map[string]http.HandlerFunc{
		"GET /v1.52/info": plain,
		"POST /v1.52/images/load": func(w http.ResponseWriter, req *http.Request) {
			_, _ = io.Copy(io.Discard, req.Body)
			answer(w, map[string]string{"stream": "Loading"})
			answer(w, map[string]any{"errorDetail": map[string]string{"message": "disk quota"}, "error": "disk quota"})
		},
	})
	err := r.Load(t.Context(), runtimetest.Images(img), runtimetest.NewSource(img), nil)
	if err == nil || err.Error() != "import images: docker load: disk quota" {
		t.Errorf("error %v", err)
	}
}

// An error that comes while we still send.
func TestLoadEndsWithDockersAnswer(t *testing.T) {
	img := testImage()
	r := fake(t, map[string]http.HandlerFunc{
		"GET /v1.52/info": plain,
		"POST /v1.52/images/load": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			answer(w, map[string]string{"message": "no space left on device"})
		},
	})
	err := r.Load(t.Context(), runtimetest.Images(img), runtimetest.NewSource(img), nil)
	if err == nil || !strings.Contains(err.Error(), "docker load") {
		t.Errorf("error %v", err)
	}
}

// An engine that swallows an archive and has no image afterwards must not pass for success.
func TestLoadChecks(t *testing.T) {
	img := testImage()
	r := fake(t, map[string]http.HandlerFunc{
		"GET /v1.52/info":         plain,
		"POST /v1.52/images/load": func(_ http.ResponseWriter, req *http.Request) { _, _ = io.Copy(io.Discard, req.Body) },
	})
	err := r.Load(t.Context(), runtimetest.Images(img), runtimetest.NewSource(img), nil)
	if err == nil || !strings.Contains(err.Error(), img.Ref) {
		t.Errorf("error %v, want one that names the image", err)
	}
}

// Docker with containerd's store has IDs of its own; the layers tell.
func TestMissingInContainerdStore(t *testing.T) {
	img := testImage()
	status := [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}
	got := image{ID: "sha256:" + strings.Repeat("0", 64)}
	got.RootFS.Layers = img.DiffIDs
	r := fake(t, map[string]http.HandlerFunc{
		"GET /v1.52/info": func(w http.ResponseWriter, _ *http.Request) { answer(w, info{DriverStatus: status}) },
		"GET /v1.52/images/registry.k8s.io/a:v1/json": func(w http.ResponseWriter, _ *http.Request) { answer(w, got) },
	})
	if missing, err := r.Missing(t.Context(), runtimetest.Images(img)); err != nil || len(missing) > 0 {
		t.Errorf("missing %v, %v", missing, err)
	}
	got.RootFS.Layers = []string{runtimetest.Digest(nil)}
	if missing, err := r.Missing(t.Context(), runtimetest.Images(img)); err != nil || len(missing) != 1 {
		t.Errorf("other layers: missing %v, %v", missing, err)
	}
	status, got.RootFS.Layers = nil, img.DiffIDs
	if missing, err := r.Missing(t.Context(), runtimetest.Images(img)); err != nil || len(missing) != 1 {
		t.Errorf("another ID in Docker's own store: missing %v, %v", missing, err)
	}
}

// An image that is there under another name is named, not loaded.
func TestLoadTags(t *testing.T) {
	img := testImage()
	var tagged string
	r := fake(t, map[string]http.HandlerFunc{
		"GET /v1.52/info": plain,
		"GET /v1.52/images/" + img.Config.Digest + "/json": func(w http.ResponseWriter, _ *http.Request) { answer(w, image{ID: img.Config.Digest}) },
		"POST /v1.52/images/" + img.Config.Digest + "/tag": func(w http.ResponseWriter, req *http.Request) {
			tagged = req.URL.Query().Get("repo") + " " + req.URL.Query().Get("tag")
			w.WriteHeader(http.StatusCreated)
		},
	})
	src := runtimetest.NewSource(img)
	if err := r.Load(t.Context(), runtimetest.Images(img), src, nil); err != nil || tagged != "registry.k8s.io/a v1" || src.Reads > 0 {
		t.Errorf("tagged %q, read %d pieces, %v", tagged, src.Reads, err)
	}
}

func TestErrors(t *testing.T) {
	if r, err := New(t.Context(), filepath.Join(t.TempDir(), "no.sock"), Options{}); err == nil || r != nil || !strings.Contains(err.Error(), "systemctl start docker") {
		t.Errorf("no daemon: %v, %v", r, err)
	}
	r := fake(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Info(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	img := testImage()
	img.Ref = "registry.k8s.io/a@" + img.Target.Digest
	r = fake(t, map[string]http.HandlerFunc{"GET /v1.52/info": plain})
	if _, err := r.Missing(t.Context(), []cruntime.Image{img.Image}); err == nil || !strings.Contains(err.Error(), "by tag only") {
		t.Errorf("a reference without tag: %v", err)
	}
}
