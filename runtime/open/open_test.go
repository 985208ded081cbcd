package open_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	cruntime "kubebundle/runtime"
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
	if _, err := open.FindSocket(func(string) bool { return false }, true); !errors.Is(err, open.ErrNoSocket) || errors.Is(err, open.ErrNoCRIDockerd) {
		t.Errorf("error %v, want ErrNoSocket", err)
	}
	_, err := open.FindSocket(func(p string) bool { return p == docker }, false)
	if !errors.Is(err, open.ErrNoCRIDockerd) || !errors.Is(err, open.ErrNoSocket) || !strings.Contains(err.Error(), open.CRIDockerd) {
		t.Errorf("error %v, want ErrNoCRIDockerd with the socket that was looked for", err)
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
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"Version": "17.03.2-ce", "ApiVersion": "1.27"})
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	shim := serveCRI(t, filepath.Join(t.TempDir(), "cri-dockerd.sock"), "docker")
	for _, s := range []string{open.Dockershim, shim, serveCRI(t, filepath.Join(t.TempDir(), "my.sock"), "docker")} {
		r, err := open.Open(t.Context(), s, open.Options{DockerSocket: "unix://" + socket})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := r.(*docker.Runtime); !ok {
			t.Errorf("%s led to %T", s, r)
		}
		i, err := r.Info(t.Context())
		want := cruntime.Info{Name: "docker", Version: "17.03.2-ce", Socket: "unix://" + socket}
		if s != open.Dockershim {
			want.CRI, want.SandboxImage, want.TellsDriver = s, "registry.k8s.io/pause:3.9", true
		}
		if diff := cmp.Diff(want, i); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", s, err, diff)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	own, err := open.Open(t.Context(), "unix://"+filepath.Join(filepath.Dir(socket), "docker.sock"), open.Options{DockerSocket: "unix:///nowhere"})
	if err != nil {
		t.Fatal(err)
	}
	if i, err := own.Info(t.Context()); err != nil || i.CRI != "" {
		t.Errorf("Docker's own socket: %+v, %v", i, err)
	}
	// The engine is there, and cri-dockerd is not: images can be loaded, but a kubelet cannot start pods.
	alone, err := open.Open(t.Context(), "unix:///nowhere/cri-dockerd.sock", open.Options{DockerSocket: "unix://" + socket})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone.Info(t.Context()); !errors.Is(err, docker.ErrNoCRI) || !strings.Contains(err.Error(), "/nowhere/cri-dockerd.sock") {
		t.Errorf("without cri-dockerd: %v", err)
	}
	for _, s := range []string{open.CRIO, serveCRI(t, filepath.Join(t.TempDir(), "other.sock"), "cri-o"), "npipe:////./pipe/x"} {
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

// fakeCRI answers as cri-dockerd 0.3.17 does.
type fakeCRI struct {
	criv1.UnimplementedRuntimeServiceServer

	name string
}

func (f fakeCRI) Version(context.Context, *criv1.VersionRequest) (*criv1.VersionResponse, error) {
	return &criv1.VersionResponse{RuntimeName: f.name, RuntimeVersion: "1"}, nil
}

func (fakeCRI) Status(_ context.Context, r *criv1.StatusRequest) (*criv1.StatusResponse, error) {
	out := &criv1.StatusResponse{}
	if r.GetVerbose() {
		out.Info = map[string]string{"config": `{"sandboxImage":"registry.k8s.io/pause:3.9"}`}
	}
	return out, nil
}

func (fakeCRI) RuntimeConfig(context.Context, *criv1.RuntimeConfigRequest) (*criv1.RuntimeConfigResponse, error) {
	return &criv1.RuntimeConfigResponse{Linux: &criv1.LinuxRuntimeConfiguration{CgroupDriver: criv1.CgroupDriver_SYSTEMD}}, nil
}

func serveCRI(t *testing.T, socket, name string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	criv1.RegisterRuntimeServiceServer(srv, fakeCRI{name: name})
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	return "unix://" + socket
}
