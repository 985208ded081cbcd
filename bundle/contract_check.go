package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

// The names that format 1 fixes.
const (
	ContractName  = "bundle.json"
	SignatureName = "bundle.json.minisig"
	SumsName      = "SHA256SUMS"
	ReadmeName    = "README.txt"
	InstallName   = "install"
	PayloadName   = "payload.tar.zst"
)

const (
	blobPrefix      = "blobs/sha256/"
	signaturePrefix = "signatures/sha256/"
	layerPrefix     = "layers/sha256/"
	digestAlgo      = "sha256:"
)

var (
	digestRE  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	versionRE = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+([-+.][0-9A-Za-z.+-]+)?$`)
	archRE    = regexp.MustCompile(`^[a-z0-9]{2,16}$`)
	outerRE   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

// ParseContract reads bundle.json and checks its form. Every error is a *CorruptError.
func ParseContract(data []byte) (*Contract, error) {
	if len(data) > MaxContract {
		return nil, corrupt(ContractName, "is larger than %d bytes", MaxContract)
	}
	if err := modest(ContractName, data); err != nil {
		return nil, err
	}
	// The number comes first: a later format may have changed the shape of everything else.
	var head struct {
		Format *int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, &CorruptError{Path: ContractName, Why: "is not JSON", Err: err}
	}
	if head.Format == nil {
		return nil, corrupt(ContractName, "has no format number")
	}
	if *head.Format != FormatVersion && *head.Format != FormatDelta {
		return nil, &CorruptError{Path: ContractName, Why: "cannot be read", Err: &FormatError{Format: *head.Format}}
	}
	c := new(Contract)
	if err := json.Unmarshal(data, c); err != nil {
		return nil, &CorruptError{Path: ContractName, Why: "is not a contract", Err: err}
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// Encode writes the contract as bundle.json holds it.
func (c *Contract) Encode() ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(c); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// Name is the name of the bundle's top folder; the file is called Name() + ".tar.gz".
func (c *Contract) Name() string {
	name := bundleName(c.KubernetesVersion, c.OS, c.Arch)
	if c.Delta != nil {
		name += "-from-" + c.Delta.Base.KubernetesVersion
	}
	return name
}

func bundleName(version, os, arch string) string { return "k8s-" + version + "-" + os + "-" + arch }

// Validate checks the form of a complete contract and reports every problem.
func (c *Contract) Validate() error {
	v := new(validator)
	v.head(c)
	v.files(c)
	v.images(c)
	if len(v.errs) == 0 { // it speaks of the entries
		v.delta(c)
	}
	p := c.Payload
	v.check(p.Path == PayloadName, "the payload is called %q, not %q", p.Path, PayloadName)
	v.digest("the payload", p.SHA256)
	v.size("the payload", p.Size, maxSize)
	v.size("the uncompressed payload", p.Uncompressed, maxSize)
	v.check(p.WindowBytes >= 1<<10 && p.WindowBytes <= MaxWindow,
		"the payload's window of %d bytes is not between 1 KiB and %d bytes", p.WindowBytes, MaxWindow)
	return errors.Join(v.errs...)
}

// validator collects what is wrong with a contract.
type validator struct{ errs []error }

func (v *validator) check(ok bool, why string, args ...any) {
	switch {
	case ok || len(v.errs) > maxProblems:
	case len(v.errs) == maxProblems:
		v.errs = append(v.errs, errMore)
	default:
		for i, a := range args {
			if s, isText := a.(string); isText && len(s) > maxTold {
				args[i] = s[:maxTold] + "…"
			}
		}
		v.errs = append(v.errs, corrupt(ContractName, why, args...))
	}
}

func (v *validator) digest(what, d string) {
	v.check(digestRE.MatchString(d), "%s has the odd digest %q", what, d)
}

func (v *validator) size(what string, n, limit int64) {
	v.check(n >= 0 && n <= limit, "%s has the odd size %d", what, n)
}

func (v *validator) head(c *Contract) {
	v.check(c.Format == FormatVersion || c.Format == FormatDelta, "format %d is unknown", c.Format)
	v.check(versionRE.MatchString(c.KubernetesVersion), "odd Kubernetes version %q", c.KubernetesVersion)
	v.check(c.OS == "linux", "odd operating system %q", c.OS)
	v.check(archRE.MatchString(c.Arch), "odd architecture %q", c.Arch)
}

func (v *validator) files(c *Contract) {
	seen := map[string]bool{}
	for i := range c.Files {
		f := &c.Files[i]
		if len(f.Path) > maxPath { // and nothing more is made of it
			v.check(false, "file %d has the odd path %q", i, f.Path)
			continue
		}
		v.file(f)
		v.check(fs.ValidPath(f.Path) && f.Path != "." && plain(f.Path),
			"file %d has the odd path %q", i, f.Path)
		v.check(!strings.HasPrefix(f.Path+"/", "blobs/") && !strings.HasPrefix(f.Path+"/", "layers/") && !strings.HasPrefix(f.Path+"/", "signatures/"),
			"file %q lies where image content lies", f.Path)
		v.check(!seen[f.Path], "file %q is listed twice", f.Path)
		seen[f.Path] = true
	}
	for p := range seen {
		for dir, ok := parent(p); ok; dir, ok = parent(dir) {
			v.check(!seen[dir], "file %q is a folder of file %q", dir, p)
		}
	}
	outer := map[string]bool{ContractName: true, SignatureName: true, SumsName: true, PayloadName: true}
	for i := range c.Outer {
		f := &c.Outer[i]
		if len(f.Path) > maxPath {
			v.check(false, "outer file %d has the odd path %q", i, f.Path)
			continue
		}
		v.file(f)
		v.check(outerRE.MatchString(f.Path), "outer file %d has the odd path %q", i, f.Path)
		v.check(!outer[f.Path], "outer file %q is listed twice or has a name of the format", f.Path)
		outer[f.Path] = true
	}
	v.check(outer[InstallName], "outer file %q is not listed", InstallName)
}

func (v *validator) file(f *File) {
	v.digest("file "+f.Path, f.SHA256)
	v.size("file "+f.Path, f.Size, maxSize)
	// No setuid, no sticky bit: nothing in a bundle may gain rights by being unpacked.
	v.check(f.Mode != 0 && f.Mode&^0o777 == 0, "file %q has the odd mode %#o", f.Path, f.Mode)
}

func (v *validator) images(c *Contract) {
	refs := map[string]bool{}
	blobs := map[string]Descriptor{}
	layers := map[string]int64{}
	signatures := map[string]int64{}
	for i := range c.Images {
		m := &c.Images[i]
		if len(m.Ref) > maxRef {
			v.check(false, "image %d has the odd reference %q", i, m.Ref)
			continue
		}
		_, err := reference.ParseDockerRef(m.Ref)
		v.check(err == nil && plain(m.Ref), "image %d has the odd reference %q", i, m.Ref)
		v.check(!refs[m.Ref], "image %q is listed twice", m.Ref)
		refs[m.Ref] = true
		for _, d := range []Descriptor{m.Target, m.Manifest, m.Config} {
			what := "a blob of image " + m.Ref
			v.digest(what, d.Digest)
			v.size(what, d.Size, MaxBlob)
			old, ok := blobs[d.Digest]
			v.check(!ok || old.Size == d.Size, "blob %s has two sizes", d.Digest)
			blobs[d.Digest] = d
		}
		for _, l := range m.Layers {
			what := "a layer of image " + m.Ref
			v.digest(what, l.DiffID)
			v.digest(what, l.Blob.Digest)
			v.size(what, l.Size, maxSize)
			v.size(what, l.Blob.Size, maxSize)
			old, ok := layers[l.DiffID]
			v.check(!ok || old == l.Size, "layer %s has two sizes", l.DiffID)
			layers[l.DiffID] = l.Size
		}
		for j := range m.Signatures {
			s := &m.Signatures[j]
			what := "a signature of image " + m.Ref
			v.check(s.Of == m.Target.Digest || s.Of == m.Manifest.Digest, "%s is of %q, which is another image", what, s.Of)
			v.check(plain(s.Kind), "%s has the odd kind %q", what, s.Kind)
			for _, d := range s.blobs() {
				v.digest(what, d.Digest)
				v.size(what, d.Size, MaxBlob)
				old, ok := signatures[d.Digest]
				v.check(!ok || old == d.Size, "signature blob %s has two sizes", d.Digest)
				signatures[d.Digest] = d.Size
			}
		}
	}
}

// plain says whether a name is printable ASCII without a backslash: safe to print, to log and to write in a checksum file.
func plain(s string) bool {
	for _, r := range s {
		if r <= ' ' || r > '~' || r == '\\' {
			return false
		}
	}
	return s != ""
}

// parent cuts the last element off a slash-separated path.
func parent(p string) (dir string, ok bool) {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return "", false
	}
	return p[:i], true
}
