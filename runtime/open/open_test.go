package open_test

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kubebundle/runtime/docker"
	"kubebundle/runtime/open"
)

func TestFindSocket(t *testing.T) {
	const docker, containerd, crio, cridockerd = "/var/run/docker.sock", "/var/run/containerd/containerd.sock", "/var/run/crio/crio.sock", "/var/run/cri-dockerd.sock"
	for _, tc := range []struct {
		name       string
		there      []string
		dockershim bool
		want       string
		several    []string
	}{
		{name: "containerd", there: []string{containerd}, want: open.Containerd},
		{name: "containerd beside docker", there: []string{containerd, docker}, want: open.Containerd},
		{name: "docker with its containerd, old kubelet", there: []string{containerd, docker}, dockershim: true, want: open.Dockershim},
		{name: "containerd, old kubelet", there: []string{containerd}, dockershim: true, want: open.Containerd},
		{name: "cri-dockerd", there: []string{docker, cridockerd}, want: open.CRIDockerd},
		{name: "containerd and cri-dockerd", there: []string{containerd, cridockerd}, several: []string{open.Containerd, open.CRIDockerd}},
		{name: "docker and cri-o, old kubelet", there: []string{docker, crio}, dockershim: true, several: []string{open.Dockershim, open.CRIO}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := open.FindSocket(func(p string) bool { return slices.Contains(tc.there, p) }, tc.dockershim)
			if several := (*open.AmbiguousError)(nil); errors.As(err, &several) {
				if !slices.Equal(several.Found, tc.several) || !strings.Contains(err.Error(), "--cri-socket") {
					t.Errorf("%v, want %q", err, tc.several)
				}
			} else if err != nil || got != tc.want || tc.several != nil {
				t.Errorf("%q, %v, want %q", got, err, tc.want)
			}
		})
	}
	if _, err := open.FindSocket(func(string) bool { return false }, true); !errors.Is(err, open.ErrNoSocket) {
		t.Errorf("error %v, want ErrNoSocket", err)
	}
}

func TestIsSocket(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if open.IsSocket(file) || open.IsSocket(filepath.Join(dir, "nothing")) || !open.IsSocket(filepath.Join(dir, "s")) {
		t.Error("cannot tell a socket")
	}
}

func TestOpen(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"Version": "17.03.2-ce", "ApiVersion": "1.27"})
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	for _, s := range []string{open.Dockershim, open.CRIDockerd, "unix:///run/cri-dockerd.sock"} {
		r, err := open.Open(t.Context(), s, open.Options{DockerSocket: "unix://" + socket})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := r.(*docker.Runtime); !ok {
			t.Errorf("%s led to %T", s, r)
		}
		if i, err := r.Info(t.Context()); err != nil || i.Version != "17.03.2-ce" || i.Socket != "unix://"+socket {
			t.Errorf("%+v, %v", i, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{open.CRIO, "npipe:////./pipe/x"} {
		if r, err := open.Open(t.Context(), s, open.Options{}); !errors.Is(err, open.ErrUnsupported) || r != nil {
			t.Errorf("%s: %v, %v, want ErrUnsupported and no runtime", s, r, err)
		}
	}
	gone := "unix://" + filepath.Join(t.TempDir(), "containerd.sock")
	for _, s := range []string{gone, open.CRIDockerd} {
		r, err := open.Open(t.Context(), s, open.Options{DockerSocket: gone})
		if err == nil || r != nil || !strings.Contains(err.Error(), "systemctl start") {
			t.Errorf("%s: %v, %v, want an error with advice and no runtime", s, r, err)
		}
	}
}
