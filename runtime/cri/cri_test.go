package cri

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// A runtime that speaks only v1alpha2, tells no configuration, and has no RuntimeConfig: cri-dockerd 0.2, containerd 1.5.
func TestAskOld(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "c.sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(in, out any) func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
		return func(_ any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			return out, dec(in)
		}
	}
	srv := grpc.NewServer()
	srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: "runtime.v1alpha2.RuntimeService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: "Version", Handler: answer(&criv1.VersionRequest{}, &criv1.VersionResponse{RuntimeName: "docker", RuntimeVersion: "20.10.24"})},
			{MethodName: "Status", Handler: answer(&criv1.StatusRequest{}, &criv1.StatusResponse{Info: map[string]string{"config": "not JSON"}})},
		},
	}, struct{}{})
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	got, err := Ask(t.Context(), "unix://"+socket)
	if want := (About{Name: "docker", Version: "20.10.24"}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestAskNobody(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "c.sock")
	_, err := Ask(t.Context(), socket)
	if err == nil || !strings.Contains(err.Error(), socket) || !strings.Contains(err.Error(), "no such file") || strings.Contains(err.Error(), "rpc") {
		t.Errorf("got %v, want the socket and the plain reason", err)
	}
}
