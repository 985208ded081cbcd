package bundle

import (
	"context"
	"io"
)

// Kind says what a payload entry is.
type Kind string

const (
	KindFile  Kind = "file"  // Entry.File is set
	KindBlob  Kind = "blob"  // an index, a manifest or a config; Entry.Digest
	KindLayer Kind = "layer" // an uncompressed layer; Entry.Digest is its diff ID
)

// Entry is one entry of the payload. Order: files first, then blobs, then layers, parents before children.
type Entry struct {
	Kind   Kind
	Path   string
	Digest string // sha256:<hex> of the content
	Size   int64
	File   *File
}

// Bundle is an opened bundle whose contract has been read and checked for form. Safe for concurrent use.
type Bundle struct{}

// Open opens an extracted bundle folder.
func Open(dir string) (*Bundle, error) { panic("stub") }

// OpenArchive opens a .tar.gz bundle file without extracting it.
func OpenArchive(path string) (*Bundle, error) { panic("stub") }

// Contract is the bundle's contract. Callers must not change it.
func (b *Bundle) Contract() *Contract { panic("stub") }

// Payload starts one pass over the payload. Close it when done.
func (b *Bundle) Payload(ctx context.Context) (*PayloadReader, error) { panic("stub") }

// PayloadReader streams payload entries. Each entry is checked against the contract as it is read:
// Read returns io.EOF only after size and digest agreed, so a consumer must not commit before it saw io.EOF.
type PayloadReader struct{}

// Next goes to the next entry (skipping what was not read of the current one). io.EOF at the end,
// which is given only after every entry of the contract was seen and the payload digest agreed.
func (p *PayloadReader) Next() (*Entry, error) { panic("stub") }

// Read reads the current entry.
func (p *PayloadReader) Read(b []byte) (int, error) { panic("stub") }

// Close ends the pass early without the final check.
func (p *PayloadReader) Close() error { panic("stub") }

var _ io.ReadCloser = (*PayloadReader)(nil)

// Verify reads everything and reports every problem found (errors.Join), or nil.
func (b *Bundle) Verify(ctx context.Context) error { panic("stub") }
