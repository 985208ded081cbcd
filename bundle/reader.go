package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Kind says what a payload entry is.
type Kind string

// The kinds, in the order in which a payload holds them.
const (
	KindFile      Kind = "file"      // Entry.File is set
	KindBlob      Kind = "blob"      // an index, a manifest or a config; Entry.Digest
	KindSignature Kind = "signature" // part of a signature of an image by whoever published it; Entry.Digest
	KindLayer     Kind = "layer"     // an uncompressed layer; Entry.Digest is its diff ID
)

// Entry is one entry of the payload. Order: files first, then blobs, then signatures, then layers, parents before children.
type Entry struct {
	Kind   Kind
	Path   string
	Digest string // sha256:<hex> of the content
	Size   int64
	File   *File
}

// Bundle is an opened bundle whose contract has been read and checked for form. Safe for concurrent use.
type Bundle struct {
	src      source
	path     string
	dir      string
	contract *Contract
	head     *head
	entries  []Entry
	index    map[string]int // payload path -> entries
	base     *Bundle        // of a delta, once UseBase gave it
}

// source is where the parts of a bundle come from: a folder or a .tar.gz.
type source interface {
	// scan reads everything beside the payload. full also hashes the large outer files. admit, if it is not nil, is asked
	// before anything else is made of the contract.
	scan(full bool, admit Admit) (*head, error)
	// outer opens a file of the contract's Outer.
	outer(name string) (io.ReadCloser, error)
	// payload opens the compressed payload.
	payload() (io.ReadCloser, error)
}

// head is what a source holds beside the payload.
type head struct {
	top         string // name of the top folder, "" for a folder source: people rename folders
	contract    []byte
	signature   []byte // nil without one
	sums        []byte
	outer       map[string]outerFile
	payloadSize int64
	hashed      bool // outer has digests
}

type outerFile struct {
	size int64
	sum  string // "" where it was not hashed
}

// Open opens an extracted bundle folder. It checks the contract against SHA256SUMS, and that every part is there with
// the right size; digests of the other parts are checked when they are read, or all at once by Verify. Files that
// are in the folder without being in the contract are not looked at. Errors that speak of the content are *CorruptError.
func Open(dir string) (*Bundle, error) { return openDir(dir, nil) }

func openDir(dir string, admit Admit) (*Bundle, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	return open(&dirSource{dir: abs}, dir, abs, admit)
}

// OpenArchive opens a .tar.gz bundle file without extracting it. Everything that lies before the payload is checked,
// digests included.
func OpenArchive(path string) (*Bundle, error) {
	return open(fileSource(path), path, "", nil)
}

// OpenPath opens what is at path: a folder, a .tar.gz, or one that was cut into parts, by its list or any of its parts.
func OpenPath(path string) (*Bundle, error) { return OpenAdmitted(path, nil) }

// Admit says whether a contract is to be believed: its bytes as they stand in the bundle, and bundle.json.minisig, nil
// where there is none. Its error refuses the bundle.
type Admit func(contract, signature []byte) error

