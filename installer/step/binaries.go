package step

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/dustin/go-humanize"

	"kubebundle/bundle"
)

// Binaries installs files from the bundle's payload: the node's programs and units (bin/* to /usr/bin, cni/* to /opt/cni/bin,
// systemd/* to /etc/systemd/system), or the files that the user included, to where the user wants them.
type Binaries struct {
	Files    []bundle.File // as in the contract; see NewBinaries and NewIncluded
	Included bool
	// Stage is a folder that holds the files, or is to hold them, under their places on the host: an upgrade unpacks them there while the old ones
	// still serve, and later only copies. "" stages nothing.
	Stage string
	// Staging unpacks into Stage and leaves the places themselves alone.
	Staging bool
}

// NewBinaries takes from the contract the programs and units of a node.
func NewBinaries(c *bundle.Contract) Binaries {
	var s Binaries
	for _, f := range c.Files {
		if InstallPath(f.Path) != "" && f.Dest() == "" {
			s.Files = append(s.Files, f)
		}
	}
	return s
}

// NewIncluded takes from the contract the files that the user included.
func NewIncluded(c *bundle.Contract) Binaries {
	s := Binaries{Included: true}
	for _, f := range c.Files {
		if f.Dest() != "" {
			s.Files = append(s.Files, f)
		}
	}
	return s
}

// InstallPath says where a payload file goes on a node, "" if nowhere.
func InstallPath(payloadPath string) string {
	top, rest, ok := strings.Cut(payloadPath, "/")
	if !ok || rest == "" || path.Clean(payloadPath) != payloadPath {
		return ""
	}
	switch top {
	case "bin":
		return "/usr/bin/" + rest
	case "cni":
		return "/opt/cni/bin/" + rest
	case "systemd":
		return "/etc/systemd/system/" + rest
	case "include":
		return "/" + rest
	default:
		return ""
	}
}

// dest is where this step puts a file.
func (s Binaries) dest(f bundle.File) string {
	if s.Staging {
		return path.Join(s.Stage, InstallPath(f.Path))
	}
	return InstallPath(f.Path)
}

func (s Binaries) String() string {
	var size int64
	for _, f := range s.Files {
		size += f.Size
	}
	total := humanize.Bytes(uint64(max(size, 0)))
	if s.Staging {
		return fmt.Sprintf("unpack %d programs and units %s to %s", len(s.Files), total, s.Stage)
	}
	if !s.Included {
		return fmt.Sprintf("install %d programs and units %s", len(s.Files), total)
	}
	places := make([]string, 0, len(s.Files))
	for _, f := range s.Files {
		places = append(places, f.Dest())
	}
	return fmt.Sprintf("install %d included files %s: %s", len(s.Files), total, strings.Join(places, ", "))
}

// missing lists the files that are not on the host with the bundle's content and mode.
func (s Binaries) missing(ctx context.Context, t *Target) (map[string]bundle.File, error) {
	out := map[string]bundle.File{}
	for _, f := range s.Files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		same, err := sameFile(t, s.dest(f), f)
		if err == nil && !same && s.Staging { // what is in its place already need not be brought there
			same, err = sameFile(t, InstallPath(f.Path), f)
		}
		if err != nil {
			return nil, err
		}
		if !same {
			out[f.Path] = f
		}
	}
	return out, nil
}

func sameFile(t *Target, p string, f bundle.File) (bool, error) {
	fi, err := t.Host.Stat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !fi.Mode().IsRegular() || fi.Size() != f.Size || fi.Mode().Perm() != fs.FileMode(f.Mode).Perm() {
		return false, nil
	}
	r, err := t.Host.Open(p)
	if err != nil {
		return false, err
	}
	defer func() { _ = r.Close() }() // only read from
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return false, fmt.Errorf("read %s: %w", p, err)
	}
	return "sha256:"+hex.EncodeToString(h.Sum(nil)) == f.SHA256, nil
}

// Satisfied if all are installed, byte for byte.
func (s Binaries) Satisfied(ctx context.Context, t *Target) (bool, error) {
	m, err := s.missing(ctx, t)
	return err == nil && len(m) == 0, err
}

// Apply streams the payload once and installs what is missing. A file appears only after its digest was right.
func (s Binaries) Apply(ctx context.Context, t *Target) error {
	todo, err := s.missing(ctx, t)
	if err != nil || len(todo) == 0 {
		return err
	}
	if t.Bundle == nil {
		return errors.New("install programs: no bundle at hand")
	}
	var done, total int64
	for _, f := range todo {
		total += f.Size
	}
	if s.Stage != "" && !s.Staging {
		if err := s.unstage(t, todo); err != nil || len(todo) == 0 {
			return err
		}
	}
	p, err := t.Bundle.Payload(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }() // only read from
	for len(todo) > 0 {
		e, err := p.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		f, ok := todo[e.Path]
		if e.Kind != bundle.KindFile || !ok {
			continue
		}
		if err := install(t, s.dest(f), fs.FileMode(f.Mode), p); err != nil {
			return err
		}
		delete(todo, e.Path)
		done += f.Size
		t.progress(done, total, "files")
	}
	for p := range todo {
		return fmt.Errorf("install %s: it is not in the payload", p)
	}
	return nil
}

// unstage copies what lies in the stage, and takes it off the list.
func (s Binaries) unstage(t *Target, todo map[string]bundle.File) error {
	for name, f := range todo {
		staged := path.Join(s.Stage, InstallPath(f.Path))
		same, err := sameFile(t, staged, f)
		if err != nil {
			return err
		}
		if !same {
			continue
		}
		if err := copyFile(t, staged, InstallPath(f.Path), fs.FileMode(f.Mode)); err != nil {
			return fmt.Errorf("install %s: %w", InstallPath(f.Path), err)
		}
		delete(todo, name)
	}
	return nil
}

func install(t *Target, p string, mode fs.FileMode, r io.Reader) error {
	w, err := t.Host.Create(p, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil { // the reader ends well only if size and digest were right
		return errors.Join(fmt.Errorf("install %s: %w", p, err), w.Abort())
	}
	return w.Commit()
}

// Before implements Undoer.
func (s Binaries) Before(ctx context.Context, t *Target) ([]Record, error) {
	if s.Staging { // the folder is the installer's own
		return nil, nil
	}
	todo, err := s.missing(ctx, t)
	if err != nil {
		return nil, err
	}
	var out []Record
	seen := map[string]bool{}
	for _, f := range s.Files {
		if _, ok := todo[f.Path]; !ok {
			continue
		}
		recs, err := recordPath(t, InstallPath(f.Path), KindFile)
		if err != nil {
			return nil, err
		}
		for _, r := range recs {
			if !seen[r.Path] {
				seen[r.Path] = true
				out = append(out, r)
			}
		}
	}
	return out, nil
}
