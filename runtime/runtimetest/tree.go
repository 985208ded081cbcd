package runtimetest

import (
	"archive/tar"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/continuity/sysx"
)

// Walk describes a file tree for [Host.Tree].
func Walk(root string) (map[string]string, error) {
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		if err != nil || rel == "." {
			return err
		}
		out[rel], err = describe(path)
		return err
	})
	return out, err
}

func describe(path string) (string, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	st := fi.Sys().(*syscall.Stat_t)
	h := &tar.Header{Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid)}
	var body []byte
	switch {
	case fi.Mode().IsRegular():
		h.Typeflag = tar.TypeReg
		if body, err = os.ReadFile(path); err != nil {
			return "", err
		}
	case fi.IsDir():
		h.Typeflag = tar.TypeDir
	case fi.Mode()&fs.ModeSymlink != 0:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = os.Readlink(path); err != nil {
			return "", err
		}
	case fi.Mode()&fs.ModeCharDevice != 0:
		h.Typeflag = tar.TypeChar
	}
	attrs, err := sysx.LListxattr(path)
	if err != nil {
		return "", err
	}
	h.PAXRecords = map[string]string{}
	for _, a := range attrs {
		v, err := sysx.LGetxattr(path, a)
		if err != nil {
			return "", err
		}
		h.PAXRecords[a] = string(v)
	}
	return describeHeader(h, body, int(st.Nlink)), nil
}

// describeHeader is the one way in which trees are compared: kind, mode with setuid bits, owner, content, link target, extended attributes.
// links is the number of names of a regular file.
func describeHeader(h *tar.Header, body []byte, links int) string {
	kind := map[byte]string{tar.TypeReg: "file", tar.TypeDir: "dir", tar.TypeSymlink: "symlink", tar.TypeChar: "char"}[h.Typeflag]
	s := fmt.Sprintf("%s %04o %d:%d", kind, h.Mode&0o7777, h.Uid, h.Gid)
	switch h.Typeflag {
	case tar.TypeReg:
		s += fmt.Sprintf(" links=%d %q", links, body)
	case tar.TypeSymlink:
		s = "symlink " + h.Linkname
	}
	var attrs strings.Builder
	for k, v := range h.PAXRecords {
		fmt.Fprintf(&attrs, " %s=%q", strings.TrimPrefix(k, "SCHILY.xattr."), v)
	}
	return s + attrs.String()
}