// OpenAdmitted is OpenPath that asks before it parses the contract. With a question asked, whatever else lies beside
// the payload is compared with the contract too, digests included, before the bundle is given out.
func OpenAdmitted(path string, admit Admit) (*Bundle, error) {
	st, err := os.Stat(path)
	if err == nil && st.IsDir() {
		return openDir(path, admit)
	}
	if list, ok := listOf(path); ok {
		if _, lerr := os.Lstat(list); err == nil || lerr == nil { // one of both is there
			return openParts(list, admit)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	return open(fileSource(path), path, "", admit)
}

func open(src source, path, dir string, admit Admit) (*Bundle, error) {
	h, err := src.scan(admit != nil, admit)
	if err != nil {
		return nil, openError(path, err)
	}
	c, err := ParseContract(h.contract)
	if err != nil {
		return nil, openError(path, err)
	}
	if problems := checkHead(h, c); len(problems) > 0 {
		return nil, openError(path, errors.Join(problems...))
	}
	b := &Bundle{src: src, path: path, dir: dir, contract: c, head: h, entries: c.Entries(), index: map[string]int{}}
	for i, e := range b.entries {
		b.index[e.Path] = i
	}
	return b, nil
}

func openError(path string, err error) error { return fmt.Errorf("open bundle %s: %w", path, err) }

// Contract is the bundle's contract. Callers must not change it.
func (b *Bundle) Contract() *Contract { return b.contract }

// ContractBytes is bundle.json as it stands in the bundle: what a signature covers. Callers must not change it.
func (b *Bundle) ContractBytes() []byte { return b.head.contract }

// Signature is bundle.json.minisig, nil where the bundle has none. Admit is who checks it.
func (b *Bundle) Signature() []byte { return b.head.signature }

// Path is what the bundle was opened by.
func (b *Bundle) Path() string { return b.path }

// Dir is the absolute path of the bundle's folder, "" for an archive.
func (b *Bundle) Dir() string { return b.dir }

// File looks a payload file up by its path.
func (b *Bundle) File(path string) (File, bool) {
	i, ok := b.index[path]
	if !ok || b.entries[i].File == nil {
		return File{}, false
	}
	return *b.entries[i].File, true
}

// MaxReadFile is the largest file that ReadFiles returns, in bytes.
const MaxReadFile = 16 << 20

// ReadFiles reads small payload files (manifests, units) into memory. It stops as soon as it has them all, so it costs
// little: files come first in the payload. Each file's digest is checked; the payload's own digest is not.
func (b *Bundle) ReadFiles(ctx context.Context, paths ...string) (map[string][]byte, error) {
	want := map[string]bool{}
	for _, p := range paths {
		f, ok := b.File(p)
		if !ok {
			return nil, fmt.Errorf("read %s from bundle: %w", p, os.ErrNotExist)
		}
		if f.Size > MaxReadFile {
			return nil, fmt.Errorf("read %s from bundle: %d bytes are too many to hold in memory", p, f.Size)
		}
		want[p] = true
	}
	out := make(map[string][]byte, len(want))
	if len(want) == 0 {
		return out, nil
	}
	start := b.alone
	if d := b.contract.Delta; d != nil && slices.ContainsFunc(d.Taken, func(t Taken) bool { return want[t.Path] }) {
		start = b.Payload
	}
	p, err := start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }() // only read from
	for len(out) < len(want) {
		e, err := p.Next()
		if err != nil {
			return nil, fmt.Errorf("read files from bundle: %w", err)
		}
		if !want[e.Path] {
			continue
		}
		data, err := io.ReadAll(p)
		if err != nil {
			return nil, fmt.Errorf("read %s from bundle: %w", e.Path, err)
		}
		out[e.Path] = data
	}
	return out, nil
}

// Verify reads everything and reports every problem found (errors.Join), or nil. Of a delta without its base it reads what is there: what is
// packed, and the patches as they are; see BaseError.
func (b *Bundle) Verify(ctx context.Context) error {
	var problems []error
	if !b.head.hashed {
		h, err := b.src.scan(true, nil)
		if err != nil {
			return fmt.Errorf("verify bundle %s: %w", b.path, err)
		}
		problems = checkHead(h, b.contract)
	}
	start := b.Payload
	if b.BaseError() != nil {
		start = b.alone
	}
	p, err := start(ctx)
	if err != nil {
		return errors.Join(append(problems, err)...)
	}
	defer func() { _ = p.Close() }() // only read from
	p.collect = func(err error) error {
		problems = append(problems, err)
		if len(problems) >= maxProblems {
			return errMore
		}
		return nil
	}
	for {
		_, err := p.Next()
		if errors.Is(err, io.EOF) {
			return errors.Join(problems...)
		}
		if err != nil {
			return errors.Join(append(problems, err)...)
		}
	}
}
