package bundle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// Difference is what changes from one bundle to another, by their contracts. Slices are sorted by name and never nil, so that its
// JSON form is stable.
type Difference struct {
	Facts        []FactChange  `json:"facts"` // Kubernetes version, platform, builder, …
	Images       []ImageChange `json:"images"`
	Files        []FileChange  `json:"files"` // of the payload and beside it
	Requirements []FactChange  `json:"requirements"`
	// NewBytes are the uncompressed bytes of layers and files that the new bundle has and the old one has not, each once.
	NewBytes int64 `json:"newBytes"`
}

// Same says that both bundles hold the same.
func (d *Difference) Same() bool {
	return len(d.Facts)+len(d.Images)+len(d.Files)+len(d.Requirements) == 0
}

// ChangeKind says what happened to something.
type ChangeKind string

// The kinds of changes.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// FactChange is a word or number that differs.
type FactChange struct {
	Name string `json:"name"`
	Old  any    `json:"old"`
	New  any    `json:"new"`
}

// ImageChange is an image that is in one bundle only, or not the same in both. An image whose tag changes is one change: images of
// one component, or the only ones of their repository, belong together.
type ImageChange struct {
	Kind      ChangeKind `json:"kind"`
	Old       string     `json:"old,omitempty"` // references
	New       string     `json:"new,omitempty"`
	OldDigest string     `json:"oldDigest,omitempty"` // of the platform's manifest
	NewDigest string     `json:"newDigest,omitempty"`
	// Layers of the new image; Shared of them are in the old bundle, in whatever image. NewBytes are those of the others,
	// uncompressed; what several images share counts for the first.
	Layers   int   `json:"layers,omitempty"`
	Shared   int   `json:"shared,omitempty"`
	NewBytes int64 `json:"newBytes,omitempty"`
}

// FileChange is a file that is in one bundle only, or not the same in both.
type FileChange struct {
	Kind      ChangeKind `json:"kind"`
	Path      string     `json:"path"`
	OldSize   int64      `json:"oldSize,omitempty"`
	NewSize   int64      `json:"newSize,omitempty"`
	OldMode   uint32     `json:"oldMode,omitempty"`
	NewMode   uint32     `json:"newMode,omitempty"`
	OldSHA256 string     `json:"oldSHA256,omitempty"`
	NewSHA256 string     `json:"newSHA256,omitempty"`
	// Images that a manifest asks for in one bundle only. Diff leaves them to who can read files.
	AddedImages   []string `json:"addedImages,omitempty"`
	RemovedImages []string `json:"removedImages,omitempty"`
}

// Diff compares contracts. It believes them: Verify says whether a bundle is what its contract says.
func Diff(old, new *Contract) *Difference {
	d := &Difference{
		Facts: facts(
			FactChange{"Kubernetes", old.KubernetesVersion, new.KubernetesVersion},
			FactChange{"platform", old.OS + "/" + old.Arch, new.OS + "/" + new.Arch},
			FactChange{"image repository", old.ImageRepository, new.ImageRepository},
			FactChange{"format", old.Format, new.Format},
			FactChange{"builder", old.Builder, new.Builder},
		),
		Requirements: facts(
			FactChange{"disk bytes", old.Requirements.DiskBytes, new.Requirements.DiskBytes},
			FactChange{"memory bytes", old.Requirements.MemoryBytes, new.Requirements.MemoryBytes},
			FactChange{"kernel modules", words(old.Requirements.KernelModules), words(new.Requirements.KernelModules)},
			FactChange{"ports", words(old.Requirements.Ports), words(new.Requirements.Ports)},
			FactChange{"worker ports", words(old.Requirements.WorkerPorts), words(new.Requirements.WorkerPorts)},
		),
	}
	d.images(old, new)
	d.files(slices.Concat(old.Outer, old.Files), slices.Concat(new.Outer, new.Files))
	return d
}

func facts(all ...FactChange) []FactChange {
	return slices.DeleteFunc(all, func(f FactChange) bool { return f.Old == f.New })
}

