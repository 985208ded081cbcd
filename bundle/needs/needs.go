package needs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"kubebundle/bundle"
	"kubebundle/release"
)

// Of lists every image that an installation from an existing bundle can ask for: those of its Kubernetes version,
// and those of its packed manifests. It does not trust the contract's list of images, only its version and options.
func Of(ctx context.Context, b *bundle.Bundle) ([]bundle.Need, error) {
	c := b.Contract()
	v, err := release.Parse(c.KubernetesVersion)
	if err != nil {
		return nil, err
	}
	kubeDNS := slices.ContainsFunc(c.Images, func(m bundle.Image) bool { return m.Component == string(release.KubeDNS) })
	rel, err := release.Find(v, release.Options{ImageRepository: c.ImageRepository, KubeDNS: kubeDNS, AllowUnknown: true})
	if err != nil {
		return nil, err
	}
	images, err := rel.Images(release.Arch(c.Arch))
	if err != nil {
		return nil, err
	}
	all := make([]bundle.Need, 0, len(images))
	for _, img := range images {
		all = append(all, bundle.Need{Ref: img.Ref, By: "Kubernetes " + c.KubernetesVersion + " (" + string(img.Component) + ")"})
	}
	var paths []string
	for _, f := range c.Files {
		if strings.HasPrefix(f.Path, "manifests/") {
			paths = append(paths, f.Path)
		}
	}
	files, err := b.ReadFiles(ctx, paths...)
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		s, err := Scan(p, files[p])
		if err != nil {
			return nil, fmt.Errorf("look for images: %w", err)
		}
		all = append(all, s.Needs...)
	}
	return all, nil
}
