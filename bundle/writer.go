package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Encoder compresses the payload. Its settings are part of the promise "same inputs, same bytes": equal names must mean
// equal bytes for equal inputs.
type Encoder interface {
	// Name is what the contract says about it, with its version.
	Name() string
	// Encode starts a zstd frame whose window is at most MaxWindow.
	Encode(w io.Writer) (Frame, error)
}

// Frame is a zstd frame that is being written. Either Close or Abort must be called.
type Frame interface {
	io.Writer
	// Close ends the frame.
	Close() error
	// Abort lets go of everything without ending the frame.
	Abort()
}

// Content gives the writer what the contract speaks of. The writer calls it in the order of the output, from one goroutine
// at a time but for Outer, which it also calls beside the others; it checks sizes and digests of everything it is given, and closes every reader.
type Content interface {
	// Outer opens a file of Contract.Outer.
	Outer(ctx context.Context, f File) (io.ReadCloser, error)
	// File opens a file of Contract.Files.
	File(ctx context.Context, f File) (io.ReadCloser, error)
	// Blob opens an index, a manifest or a config, or a part of a signature.
	Blob(ctx context.Context, d Descriptor) (io.ReadCloser, error)
	// Layer opens the uncompressed tar of a layer and tells its size in bytes: a tar header stands before the content.
	Layer(ctx context.Context, l Layer) (io.ReadCloser, int64, error)
}

// WriteOptions configure Write.
type WriteOptions struct {
	Encoder Encoder // must be given
	// QuickDeflate deflates the installer in a fifth of the time, 3 MB larger.
	QuickDeflate bool
	ModTime      time.Time        // of every entry; zero is 1980-01-01 UTC
	Base         *Bundle          // leave out what this bundle has: the result is a delta. nil is a bundle that is whole
	PartSize     int64            // cut the file into parts of that many bytes; 0 is one file
	Progress     func(WriteEvent) // nil discards; called from the writing goroutine
	Sign         SignFunc         // nil leaves the bundle unsigned
}

// WriteEvent tells how far the payload is.
type WriteEvent struct {
	Entry   Entry
	Done    int64 // bytes of this entry
	Written int64 // compressed bytes of the payload so far
}

// Result is a written bundle.
type Result struct {
	Path     string
	Size     int64
	SHA256   string // sha256:<hex> of the .tar.gz
	Parts    []Part // with WriteOptions.PartSize: there is no file at Path but these
	List     string // and this one, which names them
	Contract *Contract
}

// epoch is the time of every entry. It is not 1970, because tar before 1.29 warns about each such file.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Write writes a bundle to path. The contract must be complete but for what only the content tells: layer sizes,
// Payload and Requirements.DiskBytes, which Write fills in. Files and images are stored in the order of the contract.
//
// The compressed payload goes to a nameless temporary file beside path first, because bundle.json comes before it and
// holds its digest; the deflated installer, which is made at the same time, to another. Memory does not grow with the content: the encoder's, and a few MiB for the rest.
// On any error, and when ctx is cancelled, nothing is left behind and an older file at path is as it was.
//
// With Base, what is patched is held in memory besides: the old and the new file, each of at most 256 MiB, and half as much again.
//
// With PartSize the parts and their list take the place of path; see OpenParts.
func Write(ctx context.Context, path string, c *Contract, content Content, o WriteOptions) (*Result, error) {
	if err := prepare(c, &o); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	out, err := create(path, o.PartSize)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	defer out.abort()
	var install, payload *os.File
	for _, f := range []**os.File{&install, &payload} {
		if *f, err = nameless(filepath.Dir(path)); err != nil {
			return nil, fmt.Errorf("write %s: %w", path, err)
		}
		defer func() { _ = (*f).Close() }() // nobody reads it again
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return deflateInstall(gctx, install, c, content, o) })
	g.Go(func() error {
		w := &payloadWriter{contract: c, content: content, opts: o}
		return w.write(gctx, payload)
	})
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	for _, f := range []*os.File{install, payload} {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, fmt.Errorf("write %s: %w", path, err)
		}
	}
	res, err := writeArchive(ctx, out, c, content, install, payload, o)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	if err := out.commit(); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	res.Path = path
	if p, ok := out.(*partsOutput); ok {
		res.Parts, res.List = p.parts, p.list.path
	}
	return res, nil
}

func create(path string, partSize int64) (output, error) {
	if partSize > 0 {
		return createParts(path, partSize)
	}
	return createAtomic(path)
}

// prepare checks what the caller gave, before anything is written.
func prepare(c *Contract, o *WriteOptions) error {
	c.Format, c.Delta = FormatVersion, nil
	c.Payload = Payload{}
	v := new(validator)
	v.head(c)
	v.files(c)
	v.images(c)
	if o.Base != nil && len(v.errs) == 0 {
		var err error
		if c.Delta, err = planDelta(c, o.Base); err != nil {
			return err
		}
		c.Format = FormatDelta
	}
	if o.ModTime.IsZero() {
		o.ModTime = epoch
	}
	o.ModTime = o.ModTime.UTC().Truncate(time.Second)
	if o.Encoder == nil {
		v.errs = append(v.errs, errors.New("no encoder"))
	}
	return errors.Join(v.errs...)
}

// nameless creates a temporary file that vanishes with the process, however that ends. Where the file system cannot make one without a name
// (NFS, FAT), it has one for an instant.
func nameless(dir string) (*os.File, error) {
	if fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600); err == nil {
		return os.NewFile(uintptr(fd), filepath.Join(dir, "nameless")), nil
	}
	f, err := os.CreateTemp(dir, ".kubebundle-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close() // the first error is the one that tells
		return nil, err
	}
	return f, nil
}
