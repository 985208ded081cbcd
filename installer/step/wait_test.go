package step_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

func TestAwait(t *testing.T) {
	tg := &step.Target{Host: host.NewMemory()}
	n := 0
	s := step.Await{What: "the third look", Timeout: 10 * time.Second, Interval: time.Millisecond, Check: func(context.Context, *step.Target) error {
		if n++; n < 3 {
			return errors.New("not yet")
		}
		return nil
	}}
	ok(t, s.Apply(t.Context(), tg))
	if n != 3 {
		t.Errorf("%d looks", n)
	}

	s = step.Await{What: "what never comes", Timeout: 30 * time.Millisecond, Interval: time.Millisecond, Hint: "look there", Check: func(ctx context.Context, _ *step.Target) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errors.New("still nothing")
	}}
	err := s.Apply(t.Context(), tg)
	var ae *step.AwaitError
	if !errors.As(err, &ae) || ae.Hint() != "look there" || !strings.Contains(err.Error(), "still nothing") {
		t.Errorf("error %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Timeout = time.Minute
	if err := s.Apply(ctx, tg); !errors.Is(err, context.Canceled) || errors.As(err, &ae) && ae.Last == nil {
		t.Errorf("error %v", err)
	}
}

func TestKubeletHealthy(t *testing.T) {
	code := http.StatusServiceUnavailable
	tg := &step.Target{Host: host.NewMemory(), Get: func(_ context.Context, url string) (int, []byte, error) {
		if url != "http://127.0.0.1:10248/healthz" {
			t.Errorf("asked %s", url)
		}
		return code, []byte("busy"), nil
	}}
	satisfied(t, step.KubeletHealthy(time.Second), tg, false)
	code = http.StatusOK
	satisfied(t, step.KubeletHealthy(time.Second), tg, true)
}

// TestLoopbackOnly: without a getter of its own a step asks this node only, whatever proxy the environment names.
func TestLoopbackOnly(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	t.Cleanup(srv.Close)
	t.Setenv("HTTP_PROXY", "http://192.0.2.1:3128")
	code, _, err := step.LoopbackGet(t.Context(), srv.URL)
	if err != nil || code != http.StatusTeapot {
		t.Errorf("%d %v", code, err)
	}
	if _, _, err := step.LoopbackGet(t.Context(), "http://192.0.2.1/"); err == nil || !strings.Contains(err.Error(), "not a loopback address") {
		t.Errorf("error %v", err)
	}
}

func TestTLSBootstrapped(t *testing.T) {
	m := host.NewMemory()
	tg := &step.Target{Host: m}
	s := step.TLSBootstrapped("/etc/kubernetes/kubelet.conf", time.Second)
	satisfied(t, s, tg, false)
	ok(t, m.WriteFile("/etc/kubernetes/kubelet.conf", nil, 0o600))
	satisfied(t, s, tg, false)
	ok(t, m.WriteFile("/etc/kubernetes/kubelet.conf", []byte("x"), 0o600))
	satisfied(t, s, tg, true)
}

// criServer is a CRI runtime with pods; "stuck" cannot be stopped, "gone" disappears before it can be.
type criServer struct {
	criv1.UnimplementedRuntimeServiceServer
	mu       sync.Mutex
	pods     []string
	starting int // how often "starting" cannot be removed
}

func (s *criServer) ListPodSandbox(context.Context, *criv1.ListPodSandboxRequest) (*criv1.ListPodSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out criv1.ListPodSandboxResponse
	for _, p := range s.pods {
		out.Items = append(out.Items, &criv1.PodSandbox{Id: p})
	}
	return &out, nil
}

func (s *criServer) StopPodSandbox(_ context.Context, r *criv1.StopPodSandboxRequest) (*criv1.StopPodSandboxResponse, error) {
	switch r.PodSandboxId {
	case "stuck":
		return nil, status.Error(codes.Unknown, "network plugin is gone")
	case "gone":
		return nil, status.Error(codes.NotFound, "no such pod")
	}
	return &criv1.StopPodSandboxResponse{}, nil
}

func (s *criServer) RemovePodSandbox(_ context.Context, r *criv1.RemovePodSandboxRequest) (*criv1.RemovePodSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.PodSandboxId == "starting" && s.starting > 0 {
		s.starting--
		return nil, status.Error(codes.Unknown, "container is in starting state, can't be removed")
	}
	s.pods = slices.DeleteFunc(s.pods, func(p string) bool { return p == r.PodSandboxId })
	if r.PodSandboxId == "gone" {
		return nil, status.Error(codes.NotFound, "no such pod")
	}
	return &criv1.RemovePodSandboxResponse{}, nil
}

func TestRemoveContainers(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "cri.sock")
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "unix", sock)
	ok(t, err)
	srv := grpc.NewServer()
	criv1.RegisterRuntimeServiceServer(srv, &criServer{pods: []string{"one", "stuck", "gone", "starting"}, starting: 1})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() { srv.Stop(); <-served }) //nolint:errcheck // it was stopped
	tg := &step.Target{Host: host.NewMemory()}
	s := step.RemoveContainers{Socket: "unix://" + sock}
	satisfied(t, s, tg, false)
	ok(t, s.Apply(t.Context(), tg))
	satisfied(t, s, tg, true)
}

func TestUnmountAll(t *testing.T) {
	m := host.NewMemory()
	for _, p := range []string{"/", "/var/lib/kubelet", "/var/lib/kubelet/a", "/var/lib/kubelet/a/b", "/var/lib/kubelet-other"} {
		m.AddMount(p)
	}
	rec := host.NewRecording(m)
	tg := &step.Target{Host: rec}
	s := step.UnmountAll{Prefix: "/var/lib/kubelet"}
	satisfied(t, s, tg, false)
	ok(t, s.Apply(t.Context(), tg))
	satisfied(t, s, tg, true)
	if want := []string{"unmount /var/lib/kubelet/a/b", "unmount /var/lib/kubelet/a"}; !slices.Equal(rec.Ops(), want) {
		t.Errorf("%q", rec.Ops())
	}
}
