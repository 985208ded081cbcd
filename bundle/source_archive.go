package bundle

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// archiveSource is a bundle as one .tar.gz, or as the parts of one.
type archiveSource struct {
	name string
	open func() (io.ReadCloser, error)
}

func fileSource(path string) *archiveSource {
	return &archiveSource{name: filepath.Base(path), open: func() (io.ReadCloser, error) { return os.Open(path) }}
}

// archive is one pass over the .tar.gz.
type archive struct {
	file io.Closer
	raw  *errReader
	zr   *gzip.Reader
	tr   *tar.Reader
	name string
}

func (s *archiveSource) start() (*archive, error) {
	f, err := s.open()
	if err != nil {
		return nil, err
	}
	a := &archive{file: f, name: s.name, raw: &errReader{r: f}}
	a.zr, err = gzip.NewReader(bufio.NewReaderSize(a.raw, 1<<20))
	if err != nil {
		_ = f.Close() // only read from
		return nil, a.fail(err)
	}
	a.tr = tar.NewReader(a.zr)
	return a, nil
}

func (a *archive) Close() error { return a.file.Close() }

// fail sorts errors: what the disk says is passed on, everything else means that the content is bad.
func (a *archive) fail(err error) error {
	if a.raw.err != nil {
		return a.raw.err
	}
	var c *CorruptError
	if errors.As(err, &c) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &CorruptError{Path: a.name, Why: "ends too early", Err: io.ErrUnexpectedEOF}
	}
	return &CorruptError{Path: a.name, Why: "is not a readable .tar.gz", Err: err}
}

// next returns the next file's name below the top folder.
func (a *archive) next(top string) (string, *tar.Header, error) {
	h, err := a.tr.Next()
	if err != nil {
		return "", nil, a.fail(err)
	}
	name, ok := strings.CutPrefix(h.Name, top+"/")
	if !ok || !outerRE.MatchString(name) {
		return "", nil, corrupt(a.name, "holds %q, which is not a file of the folder %q", h.Name, top)
	}
	if err := plainEntry(h, name); err != nil {
		return "", nil, err
	}
	return name, h, nil
}

// toPayload walks to the payload and records what it passes.
func (a *archive) toPayload() (*head, error) {
	th, err := a.tr.Next()
	if err != nil {
		return nil, a.fail(err)
	}
	top := strings.TrimSuffix(th.Name, "/")
	if th.Typeflag != tar.TypeDir || !outerRE.MatchString(top) {
		return nil, corrupt(a.name, "does not begin with the bundle's folder but with %q", th.Name)
	}
	h := &head{top: top, outer: map[string]outerFile{}, hashed: true}
	seen := map[string]bool{}
	for {
		name, th, err := a.next(top)
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, corrupt(name, "is in the archive twice")
		}
		seen[name] = true
		if len(seen) > maxOuters {
			return nil, corrupt(a.name, "holds more than %d files beside the payload", maxOuters)
		}
		if name != PayloadName && th.Size > maxOuter {
			return nil, corrupt(name, "is larger than %d bytes", maxOuter)
		}
		switch name {
		case PayloadName:
			if !seen[ContractName] || !seen[SumsName] {
				return nil, corrupt(a.name, "%s and %s do not come before %s", ContractName, SumsName, PayloadName)
			}
			h.payloadSize = th.Size
			return h, nil
		case ContractName:
			h.contract, err = a.small(name, th.Size, MaxContract)
		case SumsName:
			h.sums, err = a.small(name, th.Size, maxSums)
		case SignatureName:
			h.signature, err = a.small(name, th.Size, maxSignature)
		default:
			sum := sha256.New()
			var n int64
			if n, err = io.Copy(sum, a.tr); err != nil {
				err = a.fail(err)
			}
			h.outer[name] = outerFile{size: n, sum: digestAlgo + hex.EncodeToString(sum.Sum(nil))}
		}
		if err != nil {
			return nil, err
		}
	}
}

func (a *archive) small(name string, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, corrupt(name, "is larger than %d bytes", limit)
	}
	data, err := io.ReadAll(a.tr)
	if err != nil {
		return nil, a.fail(err)
	}
	return data, nil
}

func (s *archiveSource) scan(_ bool, admit Admit) (*head, error) {
	a, err := s.start()
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Close() }() // only read from
	h, err := a.toPayload()
	if err != nil {
		return nil, err
	}
	if admit != nil {
		if err := admit(h.contract, h.signature); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (s *archiveSource) payload() (io.ReadCloser, error) {
	a, err := s.start()
	if err != nil {
		return nil, err
	}
	if _, err := a.toPayload(); err != nil {
		_ = a.Close() // only read from
		return nil, err
	}
	return &archivePayload{archive: a}, nil
}

// archivePayload reads the payload out of the archive, and the end of the archive after it.
type archivePayload struct {
	*archive
	err error // what every Read says from now on
}

func (p *archivePayload) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.tr.Read(b)
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		p.err = p.fail(err)
	default:
		if p.err = p.end(); p.err == nil {
			p.err = io.EOF
		}
	}
	return n, p.err
}

// end checks that nothing but tar's padding follows, and lets gzip check its last sum.
func (p *archivePayload) end() error {
	h, err := p.tr.Next()
	if err == nil {
		return corrupt(p.name, "holds %q after the payload", h.Name)
	}
	if !errors.Is(err, io.EOF) {
		return p.fail(err)
	}
	rest, err := io.ReadAll(io.LimitReader(p.zr, 10<<10+1)) // a tar may be padded to 10 KiB
	if err != nil {
		return p.fail(err)
	}
	if len(rest) > 10<<10 || len(bytes.Trim(rest, "\x00")) > 0 {
		return corrupt(p.name, "holds data after its end")
	}
	return nil
}

// plainEntry refuses everything but a regular file without extras.
func plainEntry(h *tar.Header, name string) error {
	if h.Typeflag != tar.TypeReg {
		return corrupt(name, "is not a regular file (tar type %q)", h.Typeflag)
	}
	for k := range h.PAXRecords {
		if k != "size" && k != "path" { // what tar needs for large files; no sparse files, no attributes
			return corrupt(name, "has the tar record %q", k)
		}
	}
	return nil
}

// errReader remembers what went wrong below, to tell a bad disk from bad content.
type errReader struct {
	r   io.Reader
	err error
}

func (e *errReader) Read(b []byte) (int, error) {
	n, err := e.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		e.err = err
	}
	return n, err
}
