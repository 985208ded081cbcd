package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// A delta is a bundle that leaves out what another one, its base, holds already. Its contract is that of the whole bundle, so that
// everything that comes out is checked against the same digests, and says in Delta what is taken from the base: entries as they are, and
// entries that a patch turns into new ones. All else is in its own payload. What is small is always packed: blobs, and files that are no
// programs, so that a delta alone tells which images it has and what its manifests ask for.
//
// Both payloads are read side by side, each once from its beginning, which is why Taken follows the order of both. Who applies a delta
// holds the windows of both and the one old file that is being patched, of at most maxPatched bytes.

// Delta is what a contract of FormatDelta says about its base.
type Delta struct {
	Base  Base    `json:"base"`
	Taken []Taken `json:"taken"` // in the order of the payload's entries
}

// Base says which bundle a delta belongs to. Its operating system and architecture are the delta's.
type Base struct {
	KubernetesVersion string `json:"kubernetesVersion"`
	// Content is Contract.ContentDigest: any bundle with this content will do, however it was compressed.
	Content string `json:"content"`
}

// Taken is an entry that is not in a delta's payload.
type Taken struct {
	Path string `json:"path"` // of this bundle's entry
	From string `json:"from"` // of the base's
	// Patch turns the base's entry into this one; it is the payload's entry patches/PATH. Without it the entry is the base's as it is.
	Patch *Patch `json:"patch,omitempty"`
}

// Patch is a patch as it lies in the payload.
type Patch struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

const patchPrefix = "patches/"

// maxWhole is the largest file that a delta always packs unless it is a program, in bytes.
const maxWhole = 1 << 20

// takeable says whether a delta may take an entry from its base.
func (e *Entry) takeable() bool {
	switch e.Kind {
	case KindLayer:
		return true
	case KindFile:
		return e.File.Mode&0o111 != 0 || e.Size > maxWhole
	case KindBlob, KindSignature:
	}
	return false
}

// ContentDigest names what a bundle holds, whatever its compression and whoever built it: sha256:<hex> over one line per entry of the payload, in
// order: kind, digest, size, mode (octal; 0 for what is not a file), path.
func (c *Contract) ContentDigest() string {
	sum := sha256.New()
	for _, e := range c.Entries() {
		var mode uint32
		if e.File != nil {
			mode = e.File.Mode
		}
		fmt.Fprintf(sum, "%s %s %d %o %s\n", e.Kind, e.Digest, e.Size, mode, e.Path)
	}
	return digestAlgo + hex.EncodeToString(sum.Sum(nil))
}

// BaseName is the name of the bundle that a delta needs, "" for a bundle that is whole.
func (c *Contract) BaseName() string {
	if c.Delta == nil {
		return ""
	}
	return bundleName(c.Delta.Base.KubernetesVersion, c.OS, c.Arch)
}

// BaseError says that a delta has not got the base that it was made from. Programs exit with code 4 when they meet one.
type BaseError struct {
	Delta string // name of the delta
	Name  string // of the base that it needs
	Want  string // that one's content digest
	Path  string // what was given instead; "" for nothing
	Why   string // with Path
}

func (e *BaseError) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%s is a delta and needs its base, %s with the content %s", e.Delta, e.Name, e.Want)
	}
	return fmt.Sprintf("base %s %s; %s was made from %s with the content %s", e.Path, e.Why, e.Delta, e.Name, e.Want)
}

// Hint says what the user can do about it.
func (e *BaseError) Hint() string {
	return fmt.Sprintf("name it with --base: the folder or the .tar.gz of %s; `bundler inspect` prints a bundle's content digest", e.Name)
}

// Base is the base that UseBase gave, nil before.
func (b *Bundle) Base() *Bundle { return b.base }

// BaseError says that a delta has no base yet; nil for everything else. A call that needs it fails with the same.
func (b *Bundle) BaseError() error {
	if b.contract.Delta == nil || b.base != nil {
		return nil
	}
	return b.baseError("", "")
}

func (b *Bundle) baseError(path, why string, args ...any) *BaseError {
	c := b.contract
	return &BaseError{Delta: c.Name(), Name: c.BaseName(), Want: c.Delta.Base.Content, Path: path, Why: fmt.Sprintf(why, args...)}
}

// UseBase gives a delta its base, before it is read. A *BaseError says that it is another bundle than the delta was made from.
func (b *Bundle) UseBase(base *Bundle) error {
	d, o := b.contract.Delta, base.contract
	if d == nil {
		return fmt.Errorf("%s is whole and needs no base", b.contract.Name())
	}
	if o.Delta != nil {
		return b.baseError(base.path, "is a delta itself")
	}
	if got := o.ContentDigest(); got != d.Base.Content {
		return b.baseError(base.path, "is %s with the content %s", o.Name(), got)
	}
	// The base is the right one. What the contract says of it may still be a lie.
	last := -1
	for _, t := range d.Taken {
		i, ok := base.index[t.From]
		if !ok {
			return corrupt(ContractName, "%s is to be taken from %s, which the base does not hold", t.Path, t.From)
		}
		old, e := &base.entries[i], &b.entries[b.index[t.Path]]
		switch {
		case i <= last:
			return corrupt(ContractName, "%s is to be taken from %s, which lies before what is taken earlier", t.Path, t.From)
		case old.Kind != e.Kind:
			return corrupt(ContractName, "%s is to be taken from %s, which is no %s", t.Path, t.From, e.Kind)
		case t.Patch == nil && (old.Digest != e.Digest || old.Size != e.Size):
			return corrupt(ContractName, "%s is to be taken from %s, which is another", t.Path, t.From)
		case t.Patch != nil && old.Size > maxPatched:
			return corrupt(ContractName, "%s is to be patched from %s, whose %d bytes are too many", t.Path, t.From, old.Size)
		}
		last = i
	}
	b.base = base
	return nil
}

var layerPathRE = regexp.MustCompile(`^layers/sha256/[0-9a-f]{64}$`)

// delta checks the form of what a contract says about its base.
func (v *validator) delta(c *Contract) {
	v.check((c.Format == FormatDelta) == (c.Delta != nil), "format %d with a base: %t", c.Format, c.Delta != nil)
	if c.Delta == nil {
		return
	}
	v.check(versionRE.MatchString(c.Delta.Base.KubernetesVersion), "the base has the odd version %q", c.Delta.Base.KubernetesVersion)
	v.digest("the base", c.Delta.Base.Content)
	list := c.Entries()
	next := 0
	for _, t := range c.Delta.Taken {
		for next < len(list) && list[next].Path != t.Path {
			next++
		}
		if next == len(list) {
			v.check(false, "%.100q is taken from the base, but is no entry or not in its place", t.Path)
			return
		}
		e := &list[next]
		next++
		v.check(e.takeable(), "%s is taken from the base, which is not for what is small", t.Path)
		v.check(layerPathRE.MatchString(t.From) || fs.ValidPath(t.From) && len(t.From) <= maxPath && plain(t.From) &&
			!strings.HasPrefix(t.From, "layers/") && !strings.HasPrefix(t.From, blobPrefix), "%s is taken from the odd path %q", t.Path, t.From)
		if t.Patch != nil {
			v.digest("the patch of "+t.Path, t.Patch.SHA256)
			v.size("the patch of "+t.Path, t.Patch.Size, 2*maxPatched)
			v.check(e.Size <= maxPatched, "%s is patched, and its %d bytes are too many for that", t.Path, e.Size)
		}
	}
}
