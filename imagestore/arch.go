package imagestore

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// config parses the config of a resolved image.
func config(img *Image) (*v1.ConfigFile, error) {
	raw, ok := img.Blobs[img.Config.Digest]
	if !ok {
		return nil, fmt.Errorf("image %s: no config: resolve it first", img.Ref)
	}
	return v1.ParseConfigFile(bytes.NewReader(raw))
}

// configMatches says whether the config names the platform.
func configMatches(img *Image, p Platform) bool {
	cfg, err := config(img)
	return err == nil && cfg.Architecture == p.Arch && cfg.OS == p.OS
}

// CheckArch judges an image whose config names another architecture than p.Arch by the ELF header of its entrypoint, fetching
// the layers that it needs. It returns a warning where the programs are right and only the config is wrong, and an error that wraps
// ErrPlatform where the programs are wrong too. Fetch calls it for every image with such a config.
//
// Images of Kubernetes were published that way: the arm64 ones of coredns v1.8.0, v1.8.6 and v1.9.3 and of etcd 3.4.13-0 say amd64
// (kubernetes issues 104085 and 113543).
func (s *Store) CheckArch(ctx context.Context, img *Image, p Platform) (warning string, err error) {
	cfg, err := config(img)
	if err != nil {
		return "", err
	}
	if cfg.OS != p.OS {
		return "", fmt.Errorf("%w: the config says %s, not %s", ErrPlatform, cfg.OS, p.OS)
	}
	if cfg.Architecture == p.Arch {
		return "", nil
	}
	tree := rootfs{}
	for _, l := range img.Layers {
		if err := s.addLayer(ctx, tree, l); err != nil {
			return "", fmt.Errorf("read layer %s: %w", l.Blob.Digest, err)
		}
	}
	program, arch := tree.entrypoint(cfg.Config)
	if arch == "" {
		program, arch = tree.anyProgram(p.Arch)
	}
	switch arch {
	case p.Arch:
		return fmt.Sprintf("%s: the config says %s, but %s is a program for %s: taken for %s", img.Ref, cfg.Architecture, program, arch, p.Arch), nil
	case "":
		return fmt.Sprintf("%s: the config says %s, and the image holds no program to judge by: taken for %s", img.Ref, cfg.Architecture, p.Arch), nil
	}
	return "", fmt.Errorf("%w: %s was asked for, but %s is a program for %s", ErrPlatform, p.Arch, program, arch)
}

// node is a file of an image: a link's target, or what its ELF header says.
type node struct {
	link string // symbolic link target, or "/path" of a hard link
	arch string // "" for what is no program
}

// rootfs is an image's file tree, by absolute clean path, without contents.
type rootfs map[string]node

func (s *Store) addLayer(ctx context.Context, tree rootfs, l Layer) error {
	r, err := s.Open(ctx, l)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := tree.add(r); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r) // the digests are only checked at the end
	return err
}

// add applies a layer. Whiteouts hide files of the layers below, not of the same layer.
func (t rootfs) add(r io.Reader) error {
	own := rootfs{}
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			maps.Copy(t, own)
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean("/" + h.Name)
		dir, base := path.Split(name)
		switch {
		case base == ".wh..wh..opq":
			t.remove(path.Clean(dir))
		case strings.HasPrefix(base, ".wh."):
			hidden := dir + strings.TrimPrefix(base, ".wh.")
			delete(t, hidden)
			t.remove(hidden)
		case h.Typeflag == tar.TypeSymlink:
			own[name] = node{link: h.Linkname}
		case h.Typeflag == tar.TypeLink:
			own[name] = node{link: path.Clean("/" + h.Linkname)}
		case h.Typeflag == tar.TypeReg:
			own[name] = node{arch: elfArch(tr)}
		}
	}
}

// remove drops everything below a folder.
func (t rootfs) remove(dir string) {
	maps.DeleteFunc(t, func(name string, _ node) bool { return strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/") })
}

// follow resolves links, also in parent folders.
func (t rootfs) follow(name string) (string, node, bool) {
	for range 40 {
		if n, ok := t[name]; ok && n.link == "" {
			return name, n, true
		}
		next, linked := t.step(name)
		if !linked {
			return name, node{}, false
		}
		name = next
	}
	return name, node{}, false
}

// step replaces the first link in a path.
func (t rootfs) step(name string) (string, bool) {
	for i := 1; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		if n, ok := t[name[:i]]; ok && n.link != "" {
			target := n.link
			if !path.IsAbs(target) {
				target = path.Join(path.Dir(name[:i]), target)
			}
			return path.Clean(target + name[i:]), true
		}
	}
	return name, false
}

// entrypoint finds the program that the image starts, as a runtime would.
func (t rootfs) entrypoint(c v1.Config) (program, arch string) {
	args := slices.Concat(c.Entrypoint, c.Cmd)
	if len(args) == 0 || args[0] == "" {
		return "", ""
	}
	candidates := []string{path.Join("/", c.WorkingDir, args[0])}
	switch {
	case path.IsAbs(args[0]):
		candidates = []string{path.Clean(args[0])}
	case !strings.Contains(args[0], "/"):
		candidates = nil
		dirs := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
		for _, e := range c.Env {
			if v, ok := strings.CutPrefix(e, "PATH="); ok {
				dirs = v
			}
		}
		for dir := range strings.SplitSeq(dirs, ":") {
			candidates = append(candidates, path.Join("/", dir, args[0]))
		}
	}
	for _, c := range candidates {
		if name, n, ok := t.follow(c); ok && n.arch != "" {
			return name, n.arch
		}
	}
	return "", ""
}

// anyProgram judges an image that starts a script: by any program of the wanted architecture, else by the first of another.
func (t rootfs) anyProgram(want string) (program, arch string) {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		n := t[name]
		if n.arch == "" {
			continue
		}
		if n.arch == want {
			return name, n.arch
		}
		if program == "" {
			program, arch = name, n.arch
		}
	}
	return program, arch
}

// elfArch is ELFArch of a file's beginning.
func elfArch(r io.Reader) string {
	var head [ELFHeaderSize]byte
	n, _ := io.ReadFull(r, head[:]) // what cannot be read any more fails the tar reader, too
	return ELFArch(head[:n])
}
