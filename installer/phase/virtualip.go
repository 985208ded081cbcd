package phase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/installer/cluster"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/release"
)

// VirtualIPReader is what a Discoverer may also be: then a further control plane takes part in the cluster's virtual IP.
type VirtualIPReader interface {
	// VirtualIP reads the ConfigMap of that name in kube-system; nil if there is none.
	VirtualIP(ctx context.Context, info *cluster.ClusterInfo, name string) (*corev1.ConfigMap, error)
}

// NoVirtualIPImageError says that the bundle cannot give a virtual IP.
type NoVirtualIPImageError struct{ Component string }

func (e *NoVirtualIPImageError) Error() string {
	return "make the virtual IP: the bundle has no image of " + e.Component
}

// Hint says how a bundle gets it.
func (*NoVirtualIPImageError) Hint() string {
	return "build the bundle with: bundler build --vip"
}

// VirtualIP lets this node hold the address that the control planes share, if they share one.
type VirtualIP struct{}

// Name is ours: kubeadm leaves such an address to others.
func (VirtualIP) Name() string { return "virtual-ip" }

// Plan writes the configurations and the static pods, which the kubelet starts with the others: the cluster's endpoint answers when they do.
func (VirtualIP) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n, v, err := s.virtualIPOf(ctx, r)
	if err != nil || v == nil {
		return nil, err
	}
	for _, comp := range []string{release.Keepalived, release.HAProxy} {
		if c.Images[comp] == "" {
			return nil, &NoVirtualIPImageError{Component: comp}
		}
	}
	f, err := s.facts(ctx, r)
	if err != nil {
		return nil, err
	}
	iface := f.Interfaces[n.AdvertiseAddress.String()]
	if iface == "" {
		return nil, fmt.Errorf("make the virtual IP: no interface of this host has its address %s", n.AdvertiseAddress)
	}
	files, err := manifests.VirtualIPFiles(c, n, v, iface)
	if err != nil {
		return nil, err
	}
	steps := []step.Step{staticPodDir()}
	for _, f := range files {
		steps = append(steps, file(f))
	}
	return steps, nil
}

// virtualIPOf is the address that was asked for, or that the cluster has; nil if there is none.
func (s *State) virtualIPOf(ctx context.Context, r host.Reader) (*manifests.Cluster, *manifests.Node, *manifests.VirtualIP, error) {
	if s.Join == nil {
		c, n, err := s.initCluster(ctx, r)
		if err != nil || s.Init.VirtualIP == nil {
			return nil, nil, nil, err
		}
		v := s.Init.VirtualIP
		return c, n, &manifests.VirtualIP{Address: v.Address, Port: v.Port, RouterID: v.RouterID}, nil
	}
	if s.Cluster == nil || s.Node == nil {
		return nil, nil, nil, errDiscoverFirst
	}
	if s.virtualIP == nil {
		look, ok := s.Discovery.(VirtualIPReader)
		if !ok {
			return nil, nil, nil, nil
		}
		cm, err := look.VirtualIP(ctx, s.ClusterInfo, manifests.VirtualIPConfigMap)
		if err != nil || cm == nil {
			return nil, nil, nil, err
		}
		if s.virtualIP, err = manifests.ParseVirtualIP(cm); err != nil {
			return nil, nil, nil, err
		}
	}
	return s.Cluster, s.Node, s.virtualIP, nil
}

// ownVirtualIP finds the two static pods that an earlier run has left.
func (in *inspection) ownVirtualIP(ctx context.Context) {
	steps, err := VirtualIP{}.Plan(ctx, in.s, in.r)
	var none *NoVirtualIPImageError
	if errors.As(err, &none) {
		in.failAdvise("VirtualIP", none.Hint(), "%v", err)
		return
	}
	if err != nil {
		in.failAdvise("VirtualIP", "", "%v", err)
		return
	}
	for _, st := range steps {
		f, ok := st.(step.File)
		if !ok || path.Dir(f.Path) != manifestsDir {
			continue
		}
		have, err := in.r.ReadFile(f.Path)
		in.ownManifests[strings.TrimSuffix(path.Base(f.Path), ".yaml")] = err == nil && bytes.Equal(have, f.Data)
	}
}

// UploadVirtualIP keeps the address in the cluster, with the API servers that those who join later shall know.
type UploadVirtualIP struct{}

// Name is ours.
func (UploadVirtualIP) Name() string { return "upload-virtual-ip" }

// Plan adds this node's API server to what is there.
func (UploadVirtualIP) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	_, n, v, err := s.virtualIPOf(ctx, r)
	if err != nil || v == nil {
		return nil, err
	}
	if n.AdvertiseAddress == nil {
		return nil, errors.New("keep the virtual IP: the node's address is not known")
	}
	return []step.Step{step.Objects{What: "virtual IP " + v.Endpoint(), List: manifests.VirtualIPObjects(n, v)}}, nil
}
