package builder

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"kubebundle/bundle"
)

// Include is a file or a folder that travels along and is put at a place on every host.
type Include struct {
	Source string // a file, or a folder whose content goes to Dest
	Dest   string // absolute path on the host: of the file, or of the folder
}

// ParseInclude reads PATH:DEST. A DEST that ends with a slash is the folder that a file goes to.
func ParseInclude(s string) (Include, error) {
	i := strings.LastIndex(s, ":/")
	if i <= 0 {
		return Include{}, fmt.Errorf("include %q: want PATH:DEST, and DEST an absolute path on the hosts", s)
	}
	return Include{Source: s[:i], Dest: s[i+1:]}, nil
}

// PlannedFile is a file that will be put on every host.
type PlannedFile struct {
	Source string `json:"source"` // on this machine
	Dest   string `json:"dest"`   // on the hosts
	Mode   uint32 `json:"mode"`
	Size   int64  `json:"size"`
}

// addIncludes finds the files behind the request's includes. Every mistake is reported.
func (p *Plan) addIncludes(list []Include) error {
	var errs []error
	for _, inc := range list {
		if err := p.include(inc); err != nil {
			errs = append(errs, err)
		}
	}
	slices.SortFunc(p.Files, func(a, b PlannedFile) int { return strings.Compare(a.Dest, b.Dest) })
	at := map[string]PlannedFile{}
	for _, f := range p.Files {
		if other, taken := at[f.Dest]; taken {
			errs = append(errs, fmt.Errorf("include %s: %s goes to %s as well", f.Source, other.Source, f.Dest))
		}
		at[f.Dest] = f
		for dir := path.Dir(f.Dest); dir != "/"; dir = path.Dir(dir) { // files come after the folders that they are in
			if other, taken := at[dir]; taken {
				errs = append(errs, fmt.Errorf("include %s: it would go to %s, but %s is the file %s", f.Source, f.Dest, dir, other.Source))
			}
		}
	}
	return errors.Join(errs...)
}

func (p *Plan) include(inc Include) error {
	st, err := os.Stat(inc.Source) // a link that was named is followed
	if err != nil {
		return fmt.Errorf("include %s: %w", inc.Source, bare(err))
	}
	if !st.IsDir() {
		dest := inc.Dest
		if strings.HasSuffix(dest, "/") {
			dest += filepath.Base(inc.Source)
		}
		return p.addFile(inc.Source, dest, st)
	}
	var errs []error
	found := false
	err = filepath.WalkDir(inc.Source+string(filepath.Separator), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		found = true
		st, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(inc.Source, name)
		if err != nil {
			return err
		}
		errs = append(errs, p.addFile(name, strings.TrimSuffix(inc.Dest, "/")+"/"+filepath.ToSlash(rel), st))
		return nil
	})
	if err != nil {
		errs = append(errs, fmt.Errorf("include %s: %w", inc.Source, err))
	} else if !found {
		errs = append(errs, fmt.Errorf("include %s: the folder holds no file", inc.Source))
	}
	return errors.Join(errs...)
}

func (p *Plan) addFile(source, dest string, st fs.FileInfo) error {
	fail := func(why string, args ...any) error {
		return fmt.Errorf("include %s: %s", source, fmt.Sprintf(why, args...))
	}
	switch {
	case st.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(source)
		if err != nil {
			return fail("%v", bare(err))
		}
		return fail("is a symbolic link to %s, and a bundle holds regular files only; include what it leads to, or take it away", to)
	case !st.Mode().IsRegular():
		return fail("is not a regular file")
	case st.Mode().Perm() == 0:
		return fail("has the mode 0000; nobody could read it on the host")
	}
	if err := bundle.CheckDest(dest); err != nil {
		return fail("%s %v", dest, err)
	}
	if st.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s loses its setuid, setgid or sticky bit: a bundle keeps %04o", source, st.Mode().Perm()))
	}
	var unreadable *fs.PathError
	switch err := checkProgram(source, p.Arch); {
	case errors.As(err, &unreadable):
		return fail("%v", bare(err))
	case err != nil && !errors.Is(err, errNotELF):
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s %v", source, err))
	}
	p.Files = append(p.Files, PlannedFile{Source: source, Dest: dest, Mode: uint32(st.Mode().Perm()), Size: st.Size()})
	return nil
}

// includedFile hashes a file. It is read again when it is packed; the writer then insists on the same bytes.
func includedFile(f PlannedFile) (packed, error) {
	r, err := os.Open(f.Source)
	if err != nil {
		return packed{}, fmt.Errorf("include %s: %w", f.Source, bare(err))
	}
	defer func() { _ = r.Close() }() // only read from
	sum := sha256.New()
	n, err := io.Copy(sum, r)
	if err != nil {
		return packed{}, fmt.Errorf("include %s: %w", f.Source, bare(err))
	}
	return packed{
		File:   bundle.File{Path: bundle.IncludePrefix + f.Dest[1:], Mode: f.Mode, Size: n, SHA256: "sha256:" + hex.EncodeToString(sum.Sum(nil))},
		cached: f.Source,
	}, nil
}

// notOurs refuses an included file that would take the place of a CNI plugin of the bundle's.
func notOurs(files []PlannedFile, programs []packed) error {
	for _, f := range files {
		name, ok := strings.CutPrefix(f.Dest, "/opt/cni/bin/")
		if ok && slices.ContainsFunc(programs, func(p packed) bool { return p.Path == "cni/"+name }) {
			return fmt.Errorf("include %s: %s is the place of a plugin that the bundle brings itself", f.Source, f.Dest)
		}
	}
	return nil
}
