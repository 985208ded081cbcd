package step_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// podServer is a CRI runtime with two pods of a control plane; kube-apiserver-cp1 cannot be stopped at first.
type podServer struct {
	criv1.UnimplementedRuntimeServiceServer
	mu     sync.Mutex
	calls  []string
	refuse int
}

func (s *podServer) call(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, what)
}

func (s *podServer) ListPodSandbox(_ context.Context, r *criv1.ListPodSandboxRequest) (*criv1.ListPodSandboxResponse, error) {
	labels := r.GetFilter().GetLabelSelector()
	if labels["io.kubernetes.pod.namespace"] != "kube-system" || r.GetFilter().GetState().GetState() != criv1.PodSandboxState_SANDBOX_READY {
		return nil, errors.New("asked for other pods")
	}
	var out criv1.ListPodSandboxResponse
	for _, p := range []string{"etcd-cp1", "kube-apiserver-cp1"} {
		if labels["io.kubernetes.pod.name"] == p {
			out.Items = append(out.Items, &criv1.PodSandbox{Id: p})
		}
	}
	return &out, nil
}

func (*podServer) ListContainers(_ context.Context, r *criv1.ListContainersRequest) (*criv1.ListContainersResponse, error) {
	id := r.GetFilter().GetPodSandboxId()
	return &criv1.ListContainersResponse{Containers: []*criv1.Container{
		{Id: id + "/0", State: criv1.ContainerState_CONTAINER_EXITED}, {Id: id + "/1", State: criv1.ContainerState_CONTAINER_RUNNING},
	}}, nil
}

func (s *podServer) StopContainer(_ context.Context, r *criv1.StopContainerRequest) (*criv1.StopContainerResponse, error) {
	s.mu.Lock()
	refuse := s.refuse > 0 && strings.HasPrefix(r.ContainerId, "kube-apiserver")
	if refuse {
		s.refuse--
	}
	s.mu.Unlock()
	if refuse {
		return nil, errors.New("it is just being started")
	}
	s.call("stop " + r.ContainerId + " " + (time.Duration(r.Timeout) * time.Second).String())
	return &criv1.StopContainerResponse{}, nil
}

func (s *podServer) StopPodSandbox(_ context.Context, r *criv1.StopPodSandboxRequest) (*criv1.StopPodSandboxResponse, error) {
	s.call("stop " + r.PodSandboxId)
	return &criv1.StopPodSandboxResponse{}, nil
}

// TestEndPods: programs get their time, then the pod goes; what cannot be stopped yet is tried again, and what is not there has ended.
func TestEndPods(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "cri.sock")
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", sock)
	ok(t, err)
	srv, pods := grpc.NewServer(), &podServer{refuse: 1}
	criv1.RegisterRuntimeServiceServer(srv, pods)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() { srv.Stop(); <-served }) //nolint:errcheck // it was stopped
	s := step.EndPods{Socket: "unix://" + sock, Namespace: "kube-system", Names: []string{"etcd-cp1", "kube-apiserver-cp1", "nobody-cp1"}, Grace: 5 * time.Second}
	ok(t, s.Apply(t.Context(), &step.Target{Host: host.NewMemory()}))
	slices.Sort(pods.calls)
	if want := []string{"stop etcd-cp1", "stop etcd-cp1/1 5s", "stop kube-apiserver-cp1", "stop kube-apiserver-cp1/1 5s"}; !slices.Equal(pods.calls, want) {
		t.Errorf("%q, want %q", pods.calls, want)
	}
}

// TestExchange: the unit is down while files change; whoever finds it down, though all files are right, ends what was left and starts it.
func TestExchange(t *testing.T) {
	m := host.NewMemory()
	m.AddUnit("k.service", host.UnitState{Exists: true, Enabled: true, Active: true, Sub: "running"})
	rec := host.NewRecording(m)
	tg := &step.Target{Host: rec}
	s := step.Exchange{
		Change: []step.Step{step.File{Path: "/etc/k", Mode: 0o600, Data: []byte("new")}},
		End:    []step.Step{step.File{Path: "/run/ended", Mode: 0o600, Data: []byte("yes")}},
		Unit:   step.Unit{Name: "k.service", Enable: true, Start: true},
	}
	satisfied(t, s, tg, false)
	ok(t, s.Apply(t.Context(), tg))
	satisfied(t, s, tg, true)
	i, j := slices.Index(rec.Ops(), "stop k.service"), slices.Index(rec.Ops(), "restart k.service")
	if i != 0 || j != len(rec.Ops())-1 {
		t.Errorf("%q", rec.Ops())
	}
	ok(t, m.Stop(t.Context(), "k.service"))
	ok(t, m.Remove("/run/ended"))
	satisfied(t, s, tg, false)
	ok(t, s.Apply(t.Context(), tg))
	if _, err := m.Stat("/run/ended"); err != nil {
		t.Error("what had been left was not ended")
	}
	satisfied(t, s, tg, true)
}
