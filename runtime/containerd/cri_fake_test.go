package containerd

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"

	versionapi "github.com/containerd/containerd/api/services/version/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// fakeCRI answers as daemons do that are not at hand, or only for a moment.
type fakeCRI struct {
	versionapi.UnimplementedVersionServer
	busy   int // calls until it is initialized
	config string
}

func (f *fakeCRI) Version(context.Context, *emptypb.Empty) (*versionapi.VersionResponse, error) {
	return &versionapi.VersionResponse{Version: "v1.5.9~ds1-1"}, nil
}

func (f *fakeCRI) Status(context.Context, *criv1.StatusRequest) (*criv1.StatusResponse, error) {
	if f.busy--; f.busy >= 0 {
		return nil, errors.New("server is not initialized yet")
	}
	return &criv1.StatusResponse{Info: map[string]string{"config": f.config}}, nil
}

// serveFake serves CRI under a version of its API, none for "".
func serveFake(t *testing.T, f *fakeCRI, api string) *Runtime {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "c.sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	versionapi.RegisterVersionServer(srv, f)
	if api != "" {
		desc := grpc.ServiceDesc{
			ServiceName: "runtime." + api + ".RuntimeService", HandlerType: (*any)(nil),
			Methods: []grpc.MethodDesc{{MethodName: "Status", Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				in := &criv1.StatusRequest{}
				if err := dec(in); err != nil {
					return nil, err
				}
				if !in.GetVerbose() {
					return nil, status.Error(codes.InvalidArgument, "not verbose")
				}
				return f.Status(ctx, in)
			}}},
		}
		srv.RegisterService(&desc, f)
	}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	r, err := New(t.Context(), socket, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

const oldConfig = `{"containerd":{"snapshotter":"native","defaultRuntimeName":"runc","runtimes":{"runc":{"options":{"SystemdCgroup":true}}}},
	"cni":{"binDir":"/usr/lib/cni"},"sandboxImage":"k8s.gcr.io/pause:3.5","containerdRootDir":"/var/lib/containerd"}`

// A daemon before 1.6, with v1alpha2 alone, that has just been started.
func TestOldDaemonJustStarted(t *testing.T) {
	r := serveFake(t, &fakeCRI{busy: 3, config: oldConfig}, "v1alpha2")
	got, err := r.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != "1.5.9" || got.SandboxImage != "k8s.gcr.io/pause:3.5" || got.CgroupDriver != "systemd" || got.Root != "/var/lib/containerd" || got.CNIBinDirs[0] != "/usr/lib/cni" {
		t.Errorf("%+v", got)
	}
	if s, err := r.snapshotter(t.Context()); err != nil || s != "native" {
		t.Errorf("snapshotter %s, %v", s, err)
	}
}

// A containerd without CRI, as in Docker's packages: known, but unable to tell.
func TestNoCRI(t *testing.T) {
	r := serveFake(t, &fakeCRI{}, "")
	got, err := r.Info(t.Context())
	if err != nil || got.Name != "containerd" || got.SandboxImage != "" || got.Root != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestUnreadableConfig(t *testing.T) {
	r := serveFake(t, &fakeCRI{config: "{"}, "v1")
	if _, err := r.Info(t.Context()); err == nil {
		t.Error("no error for a configuration that is no JSON")
	}
}
