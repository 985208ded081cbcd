package builder

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"kubebundle/bundle"
	"kubebundle/bundle/trust"
	"kubebundle/imagestore"
	"kubebundle/release"
)

// packed is a file of the payload and where its bytes are.
type packed struct {
	bundle.File
	data    []byte // of small files
	cached  string // a file of the cache: the file itself, or the archive that holds it
	archive bool
	member  string       // name within the archive
	pinned  *trust.Place // in a cached file: what stands there instead
}

// programs downloads the node binaries and looks into the archives. The result is in the order of the plan, members
// in the order of their archive.
func (b *Builder) programs(ctx context.Context, p *Plan) (files []packed, warnings []string, err error) {
	found := make([][]packed, len(p.Binaries))
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(b.jobs())
	for i, bin := range p.Binaries {
		g.Go(func() error {
			list, warning, err := b.program(ctx, bin, p.Arch)
			mu.Lock()
			defer mu.Unlock()
			if warning != "" {
				warnings = append(warnings, warning)
			}
			if err != nil {
				if bin.Optional && isAbsent(err) {
					warnings = append(warnings, fmt.Sprintf("%s is left out: %v", bin.Name, err))
					return nil
				}
				return err
			}
			found[i] = list
			b.tell(Event{Stage: StageProgram, Name: bin.Name + " " + bin.Version, Arch: p.Arch})
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	for _, list := range found {
		for _, f := range list {
			if seen[f.Path] {
				return nil, nil, fmt.Errorf("download %s: there are two programs of that name", f.Path)
			}
			seen[f.Path] = true
			files = append(files, f)
		}
	}
	slices.Sort(warnings)
	return files, warnings, nil
}

// isAbsent says that a download cannot be had; a download that is wrong is another matter.
func isAbsent(err error) bool {
	return errors.Is(err, imagestore.ErrNotFound) || errors.Is(err, imagestore.ErrNoChecksum) || errors.Is(err, imagestore.ErrUnreachable) || errors.Is(err, imagestore.ErrUnauthorized)
}

func (b *Builder) program(ctx context.Context, bin release.Binary, arch release.Arch) (files []packed, warning string, err error) {
	req := imagestore.DownloadRequest{URL: bin.URL}
	for _, c := range bin.Checksums {
		req.Checksums = append(req.Checksums, imagestore.Checksum{Kind: c.Kind, URL: c.URL})
	}
	f, err := b.Store.Download(ctx, req)
	if err != nil {
		return nil, "", err
	}
	if weak := "sha1"; strings.HasPrefix(f.Checksum, weak+":") && bin.Checksums[0].Kind != weak {
		warning = fmt.Sprintf("%s %s is only checked by SHA-1: its %s checksum was not found beside it", bin.Name, bin.Version, bin.Checksums[0].Kind)
	}
	of := bundle.File{Mode: 0o755, Source: bin.URL, Checksum: f.Checksum}
	switch bin.Archive {
	case "":
		if err = checkProgram(f.Path, arch); err == nil {
			of.Path, of.Size, of.SHA256 = "bin/"+bin.Name, f.Size, f.SHA256
			files = []packed{{File: of, cached: f.Path}}
		}
	case "tar.gz":
		files, err = members(f.Path, bin.Name, arch, of)
	default:
		err = fmt.Errorf("archives of kind %q are not known", bin.Archive)
	}
	if err != nil {
		return nil, "", fmt.Errorf("download %s: %w", bin.URL, err)
	}
	return files, warning, nil
}

// members lists the programs in an archive; licences and the like are left out. CNI plugins go to cni/, others to bin/.
func members(archive, name string, arch release.Arch, of bundle.File) ([]packed, error) {
	a, err := openTarGz(archive)
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.Close() }() // only read from
	folder := "bin/"
	if name == "cni-plugins" {
		folder = "cni/"
	}
	var list []packed
	for {
		h, err := a.tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the archive is broken: %w", err)
		}
		base := path.Base(path.Clean("/" + h.Name))
		switch h.Typeflag {
		case tar.TypeDir:
			continue
		case tar.TypeReg:
		default:
			return nil, fmt.Errorf("the archive holds %q, which is not a regular file", h.Name)
		}
		f, isProgram, err := member(a.tr, arch, of)
		if err != nil {
			return nil, fmt.Errorf("%s in the archive: %w", h.Name, err)
		}
		if isProgram {
			f.Path = folder + base
			list = append(list, packed{File: f, cached: archive, archive: true, member: h.Name})
		}
	}
	if len(list) == 0 {
		return nil, errors.New("the archive holds no program")
	}
	return list, nil
}

func member(r io.Reader, arch release.Arch, of bundle.File) (f bundle.File, isProgram bool, err error) {
	head, err := readHead(r)
	if err != nil {
		return f, false, err
	}
	if err := checkArch(head, arch); errors.Is(err, errNotELF) {
		return f, false, nil
	} else if err != nil {
		return f, false, err
	}
	sum := sha256.New()
	size, err := io.Copy(sum, io.MultiReader(bytes.NewReader(head), r))
	if err != nil {
		return f, false, err
	}
	f = of
	f.Size, f.SHA256 = size, "sha256:"+hex.EncodeToString(sum.Sum(nil))
	return f, true, nil
}

// tarGz is an open archive of the cache.
type tarGz struct {
	path string
	file *os.File
	tr   *tar.Reader
}

func openTarGz(path string) (*tarGz, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	zr, err := gzip.NewReader(f)
	if err != nil {
		_ = f.Close() // only read from
		return nil, fmt.Errorf("the archive is broken: %w", err)
	}
	return &tarGz{path: path, file: f, tr: tar.NewReader(zr)}, nil
}

func (a *tarGz) Close() error { return a.file.Close() }

// cursor reads members of archives one after the other. It goes on where it stands, because files are packed in the
// order of their archive, and starts again where that does not help.
type cursor struct{ cur *tarGz }

func (c *cursor) open(archive, member string) (io.ReadCloser, error) {
	for fresh := false; ; fresh = true {
		if c.cur == nil || c.cur.path != archive || fresh {
			c.close()
			a, err := openTarGz(archive)
			if err != nil {
				return nil, err
			}
			c.cur, fresh = a, true
		}
		for {
			h, err := c.cur.tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("the archive is broken: %w", err)
			}
			if h.Name == member {
				return io.NopCloser(c.cur.tr), nil
			}
		}
		if fresh {
			return nil, fmt.Errorf("%s is no longer in the archive", member)
		}
	}
}

func (c *cursor) close() {
	if c.cur != nil {
		_ = c.cur.Close() // only read from
		c.cur = nil
	}
}
