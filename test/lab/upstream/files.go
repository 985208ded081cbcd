package upstream

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"kubebundle/release"
	"kubebundle/test/lab/cache"
)

// Files returns what the file server has for a release: URL path -> file of the machine. Checksum files are among them.
func (b *Builder) Files(ctx context.Context, rel *release.Release, version string, arches []string) (map[string]string, error) {
	out := map[string]string{}
	for _, arch := range arches {
		bins, err := rel.Binaries(release.Arch(arch))
		if err != nil {
			return nil, err
		}
		for _, bin := range bins {
			if err := b.publish(ctx, bin, version, arch, out); err != nil {
				return nil, fmt.Errorf("file %s for %s: %w", bin.Name, arch, err)
			}
		}
	}
	return out, nil
}

func (b *Builder) publish(ctx context.Context, bin release.Binary, version, arch string, out map[string]string) error {
	file, err := b.artifact(ctx, bin, version, arch)
	if err != nil {
		return err
	}
	at, err := urlPath(bin.URL)
	if err != nil {
		return err
	}
	out[at] = file
	// GitHub's projects write "hash  name" as sha256sum does, dl.k8s.io writes the bare hash.
	name := ""
	if !strings.HasPrefix(bin.URL, "https://dl.k8s.io/") {
		name = path.Base(at)
	}
	sums, err := b.checksums(ctx, file, name)
	if err != nil {
		return err
	}
	for _, c := range bin.Checksums {
		at, err := urlPath(c.URL)
		if err != nil {
			return err
		}
		out[at] = filepath.Join(sums, c.Kind)
	}
	return nil
}

func urlPath(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	return u.Path, nil
}

// artifact is the file that stands for a release's binary: the program itself, or an archive as upstream packs it.
func (b *Builder) artifact(ctx context.Context, bin release.Binary, version, arch string) (string, error) {
	switch bin.Name {
	case "kubelet", "kubectl":
		dir, err := b.Kubernetes(ctx, version, arch)
		return filepath.Join(dir, bin.Name), err
	case "cni-plugins":
		dir, err := b.CNIPlugins(ctx, arch)
		if err != nil {
			return "", err
		}
		return b.archive(ctx, dir, "./")
	case "crictl":
		dir, err := b.Crictl(ctx, arch)
		if err != nil {
			return "", err
		}
		return b.archive(ctx, dir, "")
	}
	return "", fmt.Errorf("the lab has no %s", bin.Name)
}

// archive packs a folder of programs as a tar.gz.
func (b *Builder) archive(ctx context.Context, dir, prefix string) (string, error) {
	name := filepath.Base(dir) + ".tgz"
	folder, err := cache.Once(ctx, filepath.Join(b.Dir, "archives"), name, func(_ context.Context, tmp string) error {
		f, err := os.Create(filepath.Join(tmp, name))
		if err != nil {
			return err
		}
		defer f.Close()
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		gz := gzip.NewWriter(f)
		tw := tar.NewWriter(gz)
		if prefix != "" { // upstream's CNI archive has an entry for the folder itself
			if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: prefix, Mode: 0o755}); err != nil {
				return err
			}
		}
		for _, e := range entries {
			if err := writeEntry(tw, entry{name: prefix + e.Name(), mode: 0o755, src: filepath.Join(dir, e.Name())}); err != nil {
				return err
			}
		}
		return errors.Join(tw.Close(), gz.Close(), f.Close())
	})
	return filepath.Join(folder, name), err
}

// checksums makes the checksum files of a file, in a folder, named by kind.
func (b *Builder) checksums(ctx context.Context, file, name string) (string, error) {
	fi, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	// The folder's name holds the key of what was built there, so path and size identify the content.
	key := "sums-" + filepath.Base(file) + "-" + cache.Key("1", file, strconv.FormatInt(fi.Size(), 10), name)
	return cache.Once(ctx, filepath.Join(b.Dir, "archives"), key, func(_ context.Context, tmp string) error {
		hashes := map[string]hash.Hash{"sha1": sha1.New(), "sha256": sha256.New(), "sha512": sha512.New()}
		ws := make([]io.Writer, 0, len(hashes))
		for _, h := range hashes {
			ws = append(ws, h)
		}
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := io.Copy(io.MultiWriter(ws...), f); err != nil {
			return err
		}
		for kind, h := range hashes {
			text := hex.EncodeToString(h.Sum(nil))
			if name != "" {
				text += "  " + name + "\n"
			}
			if err := os.WriteFile(filepath.Join(tmp, kind), []byte(text), 0o644); err != nil {
				return err
			}
		}
		return nil
	})
}
