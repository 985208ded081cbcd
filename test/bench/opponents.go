package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"kubebundle/release"
)

// The opponents' recipes: what people write who carry images to a site today. Shell variables come from the environment:
// W is a fresh folder, OUT the file to make, REGISTRY and FILES the lab's servers, IMAGES the references below REGISTRY, one
// per line, ARCH the architecture.
const (
	// One OCI layout, layers as the registry has them; each layer once.
	craneRecipe = `
mapfile -t refs <<<"$IMAGES"
"$CRANE" pull --format=oci --platform "linux/$ARCH" --annotate-ref "${refs[@]/#/$REGISTRY/}" "$W/images"
` + programsRecipe + `
tar -C "$W" -c . | zstd -q -T0 -3 -f -o "$OUT"
`
	// The strongest that stock tools give: layers uncompressed, and a window that is longer than the programs.
	skopeoRecipe = `
mapfile -t refs <<<"$IMAGES"
mkdir "$W/images"
for r in "${refs[@]}"; do
  skopeo copy -q --override-os linux --override-arch "$ARCH" --src-tls-verify=false --dest-decompress "docker://$REGISTRY/$r" "dir:$W/images/${r//[\/:]/_}"
done
` + programsRecipe + `
tar -C "$W" -c . | zstd -q -T0 -3 --long=27 -f -o "$OUT"
`
	// The programs of a node, unpacked as the bundle has them. PROGRAMS are paths below FILES.
	programsRecipe = `
mkdir "$W/bin"
for p in $PROGRAMS; do
  case $p in
  *.tgz|*.tar.gz) mkdir "$W/bin/$(basename "$p").d" && curl -fsS "$FILES$p" | tar -xz -C "$W/bin/$(basename "$p").d" ;;
  *) curl -fsS -o "$W/bin/$(basename "$p")" "$FILES$p" ;;
  esac
done
`
)

// opponent runs a recipe in a fresh folder.
func (b *bench) opponent(name, recipe string) contender {
	return contender{name: name, run: func(ctx context.Context, round int) (s sample, err error) {
		dir, err := os.MkdirTemp(b.dir, "opponent-")
		if err != nil {
			return s, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		w, out := filepath.Join(dir, "w"), filepath.Join(dir, fmt.Sprintf("out-%d.tar.zst", round))
		if err := os.Mkdir(w, 0o755); err != nil {
			return s, err
		}
		env := []string{
			"W=" + w, "OUT=" + out, "REGISTRY=" + b.server.Registry, "FILES=http://" + b.server.Files, "ARCH=" + b.arch, "CRANE=" + b.crane,
			"IMAGES=" + strings.Join(b.refs, "\n"), "PROGRAMS=" + strings.Join(b.programs, " "),
		}
		argv := append([]string{"env"}, env...)
		s, _, err = command(ctx, append(argv, "bash", "-euo", "pipefail", "-c", recipe)...)
		if err != nil {
			return s, err
		}
		fi, err := os.Stat(out)
		if err != nil {
			return s, err
		}
		s.Size, s.Content = fi.Size(), fi.Size()
		return s, nil
	}}
}

// programPaths are the paths below the file server of what a node needs beside images.
func programPaths(version, arch string) ([]string, error) {
	v, err := release.Parse(version)
	if err != nil {
		return nil, err
	}
	rel, err := release.Find(v, release.Options{})
	if err != nil {
		return nil, err
	}
	list, err := rel.Binaries(release.Arch(arch))
	if err != nil {
		return nil, err
	}
	paths := make([]string, 0, len(list))
	for _, p := range list {
		u, err := url.Parse(p.URL)
		if err != nil {
			return nil, err
		}
		paths = append(paths, u.Path)
	}
	return paths, nil
}

// tools looks for what the recipes run, and builds crane from the version that our own go.mod pins.
func (b *bench) tools(ctx context.Context) error {
	var missing []string
	for _, t := range []string{"bash", "curl", "skopeo", "tar", "zstd"} {
		if _, err := exec.LookPath(t); err != nil {
			missing = append(missing, t)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the opponents need %[1]s (apt-get install %[1]s)", strings.Join(missing, " "))
	}
	b.crane = filepath.Join(b.dir, "crane")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.crane, "github.com/google/go-containerregistry/cmd/crane")
	cmd.Dir = b.env.Builder.Module
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build crane: %w\n%s", err, out)
	}
	return nil
}
