package needs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"kubebundle/bundle"
	"kubebundle/release"
)

// Of finds what an installation from an existing bundle can ask for: the images of its Kubernetes version, and those of its
// packed manifests. It does not trust the contract's list of images, only its version and options.
func Of(ctx context.Context, b *bundle.Bundle) (Found, error) {
	all, err := Release(b.Contract())
	if err != nil {
		return Found{}, err
	}
	paths := Manifests(b.Contract())
	files, err := b.ReadFiles(ctx, paths...)
	if err != nil {
		return Found{}, err
	}
	for _, p := range paths {
		s, err := Scan(p, files[p])
		if err != nil {
			return Found{}, fmt.Errorf("look for images: %w", err)
		}
		all.add(s)
	}
	return all, nil
}

// Release finds what a contract's Kubernetes version asks for, every add-on chosen.
func Release(c *bundle.Contract) (Found, error) {
	v, err := release.Parse(c.KubernetesVersion)
	if err != nil {
		return Found{}, err
	}
	kubeDNS := slices.ContainsFunc(c.Images, func(m bundle.Image) bool { return m.Component == string(release.KubeDNS) })
	rel, err := release.Find(v, release.Options{ImageRepository: c.ImageRepository, KubeDNS: kubeDNS, AllowUnknown: true})
	if err != nil {
		return Found{}, err
	}
	images, err := rel.Images(release.Arch(c.Arch))
	if err != nil {
		return Found{}, err
	}
	var all Found
	for _, img := range images {
		all.Needs = append(all.Needs, bundle.Need{Ref: img.Ref, By: "Kubernetes " + c.KubernetesVersion + " (" + string(img.Component) + ")"})
	}
	return all, nil
}

// Manifests lists the payload paths of the manifests that `init` applies, in order.
func Manifests(c *bundle.Contract) []string {
	var paths []string
	for _, f := range c.Files {
		if isManifest(f.Path) {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

func isManifest(path string) bool { return strings.HasPrefix(path, "manifests/") }

// Unsure lists what looks like an image and is not in the contract, as warnings.
func (f Found) Unsure(c *bundle.Contract) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range f.Maybe {
		if _, ok := c.Image(n.Ref); !ok && !seen[n.Ref] {
			seen[n.Ref] = true
			out = append(out, fmt.Sprintf("%s: %s looks like an image, and is not packed: name it with --image if something starts it", n.By, n.Ref))
		}
	}
	return out
}

func (f *Found) add(g Found) {
	f.Needs = append(f.Needs, g.Needs...)
	f.Maybe = append(f.Maybe, g.Maybe...)
	f.Warnings = append(f.Warnings, g.Warnings...)
}
