package bundle

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// Unsigned is what a signature speaks of.
type Unsigned struct {
	Name     string // of the bundle: k8s-v1.34.4-linux-amd64
	Contract []byte // bundle.json: what is signed
	Sums     []byte // SHA256SUMS, which the contract cannot name because it names the contract
}

// SignFunc makes bundle.json.minisig. This package knows no keys.
type SignFunc func(Unsigned) ([]byte, error)

// Sign puts a signature into a bundle, a folder or a .tar.gz, or replaces the one that is there. Everything in the
// bundle is verified first: a signature vouches for all of it. Of a .tar.gz only the gzip member with the contract is
// written anew, the rest is copied as it is, and the result is what Write would have made with the same
// WriteOptions.Sign. The new file takes the old one's place when it is complete and on disk, or not at all.
// Result.Size and SHA256 are of the .tar.gz; a folder has none.
func Sign(ctx context.Context, path string, sign SignFunc) (*Result, error) {
	b, err := OpenPath(path)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(b.path, ListSuffix) {
		return nil, fmt.Errorf("sign %s: a bundle in parts is signed before it is cut up: join the parts (cat), or build it with a key", path)
	}
	if err := b.Verify(ctx); err != nil {
		return nil, err
	}
	sig, err := sign(b.unsigned())
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", path, err)
	}
	res := &Result{Path: path, Contract: b.contract}
	if b.dir != "" {
		err = writeAtomic(filepath.Join(b.dir, SignatureName), func(w io.Writer) error {
			_, err := w.Write(sig)
			return err
		})
	} else {
		err = writeAtomic(path, func(w io.Writer) error {
			sink := newHashWriter(w)
			if err := b.copySigned(ctx, sink, sig); err != nil {
				return err
			}
			res.Size, res.SHA256 = sink.n, sink.digest()
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("sign %s: %w", path, err)
	}
	return res, nil
}

func (b *Bundle) unsigned() Unsigned {
	return Unsigned{Name: b.contract.Name(), Contract: b.head.contract, Sums: b.head.sums}
}

// writeAtomic gives a file new content, or leaves it as it is.
func writeAtomic(path string, write func(io.Writer) error) error {
	out, err := createAtomic(path)
	if err != nil {
		return err
	}
	defer out.abort()
	if err := write(out.file); err != nil {
		return err
	}
	return out.commit()
}

// copySigned writes the archive with another signature.
func (b *Bundle) copySigned(ctx context.Context, out io.Writer, sig []byte) error {
	f, err := os.Open(b.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	raw := &countReader{r: &ctxReader{ctx: ctx, r: f}}
	// gzip takes no more of a bufio.Reader than a member has.
	in := bufio.NewReaderSize(raw, 1<<20)
	member, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	member.Multistream(false)
	if _, err := io.Copy(io.Discard, member); err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(out, 1<<20)
	first := raw.n - int64(in.Buffered()) // the installer's member
	if _, err := io.Copy(buffered, io.NewSectionReader(f, 0, first)); err != nil {
		return err
	}
	if err := member.Reset(in); err != nil {
		return errForeign
	}
	member.Multistream(false)
	if err := b.copyFront(buffered, tar.NewReader(member), sig); err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, member); err != nil || n > 0 {
		return errors.Join(err, errForeign)
	}
	if _, err := io.Copy(buffered, in); err != nil {
		return err
	}
	return buffered.Flush()
}

var errForeign = errors.New("its gzip members are not those of `bundler build`: it was packed by something else; sign the unpacked folder")

type countReader struct {
	r io.Reader
	n int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// copyFront copies the second gzip member: from the contract to the payload's header. The signature comes behind the
// contract, as Write puts it.
func (b *Bundle) copyFront(out io.Writer, in *tar.Reader, sig []byte) error {
	gz, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	a := &archiveWriter{tw: tar.NewWriter(gz), top: b.contract.Name()}
	for first := true; ; first = false {
		h, err := in.Next()
		if err != nil || first != (filepath.Base(h.Name) == ContractName) {
			return errForeign
		}
		a.opts.ModTime = h.ModTime
		switch name := filepath.Base(h.Name); name {
		case PayloadName:
			if err := a.header(name, h.Mode, h.Size); err != nil {
				return err
			}
			return gz.Close()
		case SignatureName: // the old one
		case ContractName:
			var data []byte
			if data, err = io.ReadAll(io.LimitReader(in, MaxContract)); err != nil {
				return err
			}
			if !bytes.Equal(data, b.head.contract) {
				return errors.New("the file was changed while it was being signed")
			}
			if err = a.bytes(name, data); err == nil {
				err = a.bytes(SignatureName, sig)
			}
		default:
			if err = a.header(name, h.Mode, h.Size); err == nil {
				_, err = io.Copy(a.tw, in) // Verify has compared the size with the contract
			}
		}
		if err != nil {
			return err
		}
	}
}
