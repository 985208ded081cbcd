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
	// There is no cross compiler for C here; what needs it is left out for other architectures by those who ask.
	if s.cgo && arch != runtime.GOARCH {
		return "", fmt.Errorf("%s needs C and is built for %s only", s.folder, runtime.GOARCH)
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

func (b *Builder) compile(ctx context.Context, s set, arch, tmp string) error {
	cgo := "0"
	if s.cgo {
		cgo = "1"
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-tags", s.tags, "-ldflags", s.ldflags, "-o", tmp + "/"}
	if s.test {
		args = append([]string{"test", "-c"}, args[1:]...)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, s.packages...)...)
	cmd.Dir = filepath.Join(b.Module, "test/lab/upstream", s.folder)
	if s.own {
		cmd.Dir = b.Module
	}
	// GOFLAGS and GOWORK of the caller's project are not meant for these modules.
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo, "GOARCH="+arch, "GOOS=linux", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args[:2], " "), err, out)
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
	s, err := kubernetes(version)
	if err != nil {
		return "", err
	}
	return b.build(ctx, s, arch)
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
	name := "containerd2-" + cache.Key(filepath.Base(c), filepath.Base(r))
	return cache.Once(ctx, filepath.Join(b.Dir, "programs"), name, func(_ context.Context, tmp string) error {
		for _, f := range []string{c + "/containerd", c + "/containerd-shim-runc-v2", c + "/ctr", r + "/runc"} {
			if err := os.Link(f, filepath.Join(tmp, filepath.Base(f))); err != nil {
				return err
			}
		}
		return nil
	})
}

// HostPrograms returns the folder with what a lab host with a runtime needs beside the distribution's packages; "" for nothing.
func (b *Builder) HostPrograms(ctx context.Context, rt hosts.Runtime) (string, error) {
	switch rt {
	case hosts.Containerd2:
		return b.Containerd2(ctx)
	case hosts.Docker:
		return b.build(ctx, runcwrap, runtime.GOARCH)
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
