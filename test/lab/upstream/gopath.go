package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"kubebundle/test/lab/cache"
)

// Kubernetes from before Go had modules. Its module holds the parts which it was split into below staging/ but no go.mod anywhere, its dependencies
// were folders of its own tree, and one generated file is missing. A copy of the folder gets the sources beside it, in _src, with a go.mod
// for each part; the folder's go.mod points there and pins the dependencies. upstream.sum pins the sources themselves.
var (
	stagedParts = []string{"api", "apiextensions-apiserver", "apimachinery", "apiserver", "client-go", "kube-aggregator", "metrics"}
	ownParts    = []string{"cmd", "pkg", "plugin", "third_party", "test/e2e_node/system"}
)

const openAPIFile = "pkg/generated/openapi/zz_generated.openapi.go"

// gopathSources returns a folder in which a set from before modules can be built.
func (b *Builder) gopathSources(ctx context.Context, s set) (string, error) {
	files, err := s.sources(b.Module)
	if err != nil {
		return "", err
	}
	sum, err := cache.FileKey(files...)
	if err != nil {
		return "", err
	}
	return cache.Once(ctx, filepath.Join(b.Dir, "sources"), s.folder+"-"+sum, func(ctx context.Context, tmp string) error {
		b.Log.Info("prepare sources", "of", s.folder)
		if err := copyTree(ctx, filepath.Join(b.Module, "test/lab/upstream", s.folder), tmp); err != nil {
			return err
		}
		module, err := pinnedModule(ctx, filepath.Join(tmp, "upstream.sum"))
		if err != nil {
			return err
		}
		if err := splitSources(ctx, module, filepath.Join(tmp, "_src")); err != nil {
			return err
		}
		return generateOpenAPI(ctx, tmp)
	})
}

// pinnedModule downloads the module that a file in the form of go.sum names, and returns its folder.
func pinnedModule(ctx context.Context, sumFile string) (string, error) {
	raw, err := os.ReadFile(sumFile)
	if err != nil {
		return "", err
	}
	want := strings.Fields(string(raw))
	if len(want) != 3 {
		return "", fmt.Errorf("%s: want one line: module, version, h1:…", sumFile)
	}
	out, err := goCommand(ctx, "/", nil, "mod", "download", "-json", want[0]+"@"+want[1])
	if err != nil {
		return "", err
	}
	var got struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &got); err != nil {
		return "", err
	}
	if got.Sum != want[2] {
		return "", fmt.Errorf("%s@%s has %s, pinned is %s", want[0], want[1], got.Sum, want[2])
	}
	return got.Dir, nil
}

// splitSources copies the parts of the module to where the folder's go.mod expects them.
func splitSources(ctx context.Context, module, src string) error {
	parts := map[string]string{"hack/boilerplate": "boilerplate"}
	for _, p := range stagedParts {
		parts["staging/src/k8s.io/"+p] = p
	}
	for _, p := range ownParts {
		parts[p] = "kubernetes/" + p
	}
	for from, to := range parts {
		if err := copyTree(ctx, filepath.Join(module, from), filepath.Join(src, to)); err != nil {
			return err
		}
	}
	for _, p := range append([]string{"kubernetes"}, stagedParts...) {
		text := "module k8s.io/" + p + "\n\ngo 1.16\n" // before 1.17 a module need not list what its dependencies need
		if err := os.WriteFile(filepath.Join(src, p, "go.mod"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies a folder's content; what comes out of the module cache is read-only there.
func copyTree(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "cp", "-r", "--no-preserve=mode", from+"/.", to).CombinedOutput(); err != nil {
		return fmt.Errorf("copy %s: %w\n%s", from, err, out)
	}
	return nil
}

// generateOpenAPI makes the file that upstream's own build generates, with its own generator. That wants a GOPATH, which is links here.
func generateOpenAPI(ctx context.Context, dir string) error {
	src := filepath.Join(dir, "_src")
	tool, gopath, gen := filepath.Join(src, "openapi-gen"), filepath.Join(src, "gopath"), filepath.Join(src, "gen")
	env := []string{"CGO_ENABLED=0"}
	if _, err := goCommand(ctx, dir, env, "build", "-trimpath", "-o", tool, "./openapi-gen"); err != nil {
		return err
	}
	out, err := goCommand(ctx, dir, env, "list", "-m", "-f", "{{if not .Main}}{{.Path}} {{.Dir}}{{end}}", "all")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 2 { // a module of which nothing is built is not there
			continue
		}
		at := filepath.Join(gopath, "src", f[0])
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(f[1], at); err != nil {
			return err
		}
	}
	inputs, err := openAPIPackages(src)
	if err != nil {
		return err
	}
	const pkg = "k8s.io/kubernetes/pkg/generated/openapi"
	cmd := exec.CommandContext(ctx, tool, "-i", strings.Join(inputs, ","), "-p", pkg, "-O", "zz_generated.openapi",
		"--output-base", gen, "-h", filepath.Join(src, "boilerplate/boilerplate.go.txt"))
	cmd.Env = append(os.Environ(), "GO111MODULE=off", "GOFLAGS=", "GOPATH="+gopath)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("openapi-gen: %w\n%s", err, out)
	}
	if err := os.Rename(filepath.Join(gen, pkg, path.Base(openAPIFile)), filepath.Join(src, "kubernetes", openAPIFile)); err != nil {
		return err
	}
	for _, p := range []string{tool, gopath, gen} {
		if err := os.RemoveAll(p); err != nil {
			return err
		}
	}
	return nil
}

// openAPIPackages are the packages whose types ask to be described.
func openAPIPackages(src string) ([]string, error) {
	var pkgs []string
	roots := []string{"kubernetes/pkg", "kubernetes/cmd", "kubernetes/plugin"}
	for _, root := range append(roots, stagedParts...) {
		err := filepath.WalkDir(filepath.Join(src, root), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(p)
			if err != nil || !bytes.Contains(raw, []byte("+k8s:openapi-gen=")) {
				return err
			}
			rel, err := filepath.Rel(src, filepath.Dir(p))
			pkgs = append(pkgs, "k8s.io/"+rel)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(pkgs)
	return slices.Compact(pkgs), nil
}

// goCommand runs go for a module that is not the caller's project, whose GOFLAGS and GOWORK are not meant for it. It returns stdout.
func goCommand(ctx context.Context, dir string, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GOOS=linux", "GOFLAGS=", "GOWORK=off"), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s%s", strings.Join(args[:min(2, len(args))], " "), err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes(), nil
}
