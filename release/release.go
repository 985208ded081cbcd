package release

import (
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"k8s.io/apimachinery/pkg/util/version"
)

// Arch is a Go architecture name as Kubernetes publishes it: amd64, arm, arm64, ppc64le, s390x.
type Arch string

// Options choose among what a release offers.
type Options struct {
	ImageRepository string // "" for the version's own default
	KubeDNS         bool   // kube-dns instead of CoreDNS, where it existed
	AllowUnknown    bool   // a version newer than the catalog goes on with the newest minor's rules
}

// Release is one patch version of Kubernetes with its options applied.
type Release struct {
	Version  *version.Version
	opts     Options
	minor    *minorFact
	state    patchState
	warnings []string
}

// Parse reads "v1.34.4" or "1.34.4". All three numbers are needed: nothing here asks a server what the latest patch of a minor is.
func Parse(s string) (*version.Version, error) {
	v, err := version.ParseSemantic(s)
	if err != nil {
		return nil, fmt.Errorf("%w %q: want all three numbers, as in v1.34.4 (`bundler versions` lists the known ones)", ErrUnknownVersion, s)
	}
	return v, nil
}

// Find looks a version up. The error wraps ErrUnknownVersion or ErrOption.
func Find(v *version.Version, o Options) (*Release, error) {
	c, err := loadCatalog()
	if err != nil {
		return nil, err
	}
	r := &Release{Version: v, opts: o}
	if r.minor, r.warnings, err = c.find(v, o.AllowUnknown); err != nil {
		return nil, err
	}
	// A patch past the last known one, and every patch of a minor that is not known, follows the newest rules that are.
	r.state = r.minor.at(r.minor.LastPatch)
	if v.Major() == 1 && v.Minor() == r.minor.number {
		r.state = r.minor.at(min(v.Patch(), r.minor.LastPatch))
	}
	if o.KubeDNS && r.minor.KubeDNS == nil {
		return nil, fmt.Errorf("kube-dns in Kubernetes %s: %w: v1.20 was the last version whose kubeadm could deploy it", Tag(v), ErrOption)
	}
	r.opts.ImageRepository = strings.TrimSuffix(o.ImageRepository, "/")
	if err := checkRepository(r.opts.ImageRepository); err != nil {
		return nil, err
	}
	return r, nil
}

// find picks the minor whose rules hold for v, with warnings about what is only assumed.
func (c *catalogFile) find(v *version.Version, allow bool) (*minorFact, []string, error) {
	unknown := func(reason string, canAllow bool) error {
		return &VersionError{
			Version: Tag(v), Oldest: "v" + c.oldest().Minor + ".0", Newest: c.newest().lastVersion(), Reason: reason, Allow: canAllow,
		}
	}
	if v.Major() < 1 || v.Major() == 1 && v.Minor() < c.oldest().number {
		return nil, nil, unknown("it is too old", false)
	}
	m := c.newest()
	known := v.Major() == 1 && v.Minor() <= m.number
	if known {
		m = c.minor(v.Minor())
	}
	var warnings []string
	if !known {
		if !allow {
			return nil, nil, unknown("it is newer than this program", true)
		}
		warnings = append(warnings, fmt.Sprintf("Kubernetes %s is newer than this program: the rules of %s are used", Tag(v), m.lastVersion()))
	}
	if v.PreRelease() != "" || v.BuildMetadata() != "" {
		if !allow {
			return nil, nil, unknown("it is not a final release", true)
		}
		if known {
			warnings = append(warnings, fmt.Sprintf("Kubernetes %s is not a final release: the rules of v%s are used", Tag(v), m.Minor))
		}
	}
	if known && v.Patch() > m.LastPatch {
		warnings = append(warnings, fmt.Sprintf("Kubernetes %s is newer than %s, the last patch of v%s that this program knows: its rules are used",
			Tag(v), m.lastVersion(), m.Minor))
	}
	return m, warnings, nil
}

// Tag is the image tag and download folder of a version: "v1.34.4".
func Tag(v *version.Version) string {
	return "v" + v.String()
}

// checkRepository accepts what can stand before "/kube-apiserver" in an image name.
func checkRepository(repo string) error {
	if repo == "" {
		return nil
	}
	if _, err := reference.ParseNormalizedNamed(repo + "/pause"); err != nil || strings.Contains(repo, "@") {
		return fmt.Errorf("image repository %q: %w: want HOST[:PORT][/PATH] in lower case, without scheme and tag", repo, ErrOption)
	}
	return nil
}

// Warnings tell what is assumed rather than known about this version, one sentence each.
func (r *Release) Warnings() []string { return slices.Clone(r.warnings) }

// Arches lists the architectures that this version was published for, sorted.
// Source: hack/lib/golang.sh of each minor; 32-bit arm ended with v1.26.
func (r *Release) Arches() []Arch { return slices.Clone(r.minor.Arches) }

// checkArch refuses an architecture that this version was never published for.
func (r *Release) checkArch(a Arch) error {
	if slices.Contains(r.minor.Arches, a) {
		return nil
	}
	e := &ArchError{Version: Tag(r.Version), Arch: a, Has: r.Arches()}
	minors, err := Minors()
	if err != nil {
		return err
	}
	for _, m := range minors { // oldest first
		if slices.Contains(m.Arches, a) {
			e.Last = m.Minor
		}
	}
	return e
}
