package builder

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/distribution/reference"

	"kubebundle/bundle"
	"kubebundle/bundle/needs"
	"kubebundle/release"
)

// Plan is what a build would do.
type Plan struct {
	KubernetesVersion string           `json:"kubernetesVersion"`
	Arch              release.Arch     `json:"arch"`
	Output            string           `json:"output"`
	Images            []PlannedImage   `json:"images"`
	Binaries          []release.Binary `json:"binaries"`
	Manifests         []Manifest       `json:"manifests"`
	Files             []PlannedFile    `json:"files"` // included, by destination
	Warnings          []string         `json:"warnings,omitempty"`

	req      Request
	rel      *release.Release
	gathered *gathered // by Gather
}

// PlannedImage is an image that will be packed.
type PlannedImage struct {
	Ref       string   `json:"ref"`
	Component string   `json:"component,omitempty"`
	Pull      []string `json:"pull"` // addresses, best first, before mirrors
	By        []string `json:"by"`   // who needs it
	// AllowForeign lets programs for other architectures pass in its layers.
	AllowForeign bool `json:"allowForeignArch,omitempty"`
}

// Plan works out what a request means and finds its mistakes. All of them are reported together.
func (b *Builder) Plan(ctx context.Context, req Request) (*Plan, error) {
	rel, err := release.Find(req.Version, release.Options{
		ImageRepository: req.ImageRepository, KubeDNS: req.KubeDNS, AllowUnknown: req.AllowUnknown,
	})
	if err != nil {
		return nil, err
	}
	p := &Plan{
		KubernetesVersion: release.Tag(req.Version), Arch: req.Arch, Output: req.Output, Manifests: []Manifest{}, Files: []PlannedFile{},
		Warnings: rel.Warnings(), req: req, rel: rel,
	}
	if p.Binaries, err = rel.Binaries(req.Arch); err != nil {
		return nil, err
	}
	if req.NoCrictl {
		p.Binaries = slices.DeleteFunc(p.Binaries, func(x release.Binary) bool { return x.Name == "crictl" })
	}
	if err := p.addRelease(); err != nil {
		return nil, err
	}
	var errs []error
	for _, c := range slices.Sorted(maps.Keys(req.VirtualIP)) {
		errs = append(errs, p.addVirtualIP(c, req.VirtualIP[c]))
	}
	for i, source := range req.Manifests {
		m, err := b.readManifest(ctx, i, source)
		errs = append(errs, err)
		p.addManifest(m)
	}
	for i, c := range req.Charts {
		m, err := b.readChart(ctx, len(req.Manifests)+i, c, &req)
		errs = append(errs, err)
		p.addManifest(m)
	}
	for _, ref := range req.Images {
		if _, err := reference.ParseDockerRef(ref); err != nil {
			errs = append(errs, fmt.Errorf("image %q: %w", ref, err))
			continue
		}
		p.addImage(ref, "--image")
	}
	for _, ref := range req.AllowForeign {
		errs = append(errs, p.allowForeign(ref))
	}
	errs = append(errs, p.addIncludes(req.Includes))
	if req.Installer != "" {
		if err := checkInstaller(req.Installer, req.Arch); err != nil {
			errs = append(errs, err)
		} else if _, err := installFile(req.Installer, req.TrustedKeys); err != nil {
			errs = append(errs, &InstallerError{Path: req.Installer, Arch: req.Arch, Err: err})
		}
	}
	return p, errors.Join(errs...)
}

// addManifest adds a manifest that could be read, with its images.
func (p *Plan) addManifest(m *Manifest) {
	if m == nil {
		return
	}
	p.Manifests = append(p.Manifests, *m)
	p.Warnings = append(p.Warnings, m.found.Warnings...)
	for _, n := range m.found.Needs {
		p.addImage(n.Ref, n.By)
	}
}

// addRelease adds Kubernetes' own images, under the very names that its pods carry.
func (p *Plan) addRelease() error {
	images, err := p.rel.Images(p.Arch)
	if err != nil {
		return err
	}
	for _, img := range images {
		p.Images = append(p.Images, PlannedImage{
			Ref: img.Ref, Component: string(img.Component), Pull: img.Pull, By: []string{"Kubernetes " + p.KubernetesVersion},
		})
	}
	return nil
}

// addVirtualIP adds an image that is no part of Kubernetes, under what it is for.
func (p *Plan) addVirtualIP(component, ref string) error {
	if _, err := reference.ParseDockerRef(ref); err != nil {
		return fmt.Errorf("image %q of %s: %w", ref, component, err)
	}
	name := canonical(ref)
	p.Images = append(p.Images, PlannedImage{Ref: name, Component: component, Pull: []string{name}, By: []string{"--vip"}})
	return nil
}

// addImage adds an image of the user's, spelled as a container runtime stores it.
func (p *Plan) addImage(ref, by string) {
	name := canonical(ref)
	for i := range p.Images {
		if canonical(p.Images[i].Ref) == name {
			if !slices.Contains(p.Images[i].By, by) {
				p.Images[i].By = append(p.Images[i].By, by)
			}
			return
		}
	}
	p.Images = append(p.Images, PlannedImage{Ref: name, Pull: []string{name}, By: []string{by}})
}

// allowForeign lets an image pass that holds programs for other machines. Kubernetes' own images never do.
func (p *Plan) allowForeign(ref string) error {
	name := canonical(ref)
	for i := range p.Images {
		img := &p.Images[i]
		switch {
		case canonical(img.Ref) != name:
		case img.Component != "":
			return fmt.Errorf("foreign programs in %s: %w: it is an image of Kubernetes itself", ref, release.ErrOption)
		default:
			img.AllowForeign = true
			return nil
		}
	}
	return fmt.Errorf("foreign programs in %s: %w: no such image is packed", ref, release.ErrOption)
}

func canonical(ref string) string {
	n, err := reference.ParseDockerRef(ref)
	if err != nil {
		return ref
	}
	return n.String()
}

// complete checks a contract by the same rules as verify, so that no bundle is written that verify would refuse.
func (p *Plan) complete(c *bundle.Contract) error {
	found, err := needs.Release(c)
	if err != nil {
		return err
	}
	all := found.Needs
	for _, m := range p.Manifests {
		all = append(all, m.found.Needs...)
	}
	return c.VerifyComplete(all)
}

// warnings of the plan, and what looks like an image in the manifests and is not packed.
func (p *Plan) warnings(c *bundle.Contract) []string {
	out := slices.Clone(p.Warnings)
	for _, m := range p.Manifests {
		out = append(out, m.found.Unsure(c)...)
	}
	return out
}
