package phase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"kubebundle/bundle"
	"kubebundle/bundle/needs"
	"kubebundle/installer/cluster"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// ExtraManifests applies the manifests that were put into the bundle: usually the pod network.
type ExtraManifests struct{}

// Name is ours.
func (ExtraManifests) Name() string { return "extra-manifests" }

// Plan reads them from the payload.
func (ExtraManifests) Plan(ctx context.Context, s *State, _ host.Reader) ([]step.Step, error) {
	objs, err := s.extraObjects(ctx)
	if err != nil || len(objs) == 0 {
		return nil, err
	}
	return []step.Step{step.Objects{What: "the bundle's manifests " + strings.Join(manifestNames(s), ", "), List: objs}}, nil
}

func manifestNames(s *State) []string {
	c, err := s.contract()
	if err != nil {
		return nil
	}
	var out []string
	for _, p := range needs.Manifests(c) {
		out = append(out, path.Base(p))
	}
	return out
}

// extraObjects are the objects of the bundle's manifests, in the order in which they must be applied.
func (s *State) extraObjects(ctx context.Context) ([]runtime.Object, error) {
	files, err := s.extraManifests(ctx)
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	for _, f := range files {
		all.WriteString("---\n")
		all.Write(f.data)
		all.WriteString("\n")
	}
	list, err := cluster.ParseManifest(all.Bytes())
	if err != nil {
		return nil, fmt.Errorf("read the bundle's manifests: %w", err)
	}
	objs := make([]runtime.Object, 0, len(list))
	for _, u := range list {
		objs = append(objs, u)
	}
	return objs, nil
}

// manifest is one file of the bundle's manifests.
type manifest struct {
	path string
	data []byte
}

// extraManifests reads the bundle's manifests, once.
func (s *State) extraManifests(ctx context.Context) ([]manifest, error) {
	if s.manifests != nil {
		return s.manifests, nil
	}
	c, err := s.contract()
	if err != nil {
		return nil, err
	}
	paths := needs.Manifests(c)
	if len(paths) == 0 {
		return nil, nil
	}
	if s.Bundle == nil {
		return nil, errors.New("read the bundle's manifests: no bundle at hand")
	}
	files, err := s.Bundle.ReadFiles(ctx, paths...)
	if err != nil {
		return nil, fmt.Errorf("read the bundle's manifests: %w", err)
	}
	for _, p := range paths {
		s.manifests = append(s.manifests, manifest{p, files[p]})
	}
	return s.manifests, nil
}

// missingImages lists what the cluster starts and the bundle lacks: what the version needs and what the manifests name, by the
// rules of `bundler verify`.
func (s *State) missingImages(ctx context.Context) ([]bundle.Need, error) {
	c, err := s.contract()
	if err != nil {
		return nil, err
	}
	found, err := needs.Release(c)
	if err != nil {
		return nil, err
	}
	all := found.Needs
	files, err := s.extraManifests(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		found, err := needs.Scan(f.path, f.data)
		if err != nil {
			return nil, err
		}
		all = append(all, found.Needs...)
	}
	var missing *bundle.MissingImages
	if errors.As(c.VerifyComplete(all), &missing) {
		return missing.Needs, nil
	}
	return nil, nil
}
