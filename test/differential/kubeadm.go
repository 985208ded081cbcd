package differential

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"kubebundle/test/lab/cache"
)

// Versions are those whose kubeadm builds from its module, oldest first. Each has a folder below kubeadm/ that pins it.
//
// In v1.30.14, v1.31.14 and v1.32.13 a few staging modules cannot be had at the same patch; their go.mod takes an earlier one. Those
// hold API types and clients that do not differ within a minor.
func Versions() []string {
	return []string{"v1.29.6", "v1.30.14", "v1.31.14", "v1.32.13", "v1.33.13", "v1.34.4", "v1.35.4", "v1.36.3", "v1.37.2"}
}

// CIVersions are a selection that takes minutes.
func CIVersions() []string { return []string{"v1.34.4", "v1.35.4", "v1.36.3"} }

// builder builds programs, each once per inputs.
type builder struct {
	module string // the folder of this project's go.mod
	dir    string // where what was built is kept
	log    *slog.Logger
}

func newBuilder(ctx context.Context, log *slog.Logger) (*builder, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "kubebundle").Output()
	if err != nil {
		return nil, fmt.Errorf("find kubebundle's module: %w", err)
	}
	lab, err := cache.Dir()
	if err != nil {
		return nil, err
	}
	return &builder{module: strings.TrimSpace(string(out)), dir: filepath.Join(lab, "programs"), log: log}, nil
}

// kubeadm returns the path of the program of a version.
func (b *builder) kubeadm(ctx context.Context, version string) (string, error) {
	src := filepath.Join(b.module, "test/differential/kubeadm", version)
	sum, err := cache.FileKey(filepath.Join(src, "go.mod"), filepath.Join(src, "go.sum"), filepath.Join(src, "tools.go"))
	if err != nil {
		return "", fmt.Errorf("no module for kubeadm %s: %w", version, err)
	}
	f := strings.Split(strings.TrimPrefix(version, "v"), ".")
	var ld strings.Builder
	ld.WriteString("-s -w")
	for _, p := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		fmt.Fprintf(&ld, " -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s -X %[1]s.gitTreeState=clean"+
			" -X %[1]s.gitCommit=0000000000000000000000000000000000000000", p, version, f[0], f[1])
	}
	dir, err := b.build(ctx, "kubeadm-"+version, sum, src, ld.String(), "k8s.io/kubernetes/cmd/kubeadm")
	return filepath.Join(dir, "kubeadm"), err
}

// standin returns the path of the program that plays systemctl and the kubelet.
func (b *builder) standin(ctx context.Context) (string, error) {
	sum, err := cache.FileKey(filepath.Join(b.module, "test/differential/standin/main.go"), filepath.Join(b.module, "go.mod"))
	if err != nil {
		return "", err
	}
	dir, err := b.build(ctx, "differential-standin", sum, b.module, "-s -w", "./test/differential/standin")
	return filepath.Join(dir, "standin"), err
}

func (b *builder) build(ctx context.Context, name, sum, src, ldflags, pkg string) (string, error) {
	key := cache.Key(sum, runtime.GOARCH, runtime.Version(), ldflags, pkg)
	return cache.Once(ctx, b.dir, name+"-"+key, func(ctx context.Context, tmp string) error {
		b.log.Info("build", "what", name)
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", tmp+"/", pkg)
		cmd.Dir = src
		// Static, because it runs in a folder that has no libraries. GOFLAGS and GOWORK of the caller's project are not meant for it.
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
		}
		return nil
	})
}
