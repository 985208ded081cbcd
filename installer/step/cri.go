package step

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"kubebundle/runtime/docker"
	"kubebundle/runtime/open"
)

// CRI is what reset needs from a container runtime: its pods.
type CRI interface {
	PodSandboxes(ctx context.Context) (ids []string, err error)
	// RemovePodSandbox stops and removes a pod with its containers.
	RemovePodSandbox(ctx context.Context, id string) error
	Close() error
}

// RemoveContainers stops and removes every pod that the kubelet made, through CRI; through Docker where that was the kubelet's dockershim, which
// has ended with it.
type RemoveContainers struct {
	Socket string // unix:///run/containerd/containerd.sock
}

// IsDockershim says whether a CRI socket is that of a kubelet's own dockershim (up to v1.23), which only a running kubelet serves.
func IsDockershim(socket string) bool { return path.Base(socket) == path.Base(open.Dockershim) }

func (s RemoveContainers) String() string { return "remove the containers of all pods at " + s.Socket }

func (s RemoveContainers) open(ctx context.Context, t *Target) (CRI, error) {
	if t.CRI != nil {
		return t.CRI(ctx, s.Socket)
	}
	if IsDockershim(s.Socket) {
		r, err := docker.New(ctx, docker.DefaultSocket, docker.Options{Logger: t.Log})
		if err != nil {
			return nil, err
		}
		return r, nil
	}
	return dialCRI(s.Socket)
}

// Satisfied if the runtime has no pods.
func (s RemoveContainers) Satisfied(ctx context.Context, t *Target) (bool, error) {
	c, err := s.open(ctx, t)
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close() }() // a client
	ids, err := c.PodSandboxes(ctx)
	return err == nil && len(ids) == 0, err
}

// A container that the kubelet was just starting when it was stopped cannot be removed for some seconds ("is in starting state"), so a pod is
// tried again and again.
const (
	removalTries = 10
	removalPause = 2 * time.Second
)

// Apply removes them and goes on after an error.
func (s RemoveContainers) Apply(ctx context.Context, t *Target) error {
	c, err := s.open(ctx, t)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // a client
	for try := 1; ; try++ {
		err := removePods(ctx, t, c)
		if err == nil || try == removalTries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(removalPause):
		}
	}
}

// removePods tries each pod that is there once.
func removePods(ctx context.Context, t *Target, c CRI) error {
	ids, err := c.PodSandboxes(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for i, id := range ids {
		if err := c.RemovePodSandbox(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("remove pod %.13s: %w", id, err))
		}
		t.progress(int64(i+1), int64(len(ids)), "pods")
	}
	return errors.Join(errs...)
}

// grpcCRI is CRI v1, which containerd serves since 1.6 and every kubelet from 1.26 on requires.
type grpcCRI struct {
	conn *grpc.ClientConn
	rs   criv1.RuntimeServiceClient
}

func dialCRI(socket string) (*grpcCRI, error) {
	conn, err := grpc.NewClient(socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("open CRI socket %s: %w", socket, err)
	}
	return &grpcCRI{conn: conn, rs: criv1.NewRuntimeServiceClient(conn)}, nil
}

func (c *grpcCRI) PodSandboxes(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := c.rs.ListPodSandbox(ctx, &criv1.ListPodSandboxRequest{})
	if err != nil {
		return nil, fmt.Errorf("list pods through CRI: %w", err)
	}
	ids := make([]string, 0, len(resp.Items))
	for _, p := range resp.Items {
		ids = append(ids, p.Id)
	}
	return ids, nil
}

// criStopTimeout is longer than the usual grace period of a container (kubeadm waits as long for crictl stopp).
const criStopTimeout = 2 * time.Minute

func (c *grpcCRI) RemovePodSandbox(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, criStopTimeout)
	defer cancel()
	if _, err := c.rs.StopPodSandbox(ctx, &criv1.StopPodSandboxRequest{PodSandboxId: id}); err != nil && status.Code(err) != codes.NotFound {
		// A pod whose network cannot be taken down any more (its plugin is gone) can still be removed by force.
		if _, err2 := c.rs.RemovePodSandbox(ctx, &criv1.RemovePodSandboxRequest{PodSandboxId: id}); err2 != nil {
			return errors.Join(err, err2)
		}
		return nil
	}
	_, err := c.rs.RemovePodSandbox(ctx, &criv1.RemovePodSandboxRequest{PodSandboxId: id})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}

func (c *grpcCRI) Close() error { return c.conn.Close() }
