package bundle

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// deflateInstall makes the first gzip member: the top folder and the installer. Nothing of it depends on the payload, so
// that it can be made beside it; at the highest level it takes longer than a quick payload.
func deflateInstall(ctx context.Context, f io.Writer, c *Contract, content Content, o WriteOptions) error {
	buffered := bufio.NewWriterSize(f, 1<<20)
	level := gzip.BestCompression
	if o.QuickDeflate {
		level = gzip.BestSpeed
	}
	gz, err := gzip.NewWriterLevel(buffered, level)
	if err != nil {
		return err
	}
	a := &archiveWriter{tw: tar.NewWriter(gz), top: c.Name(), opts: o}
	if err := a.folder(); err != nil {
		return err
	}
	for _, out := range c.Outer {
		if out.Path == InstallName {
			if err := a.outer(ctx, content, out); err != nil {
				return err
			}
		}
	}
	if err := a.tw.Flush(); err != nil { // pads the last block; the tar goes on in the next member
		return err
	}
	if err := gz.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

// writeArchive writes the .tar.gz around a finished payload: the gzip member of deflateInstall, one with the other small
// files, deflated, and one with the payload, stored.
func writeArchive(ctx context.Context, f io.Writer, c *Contract, content Content, install, payload io.Reader, o WriteOptions) (*Result, error) {
	contract, err := c.Encode()
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", ContractName, err)
	}
	sums := sumsFile(c, contract)
	sink := newHashWriter(f)
	buffered := bufio.NewWriterSize(sink, 1<<20)
	if _, err := io.Copy(buffered, install); err != nil {
		return nil, fmt.Errorf("copy %s: %w", InstallName, err)
	}
	gz, err := gzip.NewWriterLevel(buffered, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	current := &switchWriter{w: gz}
	a := &archiveWriter{tw: tar.NewWriter(current), top: c.Name(), opts: o}
	if err := a.bytes(ContractName, contract); err != nil {
		return nil, err
	}
	if o.Sign != nil {
		sig, err := o.Sign(Unsigned{Name: c.Name(), Contract: contract, Sums: sums})
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		if err := a.bytes(SignatureName, sig); err != nil {
			return nil, err
		}
	}
	if err := a.bytes(SumsName, sums); err != nil {
		return nil, err
	}
	for _, out := range besideInstall(c.Outer) {
		if err := a.outer(ctx, content, out); err != nil {
			return nil, err
		}
	}
	if err := a.header(PayloadName, 0o644, c.Payload.Size); err != nil {
		return nil, err
	}
	if err := gz.Close(); err != nil {
		return nil, err
	}
	stored, err := gzip.NewWriterLevel(buffered, gzip.NoCompression)
	if err != nil {
		return nil, err
	}
	current.w = stored
	if _, err := io.Copy(a.tw, &ctxReader{ctx: ctx, r: payload}); err != nil {
		return nil, fmt.Errorf("copy payload: %w", err)
	}
	if err := a.tw.Close(); err != nil {
		return nil, err
	}
	if err := stored.Close(); err != nil {
		return nil, err
	}
	if err := buffered.Flush(); err != nil {
		return nil, err
	}
	return &Result{Size: sink.n, SHA256: sink.digest(), Contract: c}, nil
}

// besideInstall are the other outer files, in order. The installer comes before the contract, so that whoever unpacks only
// the beginning has what he needs to go on.
func besideInstall(outer []File) []File {
	var rest []File
	for _, f := range outer {
		if f.Path != InstallName {
			rest = append(rest, f)
		}
	}
	slices.SortFunc(rest, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return rest
}

type archiveWriter struct {
	tw   *tar.Writer
	top  string
	opts WriteOptions
}

func (a *archiveWriter) folder() error {
	return a.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: a.top + "/", Mode: 0o755, ModTime: a.opts.ModTime})
}

func (a *archiveWriter) header(name string, mode, size int64) error {
	return a.tw.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: a.top + "/" + name, Mode: mode, Size: size, ModTime: a.opts.ModTime,
	})
}

func (a *archiveWriter) bytes(name string, data []byte) error {
	if err := a.header(name, 0o644, int64(len(data))); err != nil {
		return err
	}
	_, err := a.tw.Write(data)
	return err
}

func (a *archiveWriter) outer(ctx context.Context, content Content, f File) (err error) {
	r, err := content.Outer(ctx, f)
	if err != nil {
		return fmt.Errorf("pack %s: %w", f.Path, err)
	}
	defer func() {
		if cerr := r.Close(); err == nil {
			err = cerr
		}
	}()
	if err := a.header(f.Path, int64(f.Mode), f.Size); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(a.tw, sum), &ctxReader{ctx: ctx, r: r})
	if err != nil {
		return fmt.Errorf("pack %s: %w", f.Path, err)
	}
	if n != f.Size {
		return fmt.Errorf("pack %s: has %d bytes instead of %d", f.Path, n, f.Size)
	}
	if got := digestAlgo + hex.EncodeToString(sum.Sum(nil)); got != f.SHA256 {
		return fmt.Errorf("pack %s: has digest %s instead of %s", f.Path, got, f.SHA256)
	}
	return nil
}

// switchWriter lets one tar go through several gzip members.
type switchWriter struct{ w io.Writer }

func (s *switchWriter) Write(b []byte) (int, error) { return s.w.Write(b) }

type hashWriter struct {
	w   io.Writer
	sum hash.Hash
	n   int64
}

func newHashWriter(w io.Writer) *hashWriter { return &hashWriter{w: w, sum: sha256.New()} }

func (h *hashWriter) digest() string { return digestAlgo + hex.EncodeToString(h.sum.Sum(nil)) }

func (h *hashWriter) Write(b []byte) (int, error) {
	n, err := h.w.Write(b)
	h.sum.Write(b[:n])
	h.n += int64(n)
	return n, err
}

type countWriter struct {
	w io.Writer
	n int64
}

func (c *countWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

type ctxReader struct {
	ctx context.Context // a Reader has no other way to be cancelled
	r   io.Reader
}

func (c *ctxReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
