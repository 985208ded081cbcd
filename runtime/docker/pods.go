package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Labels that the kubelet's dockershim gives its containers (pkg/kubelet/dockershim of kubernetes 1.10 … 1.23: docker_service.go).
const (
	typeLabel    = "io.kubernetes.docker.type"
	typeSandbox  = "podsandbox"
	sandboxLabel = "io.kubernetes.sandbox.id"

	podNameLabel      = "io.kubernetes.pod.name"
	podNamespaceLabel = "io.kubernetes.pod.namespace"
)

// PodSandboxes lists the pods that a kubelet has made with its dockershim, running or not, by the ID of their sandbox container. It asks Docker,
// since dockershim is a part of the kubelet and has gone with it.
func (r *Runtime) PodSandboxes(ctx context.Context) ([]string, error) {
	ids, err := r.labelled(ctx, typeLabel+"="+typeSandbox)
	if err != nil {
		return nil, fmt.Errorf("list pods in docker: %w", err)
	}
	return ids, nil
}

// RemovePodSandbox kills and removes the containers of a pod with their anonymous volumes, its sandbox last, as kubeadm does
// (docker rm --force --volumes).
func (r *Runtime) RemovePodSandbox(ctx context.Context, id string) error {
	ids, err := r.labelled(ctx, sandboxLabel+"="+id)
	if err != nil {
		return fmt.Errorf("list containers of pod %.12s: %w", id, err)
	}
	var errs []error
	for _, c := range append(ids, id) {
		resp, err := r.do(ctx, http.MethodDelete, "/containers/"+c+"?force=1&v=1", nil)
		if err == nil {
			err = resp.Body.Close()
		}
		if s := (*statusError)(nil); errors.As(err, &s) && s.code == http.StatusNotFound {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("remove container %.12s: %w", c, err))
		}
	}
	return errors.Join(errs...)
}

// EndPod stops the containers of the pod that a kubelet's dockershim knows by this name, its sandbox last: they get some time to end, then they are
// killed.
func (r *Runtime) EndPod(ctx context.Context, namespace, name string, grace time.Duration) error {
	ids, err := r.labelled(ctx, typeLabel+"="+typeSandbox, podNamespaceLabel+"="+namespace, podNameLabel+"="+name)
	if err != nil {
		return err
	}
	for _, sandbox := range ids {
		ctrs, err := r.labelled(ctx, sandboxLabel+"="+sandbox)
		if err != nil {
			return err
		}
		for _, c := range append(ctrs, sandbox) {
			resp, err := r.do(ctx, http.MethodPost, "/containers/"+c+"/stop?t="+strconv.Itoa(int(max(grace, time.Second).Seconds())), nil)
			if err == nil {
				err = resp.Body.Close()
			}
			if s := (*statusError)(nil); errors.As(err, &s) && s.code == http.StatusNotFound {
				continue
			}
			if err != nil {
				return fmt.Errorf("stop container %.12s: %w", c, err)
			}
		}
	}
	return nil
}

// labelled lists containers with all of these labels, stopped ones too.
func (r *Runtime) labelled(ctx context.Context, labels ...string) ([]string, error) {
	filters, err := json.Marshal(map[string][]string{"label": labels})
	if err != nil {
		return nil, err
	}
	var list []struct {
		ID string `json:"Id"`
	}
	if err := r.get(ctx, "/containers/json?all=1&filters="+url.QueryEscape(string(filters)), &list); err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(list))
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids, nil
}
