package phase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"kubebundle/bundle"
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

// manifestFiles are the contract's manifests.
func manifestFiles(s *State) []bundle.File {
	c, err := s.contract()
	if err != nil {
		return nil
	}
	var out []bundle.File
	for _, f := range c.Files {
		if strings.HasPrefix(f.Path, "manifests/") {
			out = append(out, f)
		}
	}
	return out
}

func manifestNames(s *State) []string {
	var out []string
	for _, f := range manifestFiles(s) {
		out = append(out, path.Base(f.Path))
	}
	return out
}

// extraObjects are the objects of the bundle's manifests, in the order in which they must be applied.
func (s *State) extraObjects(ctx context.Context) ([]runtime.Object, error) {
	files := manifestFiles(s)
	if s.ExtraObjects == nil && len(files) > 0 {
		data, err := readManifests(ctx, s.Bundle, files)
		if err != nil {
			return nil, fmt.Errorf("read the bundle's manifests: %w", err)
		}
		s.ExtraObjects = data
	}
	list, err := cluster.ParseManifest(s.ExtraObjects)
	if err != nil {
		return nil, fmt.Errorf("read the bundle's manifests: %w", err)
	}
	objs := make([]runtime.Object, 0, len(list))
	for _, u := range list {
		objs = append(objs, u)
	}
	return objs, nil
}

// readManifests takes the files out of one pass over the payload, which it leaves as soon as it has them: files come first.
func readManifests(ctx context.Context, b *bundle.Bundle, files []bundle.File) ([]byte, error) {
	if b == nil {
		return nil, errors.New("no bundle at hand")
	}
	p, err := b.Payload(ctx)
	if err != nil {
		return nil, err
	}
	defer p.Close() //nolint:errcheck // only read
	var out bytes.Buffer
	for left := len(files); left > 0; {
		e, err := p.Next()
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		if e.Kind != bundle.KindFile || !strings.HasPrefix(e.Path, "manifests/") {
			continue
		}
		out.WriteString("---\n")
		if _, err := io.Copy(&out, p); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Path, err)
		}
		out.WriteString("\n")
		left--
	}
	return out.Bytes(), nil
}

// missingImages lists the images of pod templates in objs that the contract does not have, sorted.
func missingImages(objs []runtime.Object, c *bundle.Contract) []string {
	have := map[string]bool{}
	for _, img := range c.Images {
		have[normalRef(img.Ref)] = true
	}
	missing := map[string]bool{}
	for _, o := range objs {
		if u, ok := o.(*unstructured.Unstructured); ok {
			walkImages(u.Object, func(ref string) {
				if !have[normalRef(ref)] {
					missing[ref] = true
				}
			})
		}
	}
	var out []string
	for ref := range missing {
		out = append(out, ref)
	}
	slices.Sort(out)
	return out
}

// walkImages finds containers and initContainers wherever they stand: in a Pod, a template, a template of a template.
func walkImages(v any, found func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			if list, ok := child.([]any); ok && (k == "containers" || k == "initContainers") {
				for _, c := range list {
					if m, ok := c.(map[string]any); ok {
						if ref, ok := m["image"].(string); ok && ref != "" {
							found(ref)
						}
					}
				}
			}
			walkImages(child, found)
		}
	case []any:
		for _, child := range v {
			walkImages(child, found)
		}
	}
}

// normalRef is the full form of a reference: "flannel/flannel:v1" is docker.io/flannel/flannel:v1.
func normalRef(ref string) string {
	n, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.TagNameOnly(n).String()
}
