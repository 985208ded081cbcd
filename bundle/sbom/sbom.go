package sbom

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/package-url/packageurl-go"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"

	"kubebundle/bundle"
)

// Write writes the SPDX document of a bundle as JSON. tool is the program that does, with its version. Errors that speak
// of the bundle's content are *bundle.CorruptError.
func Write(ctx context.Context, w io.Writer, b *bundle.Bundle, tool string) error {
	inv, err := collect(ctx, b)
	if err != nil {
		return fmt.Errorf("list the content of %s: %w", b.Path(), err)
	}
	return spdxjson.Write(render(b, inv, tool), w, spdxjson.Indent("  "), spdxjson.EscapeHTML(false))
}

// render turns what was found into a document.
func render(b *bundle.Bundle, inv *inventory, tool string) *spdx.Document {
	c := b.Contract()
	sum := sha256.Sum256(b.ContractBytes())
	d := newDocument(&spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName:      c.Name(),
		DocumentNamespace: "https://spdx.org/spdxdocs/" + c.Name() + "-" + hex.EncodeToString(sum[:]),
		CreationInfo: &spdx.CreationInfo{
			Created:  inv.modTime.UTC().Format(time.RFC3339),
			Creators: []common.Creator{{CreatorType: "Tool", Creator: tool}},
		},
	})
	top := d.add(&spdx.Package{
		PackageName: c.Name(), PackageSPDXIdentifier: "Bundle", PackageVersion: c.KubernetesVersion, PrimaryPackagePurpose: "ARCHIVE",
		PackageChecksums: sha256Of("sha256:" + hex.EncodeToString(sum[:])), PackageComment: "the checksum is that of " + bundle.ContractName,
	})
	d.relate("DOCUMENT", common.TypeRelationshipDescribe, top)
	for _, list := range [][]bundle.File{c.Outer, c.Files} {
		for _, f := range list {
			d.relate(top, common.TypeRelationshipContains, d.file(f, inv.files[f.Path]))
		}
	}
	for i := range c.Images {
		d.relate(top, common.TypeRelationshipContains, d.image(c, &c.Images[i], inv))
	}
	return d.sorted()
}

// file is a file of the bundle, beside the payload or in it.
func (d *document) file(f bundle.File, p *program) common.ElementID {
	pkg := &spdx.Package{
		PackageName: f.Path, PackageSPDXIdentifier: d.id("File", f.Path, f.Path), PackageFileName: f.Path,
		PackageDownloadLocation: f.Source, PackageChecksums: sha256Of(f.SHA256), PrimaryPackagePurpose: "FILE",
	}
	if p == nil {
		return d.add(pkg)
	}
	pkg.PrimaryPackagePurpose = "APPLICATION"
	return d.program(pkg, p)
}

// program adds a package for a program, and its modules.
func (d *document) program(pkg *spdx.Package, p *program) common.ElementID {
	if p.build == nil {
		pkg.PackageComment = "no Go build information in it"
		return d.add(pkg)
	}
	pkg.PackageComment = strings.TrimSpace("built with " + p.build.GoVersion + " from " + p.build.Path)
	if v := p.build.Main.Version; v != "" && v != "(devel)" {
		pkg.PackageVersion = v
	}
	id := d.add(pkg)
	for _, m := range modules(p.build) {
		d.relate(m.addTo(d), common.TypeRelationshipDependencyOf, id)
	}
	return id
}

// addTo adds a module once, however many programs have it.
func (m module) addTo(d *document) common.ElementID {
	name := m.path + "@" + m.version
	pkg := &spdx.Package{
		PackageName: m.path, PackageSPDXIdentifier: d.id("GoModule", name, name), PackageVersion: m.version, PrimaryPackagePurpose: "LIBRARY",
	}
	if m.sum != "" {
		pkg.PackageComment = "go.sum " + m.sum
	}
	version := m.version
	if version == "(devel)" {
		version = ""
	}
	ns, base := "", m.path
	if i := strings.LastIndexByte(m.path, '/'); i >= 0 {
		ns, base = m.path[:i], m.path[i+1:]
	}
	pkg.PackageExternalReferences = purl(packageurl.TypeGolang, ns, base, version, nil)
	return d.add(pkg)
}

// image is an image with what its layers have.
func (d *document) image(c *bundle.Contract, m *bundle.Image, inv *inventory) common.ElementID {
	pkg := &spdx.Package{
		PackageName: m.Ref, PackageSPDXIdentifier: d.id("Image", m.Ref, m.Ref), PrimaryPackagePurpose: "CONTAINER",
		PackageChecksums: sha256Of(m.Manifest.Digest), PackageComment: "the checksum is that of the manifest for " + c.OS + "/" + c.Arch,
	}
	if named, err := reference.ParseDockerRef(m.Ref); err == nil {
		pkg.PackageName = named.Name()
		q := map[string]string{"repository_url": named.Name(), "arch": c.Arch}
		if t, ok := named.(reference.Tagged); ok {
			pkg.PackageVersion = t.Tag()
			q["tag"] = t.Tag()
		}
		base := named.Name()[strings.LastIndexByte(named.Name(), '/')+1:]
		pkg.PackageExternalReferences = purl(packageurl.TypeOCI, "", base, m.Manifest.Digest, q)
	}
	id := d.add(pkg)
	var status []deb
	distro := "debian"
	for _, l := range m.Layers {
		info := inv.layers[l.DiffID]
		for i := range info.programs {
			p := &info.programs[i]
			d.relate(id, common.TypeRelationshipContains, d.program(&spdx.Package{
				PackageName: p.path, PackageSPDXIdentifier: d.id("Program", p.path, p.path+" "+p.sha256), PackageFileName: p.path,
				PackageChecksums: sha256Of("sha256:" + p.sha256), PrimaryPackagePurpose: "APPLICATION",
			}, p))
		}
		if info.osID != "" {
			distro = info.osID
		}
		if info.hasDpkg { // one file: an upper layer's takes the place of a lower one's
			status = info.dpkg
		}
	}
	for _, l := range m.Layers {
		status = append(status[:len(status):len(status)], inv.layers[l.DiffID].dpkgD...)
	}
	for _, p := range status {
		d.relate(id, common.TypeRelationshipContains, p.addTo(d, distro))
	}
	return id
}

func (p deb) addTo(d *document, distro string) common.ElementID {
	name := distro + "/" + p.name + "@" + p.version + " " + p.arch
	return d.add(&spdx.Package{
		PackageName: p.name, PackageSPDXIdentifier: d.id("Deb", p.name, name), PackageVersion: p.version, PrimaryPackagePurpose: "LIBRARY",
		PackageExternalReferences: purl(packageurl.TypeDebian, distro, p.name, p.version, map[string]string{"arch": p.arch}),
	})
}

func purl(kind, namespace, name, version string, qualifiers map[string]string) []*spdx.PackageExternalReference {
	u := packageurl.NewPackageURL(kind, namespace, name, version, packageurl.QualifiersFromMap(qualifiers), "")
	return []*spdx.PackageExternalReference{{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: u.ToString()}}
}

func sha256Of(digest string) []common.Checksum {
	return []common.Checksum{{Algorithm: common.SHA256, Value: strings.TrimPrefix(digest, "sha256:")}}
}
