package hosts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

// Snapshot is what a host's file tree was like: path inside the host -> mode, owner and content of what is there.
type Snapshot map[string]string

// Snapshot reads the host's root tree from outside, without the folders below skip (paths inside the host, as "/var/log").
// What is mounted inside the host (/run, /tmp, /proc, …) is not seen from outside.
func (h *Host) Snapshot(skip ...string) (Snapshot, error) {
	s := Snapshot{}
	root := h.Root()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) { // the host lives on meanwhile
			return nil
		}
		if err != nil {
			return err
		}
		inside := "/" + strings.TrimPrefix(strings.TrimPrefix(p, root), "/")
		for _, k := range skip {
			if inside == k || strings.HasPrefix(inside, k+"/") {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
		}
		text, err := describe(p, d)
		if os.IsNotExist(err) {
			return nil
		}
		s[inside] = text
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("snapshot of %s: %w", h.Name, err)
	}
	return s, nil
}

func describe(p string, d fs.DirEntry) (string, error) {
	fi, err := d.Info()
	if err != nil {
		return "", err
	}
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(p)
		return "link to " + to, err
	case !fi.Mode().IsRegular():
		return fi.Mode().String() + owner(fi), nil
	}
	f, err := os.Open(p)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%s %d bytes %s", fi.Mode(), owner(fi), fi.Size(), hex.EncodeToString(sum.Sum(nil))[:16]), nil
}

// owner is " user:group", "" where that is root.
func owner(fi fs.FileInfo) string {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 && st.Gid == 0 {
		return ""
	}
	return fmt.Sprintf(" %d:%d", st.Uid, st.Gid)
}

// Diff lists what differs in later, one line each: "+ path", "- path", "~ path: was, is".
func (s Snapshot) Diff(later Snapshot) []string {
	var out []string
	for p, was := range s {
		is, ok := later[p]
		switch {
		case !ok:
			out = append(out, "- "+p)
		case is != was:
			out = append(out, fmt.Sprintf("~ %s: was %s, is %s", p, was, is))
		}
	}
	for p := range later {
		if _, ok := s[p]; !ok {
			out = append(out, "+ "+p)
		}
	}
	sort.Strings(out)
	return out
}
