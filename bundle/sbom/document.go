package sbom

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// document is an SPDX document in the making: everything once, and sorted at the end.
type document struct {
	doc       *spdx.Document
	packages  map[common.ElementID]bool
	relations map[relation]bool
}

type relation struct {
	from common.ElementID
	kind string
	to   common.ElementID
}

func newDocument(doc *spdx.Document) *document {
	return &document{doc: doc, packages: map[common.ElementID]bool{}, relations: map[relation]bool{}}
}

const noAssertion = "NOASSERTION"

// add adds a package, unless there is one with its identifier, and fills in what nobody knows.
func (d *document) add(p *spdx.Package) common.ElementID {
	id := p.PackageSPDXIdentifier
	if d.packages[id] {
		return id
	}
	d.packages[id] = true
	if p.PackageDownloadLocation == "" {
		p.PackageDownloadLocation = noAssertion
	}
	p.PackageLicenseConcluded, p.PackageLicenseDeclared, p.PackageCopyrightText = noAssertion, noAssertion, noAssertion
	d.doc.Packages = append(d.doc.Packages, p)
	return id
}

func (d *document) relate(from common.ElementID, kind string, to common.ElementID) {
	d.relations[relation{from, kind, to}] = true
}

var oddIDRE = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// id makes an identifier out of a name for people and the whole of what makes the thing what it is: SPDX allows letters,
// digits, dots and dashes only, so names alone could meet.
func (*document) id(kind, name, whole string) common.ElementID {
	sum := sha256.Sum256([]byte(kind + "\x00" + whole))
	name = strings.Trim(oddIDRE.ReplaceAllString(name, "-"), "-")
	if len(name) > 64 {
		name = name[len(name)-64:]
	}
	return common.ElementID(kind + "-" + name + "-" + hex.EncodeToString(sum[:6]))
}

func (d *document) sorted() *spdx.Document {
	slices.SortFunc(d.doc.Packages, func(a, b *spdx.Package) int {
		return cmp.Compare(a.PackageSPDXIdentifier, b.PackageSPDXIdentifier)
	})
	for r := range d.relations {
		d.doc.Relationships = append(d.doc.Relationships, &spdx.Relationship{
			RefA: common.MakeDocElementID("", string(r.from)), RefB: common.MakeDocElementID("", string(r.to)), Relationship: r.kind,
		})
	}
	slices.SortFunc(d.doc.Relationships, func(a, b *spdx.Relationship) int {
		return cmp.Or(cmp.Compare(a.RefA.ElementRefID, b.RefA.ElementRefID), cmp.Compare(a.Relationship, b.Relationship), cmp.Compare(a.RefB.ElementRefID, b.RefB.ElementRefID))
	})
	return d.doc
}