func (d *Difference) images(old, new *Contract) {
	d.Images = []ImageChange{}
	have := map[string]bool{} // diff IDs
	for _, m := range old.Images {
		for _, l := range m.Layers {
			have[l.DiffID] = true
		}
	}
	counted := map[string]bool{}
	for _, p := range pairImages(old.Images, new.Images) {
		c := ImageChange{Kind: Changed}
		if p.old != nil {
			c.Old, c.OldDigest = p.old.Ref, p.old.Manifest.Digest
		}
		if p.new != nil {
			c.New, c.NewDigest, c.Layers = p.new.Ref, p.new.Manifest.Digest, len(p.new.Layers)
			for _, l := range p.new.Layers {
				switch {
				case have[l.DiffID]:
					c.Shared++
				case !counted[l.DiffID]:
					counted[l.DiffID] = true
					c.NewBytes += l.Size
				}
			}
		}
		d.NewBytes += c.NewBytes
		switch {
		case p.old == nil:
			c.Kind = Added
		case p.new == nil:
			c.Kind = Removed
		case c.Old == c.New && c.OldDigest == c.NewDigest && p.old.Target.Digest == p.new.Target.Digest:
			continue
		}
		d.Images = append(d.Images, c)
	}
	slices.SortStableFunc(d.Images, func(a, b ImageChange) int { return cmp.Compare(cmp.Or(a.New, a.Old), cmp.Or(b.New, b.Old)) })
}

type imagePair struct{ old, new *Image }

// pairImages finds for each image what it was before: the same name, else the same component, else the only other one of its
// repository.
func pairImages(old, new []Image) []imagePair {
	pairs := make([]imagePair, len(new))
	used := make([]bool, len(old))
	for i := range new {
		pairs[i].new = &new[i]
	}
	for _, key := range []func(*Image) string{
		func(m *Image) string { return canonical(m.Ref) },
		func(m *Image) string { return m.Component },
		func(m *Image) string { return repository(m.Ref) },
	} {
		free := map[string][]int{} // key -> old images
		for j := range old {
			if !used[j] {
				free[key(&old[j])] = append(free[key(&old[j])], j)
			}
		}
		wanted := map[string]int{}
		for i := range pairs {
			if pairs[i].old == nil {
				wanted[key(pairs[i].new)]++
			}
		}
		for i := range pairs {
			k := key(pairs[i].new)
			if pairs[i].old == nil && k != "" && wanted[k] == 1 && len(free[k]) == 1 {
				pairs[i].old, used[free[k][0]] = &old[free[k][0]], true
			}
		}
	}
	for j := range old {
		if !used[j] {
			pairs = append(pairs, imagePair{old: &old[j]})
		}
	}
	return pairs
}

func repository(ref string) string {
	n, err := reference.ParseDockerRef(ref)
	if err != nil {
		return ref
	}
	return n.Name()
}

func (d *Difference) files(old, new []File) {
	d.Files = []FileChange{}
	before := map[string]File{}
	content := map[string]bool{}
	for _, f := range old {
		before[f.Path] = f
		content[f.SHA256] = true
	}
	for _, f := range new {
		if !content[f.SHA256] {
			content[f.SHA256] = true
			d.NewBytes += f.Size
		}
		o, ok := before[f.Path]
		delete(before, f.Path)
		c := FileChange{Kind: Changed, Path: f.Path, OldSize: o.Size, NewSize: f.Size, OldMode: o.Mode, NewMode: f.Mode, OldSHA256: o.SHA256, NewSHA256: f.SHA256}
		switch {
		case !ok:
			c.Kind = Added
		case o.SHA256 == f.SHA256 && o.Mode == f.Mode:
			continue
		}
		d.Files = append(d.Files, c)
	}
	for _, o := range before {
		d.Files = append(d.Files, FileChange{Kind: Removed, Path: o.Path, OldSize: o.Size, OldMode: o.Mode, OldSHA256: o.SHA256})
	}
	slices.SortFunc(d.Files, func(a, b FileChange) int { return strings.Compare(a.Path, b.Path) })
}

// words writes a list of modules or ports as one comparable word.
func words[T any](list []T) string {
	var out []string
	for _, w := range list {
		out = append(out, fmt.Sprint(w))
	}
	return strings.Join(out, " ")
}
