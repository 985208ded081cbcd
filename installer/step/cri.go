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

// CRI is what reset, and whoever exchanges static pods, need from a container runtime: its pods.
type CRI interface {
	PodSandboxes(ctx context.Context) (ids []string, err error)
	// RemovePodSandbox stops and removes a pod with its containers.
	RemovePodSandbox(ctx context.Context, id string) error
	// EndPod stops a pod, named as the kubelet names it: its programs get some time to end, then they are killed. What is left of it is the kubelet's
	// to remove. A pod that is not there has ended.
	EndPod(ctx context.Context, namespace, name string, grace time.Duration) error
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

// openCRI opens what drives the pods of a kubelet with this socket.
func openCRI(ctx context.Context, t *Target, socket string) (CRI, error) {
	if t.CRI != nil {
		return t.CRI(ctx, socket)
	}
	if IsDockershim(socket) {
		r, err := docker.New(ctx, docker.DefaultSocket, docker.Options{Logger: t.Log})
		if err != nil {
			return nil, err
		}
		return r, nil
	}
	return dialCRI(socket)
}

// Satisfied if the runtime has no pods.
func (s RemoveContainers) Satisfied(ctx context.Context, t *Target) (bool, error) {
	c, err := openCRI(ctx, t, s.Socket)
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
	c, err := openCRI(ctx, t, s.Socket)
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

// Labels that the kubelet gives its pods (k8s.io/kubelet/pkg/types, since v1.3).
const (
	podNameLabel      = "io.kubernetes.pod.name"
	podNamespaceLabel = "io.kubernetes.pod.namespace"
)

// EndPod stops the containers first: containerd gives none of them any time when it is told to stop their sandbox.
func (c *grpcCRI) EndPod(ctx context.Context, namespace, name string, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, grace+criStopTimeout)
	defer cancel()
	pods := &criv1.ListPodSandboxResponse{}
	err := c.call(ctx, "ListPodSandbox", &criv1.ListPodSandboxRequest{Filter: &criv1.PodSandboxFilter{
		State:         &criv1.PodSandboxStateValue{State: criv1.PodSandboxState_SANDBOX_READY},
		LabelSelector: map[string]string{podNamespaceLabel: namespace, podNameLabel: name},
	}}, pods)
	if err != nil {
		return err
	}
	for _, p := range pods.Items {
		ctrs := &criv1.ListContainersResponse{}
		if err := c.call(ctx, "ListContainers", &criv1.ListContainersRequest{Filter: &criv1.ContainerFilter{PodSandboxId: p.Id}}, ctrs); err != nil {
			return err
		}
		for _, ctr := range ctrs.Containers {
			if ctr.State == criv1.ContainerState_CONTAINER_EXITED {
				continue
			}
			stop := &criv1.StopContainerRequest{ContainerId: ctr.Id, Timeout: int64(max(grace, time.Second).Seconds())}
			if err := c.call(ctx, "StopContainer", stop, &criv1.StopContainerResponse{}); err != nil && status.Code(err) != codes.NotFound {
				return err
			}
		}
		err := c.call(ctx, "StopPodSandbox", &criv1.StopPodSandboxRequest{PodSandboxId: p.Id}, &criv1.StopPodSandboxResponse{})
		if err != nil && status.Code(err) != codes.NotFound {
			return err
		}
	}
	return nil
}

// call knows that v1alpha2, which is all that old runtimes speak, has the same messages on the wire.
func (c *grpcCRI) call(ctx context.Context, method string, in, out any) error {
	err := c.conn.Invoke(ctx, "/runtime.v1.RuntimeService/"+method, in, out)
	if status.Code(err) == codes.Unimplemented {
		return c.conn.Invoke(ctx, "/runtime.v1alpha2.RuntimeService/"+method, in, out)
	}
	return err
}

func (c *grpcCRI) Close() error { return c.conn.Close() }
