package release

import (
	_ "embed" // the catalog
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"
)

//go:embed catalog.yaml
var catalogYAML []byte

// catalogFormat is the layout of catalog.yaml that this code reads.
const catalogFormat = 1

// Confidence says how a fact of the catalog is known.
type Confidence string

// The confidences, best first.
const (
	Verified Confidence = "verified"
	Table    Confidence = "table"
	Inferred Confidence = "inferred"
)

type catalogFile struct {
	Format int         `json:"format"`
	Minors []minorFact `json:"minors"`
}

type minorFact struct {
	Minor       string      `json:"minor"` // "1.34"
	LastPatch   uint        `json:"lastPatch"`
	Confidence  Confidence  `json:"confidence"`
	Arches      []Arch      `json:"arches"`
	ArchSuffix  bool        `json:"archSuffix"`
	Patches     []patchFact `json:"patches"`
	CoreDNSPath pathFact    `json:"corednsPath"`
	KubeDNS     *toolFact   `json:"kubeDNS"`
	CNIPlugins  toolFact    `json:"cniPlugins"`
	CRITools    toolFact    `json:"criTools"`
	Runtime     runtimeFact `json:"runtime"`
	Kubelet     kubeletFact `json:"kubelet"`

	number uint // 34 of "1.34", filled in by the parser
}

// patchFact is a change from one patch on. A nil field is unchanged.
type patchFact struct {
	From         uint     `json:"from"`
	Registry     *string  `json:"registry"`
	Etcd         *string  `json:"etcd"`
	CoreDNS      *string  `json:"coredns"`
	CoreDNSFixed *string  `json:"corednsFixed"`
	Pause        *string  `json:"pause"`
	Checksums    []string `json:"checksums"`
}

type pathFact struct {
	Default string `json:"default"`
	Custom  string `json:"custom"`
}

type toolFact struct {
	Version    string     `json:"version"`
	Confidence Confidence `json:"confidence"`
}

type runtimeFact struct {
	MinContainerd string   `json:"minContainerd"`
	CRI           []string `json:"cri"`
	Dockershim    bool     `json:"dockershim"`
}

type kubeletFact struct {
	MaxSkew int `json:"maxSkew"`
}

// patchState is what holds for one patch once all changes up to it are applied.
type patchState struct {
	registry, etcd, coredns, corednsFixed, pause string
	checksums                                    []string
}

// at applies the changes up to patch p.
func (m *minorFact) at(p uint) patchState {
	var s patchState
	set := func(dst, src *string) {
		if src != nil {
			*dst = *src
		}
	}
	for i := range m.Patches {
		c := &m.Patches[i]
		if c.From > p {
			break
		}
		set(&s.registry, c.Registry)
		set(&s.etcd, c.Etcd)
		set(&s.coredns, c.CoreDNS)
		set(&s.corednsFixed, c.CoreDNSFixed)
		set(&s.pause, c.Pause)
		if c.Checksums != nil {
			s.checksums = c.Checksums
		}
	}
	return s
}

// lastVersion is the newest patch known, with v.
func (m *minorFact) lastVersion() string { return fmt.Sprintf("v%s.%d", m.Minor, m.LastPatch) }

// loadCatalog parses the embedded catalog once. It cannot go wrong in a program whose tests passed, so callers return its error
// instead of handling it.
var loadCatalog = sync.OnceValues(func() (*catalogFile, error) { return parseCatalog(catalogYAML) })

func parseCatalog(data []byte) (*catalogFile, error) {
	var c catalogFile
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return nil, fmt.Errorf("parse release catalog: %w", err)
	}
	if c.Format != catalogFormat {
		return nil, fmt.Errorf("parse release catalog: format %d, want %d", c.Format, catalogFormat)
	}
	var errs []error
	for i := range c.Minors {
		m := &c.Minors[i]
		if err := m.validate(); err != nil {
			errs = append(errs, fmt.Errorf("minor %q: %w", m.Minor, err))
		}
		if i > 0 && m.number != c.Minors[i-1].number+1 {
			errs = append(errs, fmt.Errorf("minor %q does not follow %q", m.Minor, c.Minors[i-1].Minor))
		}
	}
	if len(c.Minors) == 0 {
		errs = append(errs, errors.New("no minors"))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("check release catalog: %w", errors.Join(errs...))
	}
	return &c, nil
}

// validate checks one minor and fills in its number.
func (m *minorFact) validate() error {
	rest, ok := strings.CutPrefix(m.Minor, "1.")
	n, err := strconv.ParseUint(rest, 10, 16)
	if !ok || err != nil {
		return errors.New("not a minor of Kubernetes 1")
	}
	m.number = uint(n)
	switch {
	case !slices.Contains([]Confidence{Verified, Table, Inferred}, m.Confidence):
		return fmt.Errorf("confidence %q", m.Confidence)
	case len(m.Arches) == 0 || !slices.IsSorted(m.Arches):
		return fmt.Errorf("arches %v are missing or not sorted", m.Arches)
	case len(m.Patches) == 0 || m.Patches[0].From != 0:
		return errors.New("patches do not start at 0")
	case m.CoreDNSPath.Default == "" || m.CoreDNSPath.Custom == "":
		return errors.New("corednsPath is incomplete")
	case m.CNIPlugins.Version == "" || m.CRITools.Version == "":
		return errors.New("a tool has no version")
	case m.Runtime.MinContainerd == "" || len(m.Runtime.CRI) == 0:
		return errors.New("runtime is incomplete")
	case m.Kubelet.MaxSkew < 1:
		return errors.New("kubelet is incomplete")
	}
	first := m.at(0)
	if first.registry == "" || first.etcd == "" || first.coredns == "" || first.pause == "" || len(first.checksums) == 0 {
		return errors.New("patch 0 does not name every fact")
	}
	for i := 1; i < len(m.Patches); i++ {
		if from := m.Patches[i].From; from <= m.Patches[i-1].From || from > m.LastPatch {
			return fmt.Errorf("patch %d is out of order or past the last one", from)
		}
	}
	return nil
}

// minor finds a minor by its number, nil if it is not there.
func (c *catalogFile) minor(n uint) *minorFact {
	i := slices.IndexFunc(c.Minors, func(m minorFact) bool { return m.number == n })
	if i < 0 {
		return nil
	}
	return &c.Minors[i]
}

func (c *catalogFile) oldest() *minorFact { return &c.Minors[0] }
func (c *catalogFile) newest() *minorFact { return &c.Minors[len(c.Minors)-1] }
