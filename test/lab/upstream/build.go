package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"kubebundle/test/lab/cache"
	"kubebundle/test/lab/hosts"
)

// Builder builds programs, each once per inputs.
type Builder struct {
	Module string // the folder of this project's go.mod
	Dir    string // the lab's folder
	Log    *slog.Logger
}

// NewBuilder finds the project from the working directory, which for a test is its package's folder.
func NewBuilder(ctx context.Context, dir string, log *slog.Logger) (*Builder, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "kubebundle").Output()
	if err != nil {
		return nil, fmt.Errorf("find kubebundle's module: %w (run the lab inside its folder)", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Builder{Module: strings.TrimSpace(string(out)), Dir: dir, Log: log}, nil
}

// build returns the folder with the set's programs for an architecture.
func (b *Builder) build(ctx context.Context, s set, arch string) (string, error) {
	src, err := s.sources(b.Module)
	if err != nil {
		return "", err
	}
	sum, err := cache.FileKey(src...)
	if err != nil {
		return "", err
	}
	key := cache.Key(append([]string{sum, arch, runtime.Version(), strconv.FormatBool(s.cgo), s.tags, s.ldflags}, s.packages...)...)
	return cache.Once(ctx, filepath.Join(b.Dir, "programs"), s.folder+"-"+arch+"-"+key, func(ctx context.Context, tmp string) error {
		b.Log.Info("build", "from", s.folder, "arch", arch)
		start := time.Now()
		if err := b.compile(ctx, s, arch, tmp); err != nil {
			return err
		}
		b.Log.Info("built", "from", s.folder, "arch", arch, "took", time.Since(start).Round(time.Second))
		return nil
	})
}

// crossCompilers are the C compilers for other architectures that `lab prepare` installs.
var crossCompilers = map[string]string{"arm64": "aarch64-linux-gnu-gcc"}

func (b *Builder) compile(ctx context.Context, s set, arch, tmp string) error {
	env := []string{"CGO_ENABLED=0", "GOARCH=" + arch}
	if s.cgo {
		env[0] = "CGO_ENABLED=1"
		if arch != runtime.GOARCH {
			if crossCompilers[arch] == "" {
				return fmt.Errorf("%s needs C, and there is no compiler for %s", s.folder, arch)
			}
			env = append(env, "CC="+crossCompilers[arch])
		}
	}
	dir := filepath.Join(b.Module, "test/lab/upstream", s.folder)
	if s.own {
		dir = b.Module
	}
	if s.gopath {
		var err error
		if dir, err = b.gopathSources(ctx, s); err != nil {
			return err
		}
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-tags", s.tags, "-ldflags", s.ldflags, "-o", tmp + "/"}
	if s.test {
		args = append([]string{"test", "-c"}, args[1:]...)
	}
	if _, err := goCommand(ctx, dir, env, append(args, s.packages...)...); err != nil {
		return err
	}
	for from, to := range s.rename {
		if err := os.Rename(filepath.Join(tmp, from), filepath.Join(tmp, to)); err != nil {
			return err
		}
	}
	return nil
}

// Kubernetes returns the folder with kube-apiserver, …, kubelet, kubectl and kubeadm of a version.
func (b *Builder) Kubernetes(ctx context.Context, version, arch string) (string, error) {
	sets, err := kubernetes(version)
	if err != nil {
		return "", err
	}
	if len(sets) == 1 {
		return b.build(ctx, sets[0], arch)
	}
	dirs := make([]string, 0, len(sets))
	for _, s := range sets {
		dir, err := b.build(ctx, s, arch)
		if err != nil {
			return "", err
		}
		dirs = append(dirs, dir)
	}
	return b.merge(ctx, version+"-"+arch, dirs...)
}

// merge returns a folder with the programs of several.
func (b *Builder) merge(ctx context.Context, name string, dirs ...string) (string, error) {
	keys := make([]string, 0, len(dirs))
	for _, d := range dirs {
		keys = append(keys, filepath.Base(d)) // which holds the key of its inputs
	}
	return cache.Once(ctx, filepath.Join(b.Dir, "programs"), name+"-"+cache.Key(keys...), func(_ context.Context, tmp string) error {
		for _, dir := range dirs {
			programs, err := os.ReadDir(dir)
			if err != nil {
				return err
			}
			for _, p := range programs {
				if err := os.Link(filepath.Join(dir, p.Name()), filepath.Join(tmp, p.Name())); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// CNIPlugins returns the folder with the CNI plugins.
func (b *Builder) CNIPlugins(ctx context.Context, arch string) (string, error) {
	return b.build(ctx, cniPlugins, arch)
}

// Etcd returns the folder with etcd, etcdctl and etcdutl.
func (b *Builder) Etcd(ctx context.Context, arch string) (string, error) {
	return b.build(ctx, etcd, arch)
}

// Crictl returns the folder with the stand-in for crictl.
func (b *Builder) Crictl(ctx context.Context, arch string) (string, error) {
	return b.build(ctx, crictlSet, arch)
}

// Containerd2 returns a folder with containerd 2.x, its shim, ctr and runc, for the machine's architecture.
func (b *Builder) Containerd2(ctx context.Context) (string, error) {
	c, err := b.build(ctx, containerd2, runtime.GOARCH)
	if err != nil {
		return "", err
	}
	r, err := b.build(ctx, runc, runtime.GOARCH)
	if err != nil {
		return "", err
	}
	return b.merge(ctx, "containerd2", c, r)
}

// HostPrograms returns the folder with what a lab host with a runtime needs beside the distribution's packages; "" for nothing.
func (b *Builder) HostPrograms(ctx context.Context, rt hosts.Runtime) (string, error) {
	switch rt {
	case hosts.Containerd2:
		return b.Containerd2(ctx)
	case hosts.Docker:
		return b.build(ctx, runcwrap, runtime.GOARCH)
	case hosts.CRIDockerd:
		w, err := b.build(ctx, runcwrap, runtime.GOARCH)
		if err != nil {
			return "", err
		}
		d, err := b.build(ctx, criDockerd, runtime.GOARCH)
		if err != nil {
			return "", err
		}
		return b.merge(ctx, "cri-dockerd", w, d)
	case hosts.Containerd, hosts.None:
	}
	return "", nil
}

// KubeadmSuite returns kubeadm's own end-to-end suite of a version as a program.
func (b *Builder) KubeadmSuite(ctx context.Context, version string) (string, error) {
	folder := "e2e_kubeadm-" + version
	s := set{folder: folder, packages: []string{"k8s.io/kubernetes/test/e2e_kubeadm"}, ldflags: "-s -w", test: true}
	dir, err := b.build(ctx, s, runtime.GOARCH)
	return filepath.Join(dir, "e2e_kubeadm.test"), err
}
