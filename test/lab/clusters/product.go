package clusters

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"kubebundle/test/lab/cache"
	"kubebundle/test/lab/hosts"
	"kubebundle/test/lab/upstream"
)

// Programs are our own programs, built from the working tree.
type Programs struct {
	Bundler   string
	Installer string // for one architecture
}

// BuildPrograms builds both for the machine.
func (e *Env) BuildPrograms(ctx context.Context) (Programs, error) {
	return BuildPrograms(ctx, e.Builder.Module, filepath.Join(e.Dir, "product-"+e.Lab.Net.Bridge), runtime.GOARCH)
}

// BuildPrograms builds bundler, and install for an architecture, as a release is built. They lie side by side under the names that bundler expects.
func BuildPrograms(ctx context.Context, module, dir, arch string) (Programs, error) {
	p := Programs{Bundler: filepath.Join(dir, "bundler"), Installer: filepath.Join(dir, "install-linux-"+arch)}
	for out, pkg := range map[string]string{p.Bundler: "./cmd/bundler", p.Installer: "./cmd/install"} {
		ldflags, env := "-s -w -X main.version=lab", []string{"CGO_ENABLED=0", "GOARCH=" + arch}
		if out == p.Bundler {
			ldflags, env = ldflags+" -extldflags=-static", []string{"CGO_ENABLED=1", "CGO_CFLAGS=-O3"}
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "netgo,osusergo", "-ldflags", ldflags, "-o", out+".part", pkg)
		cmd.Dir = module
		cmd.Env = append(os.Environ(), env...)
		if msg, err := cmd.CombinedOutput(); err != nil {
			return p, fmt.Errorf("go build %s: %w\n%s", pkg, err, msg)
		}
		if err := os.Rename(out+".part", out); err != nil {
			return p, err
		}
	}
	return p, nil
}

// Bundle is a bundle file and the name of the folder inside.
type Bundle struct {
	Path   string
	Folder string // k8s-v1.34.4-linux-amd64
}

// BuildBundle builds the bundle of the environment's version with its manifests, from the lab's servers, or finds it in the cache.
func (e *Env) BuildBundle(ctx context.Context, p Programs) (Bundle, error) {
	key, err := cache.FileKey(append([]string{p.Bundler, p.Installer}, e.Manifests...)...)
	if err != nil {
		return Bundle{}, err
	}
	inputs := []string{key, e.Upstream.Version, e.effort()}
	if e.VirtualIP {
		inputs = append(inputs, "vip")
	}
	for _, i := range e.Upstream.Images {
		inputs = append(inputs, i.Ref(), i.Index)
	}
	// Only the newest is kept: a bundle is large, and a change of our programs makes another.
	name := "bundle-" + e.Upstream.Version + "-" + cache.Key(inputs...)
	dir := filepath.Join(e.Dir, "bundles-"+e.Lab.Net.Bridge)
	if err := keepOnly(dir, "bundle-"+e.Upstream.Version+"-", name); err != nil {
		return Bundle{}, err
	}
	b := Bundle{Folder: "k8s-" + e.Upstream.Version + "-linux-" + runtime.GOARCH}
	dir, err = cache.Once(ctx, dir, name, func(ctx context.Context, tmp string) error {
		e.Log.Info("build the bundle", "version", e.Upstream.Version)
		return e.Pack(ctx, p, nil, "--output-dir", tmp)
	})
	b.Path = filepath.Join(dir, b.Folder+".tar.gz")
	return b, err
}

func (e *Env) effort() string { return cmp.Or(e.Compression, "default") }

// Pack runs `bundler build` for the environment's version and manifests with the lab's servers for the network. They serve some more images beside
// those of the release; args are further flags.
func (e *Env) Pack(ctx context.Context, p Programs, more []upstream.Image, args ...string) error {
	served := *e.Upstream
	served.Images = slices.Concat(served.Images, more)
	s, err := upstream.Serve(ctx, e.Log, &served)
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // only reads
	argv := []string{
		"build", "--version", e.Upstream.Version, "--arch", runtime.GOARCH, "--installer", p.Installer,
		"--compression", e.effort(), "--cache-dir", filepath.Join(e.Dir, "bundler-cache"),
	}
	for _, m := range e.Manifests {
		argv = append(argv, "--manifest", m)
	}
	if e.VirtualIP {
		argv = append(argv, "--vip")
	}
	cmd := exec.CommandContext(ctx, p.Bundler, slices.Concat(argv, s.Flags(), args)...)
	if msg, err := cmd.CombinedOutput(); err != nil {
		return &hosts.Error{Args: cmd.Args, Output: string(msg), Err: err}
	}
	return nil
}

func keepOnly(dir, prefix, name string) error {
	old, err := filepath.Glob(filepath.Join(dir, prefix+"*"))
	if err != nil {
		return err
	}
	for _, o := range old {
		if filepath.Base(o) != name {
			if err := os.RemoveAll(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// Carry brings a bundle to a host, as a person with a disk would, and unpacks it in /root there.
func (b Bundle) Carry(ctx context.Context, h *hosts.Host) error {
	to := "/root/" + filepath.Base(b.Path)
	if err := h.CopyIn(ctx, b.Path, to); err != nil {
		return err
	}
	return h.Run(ctx, "tar", "-xzf", to, "-C", "/root")
}

// Installation is one run of `install` on a host.
type Installation struct {
	Args   []string
	Stdout string
	Stderr string
	Err    error
}

// Code is the exit code.
func (i Installation) Code() int { return hosts.ExitCode(i.Err) }

// Install runs ./install in the bundle's folder on the host, after the bundle was carried there.
func (b Bundle) Install(ctx context.Context, h *hosts.Host, args ...string) Installation {
	var out, stderr bytes.Buffer
	// -C is not known to old versions of env, so a shell changes the folder.
	argv := append([]string{"sh", "-c", `cd "/root/$0" && exec ./install "$@"`, b.Folder}, args...)
	err := h.Exec(ctx, hosts.Streams{Out: &out, Err: &stderr}, argv...)
	return Installation{Args: args, Stdout: out.String(), Stderr: stderr.String(), Err: err}
}

func (i Installation) check() error {
	if i.Err == nil {
		return nil
	}
	return fmt.Errorf("install %s: exit code %d\n%s%s", strings.Join(i.Args, " "), i.Code(), i.Stdout, i.Stderr)
}
