package clusters

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	utilversion "k8s.io/apimachinery/pkg/util/version"

	"kubebundle/test/lab/cache"
	"kubebundle/test/lab/hosts"
	"kubebundle/test/lab/upstream"
)

// Env is what clusters are made of.
type Env struct {
	Dir       string // the lab's folder
	Lab       *hosts.Lab
	Builder   *upstream.Builder
	Upstream  *upstream.Upstream
	Manifests []string // files that are applied when the control plane stands
	// Compression is bundler's flag of that name; "" is its default.
	Compression string
	// VirtualIP has bundles hold what --vip needs.
	VirtualIP bool
	Log       *slog.Logger
}

// Cluster is a cluster of lab hosts.
type Cluster struct {
	*Env
	Hosts      []*hosts.Host // control planes first
	Kubeconfig string        // of an administrator, usable from the machine
	Timing     Timing
	Runs       []Installation // what install said on each host, in the order of Hosts
	// ExternalEtcd says that others run the etcd: there is no pod of it.
	ExternalEtcd bool
}

// NewEnv builds what is needed for clusters of a version.
func NewEnv(ctx context.Context, version string, log *slog.Logger) (*Env, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("hosts need root")
	}
	dir, err := cache.Dir()
	if err != nil {
		return nil, err
	}
	lab, err := hosts.New(dir, log)
	if err != nil {
		return nil, err
	}
	b, err := upstream.NewBuilder(ctx, dir, log)
	if err != nil {
		return nil, err
	}
	lab.Binaries = b.HostPrograms
	lab.Environment = upstream.ClientEnv(version)
	u, err := upstream.Prepare(ctx, b, version)
	if err != nil {
		return nil, err
	}
	return &Env{
		Compression: os.Getenv("KUBEBUNDLE_LAB_COMPRESSION"), // fast, for people in a hurry
		Dir:         dir, Lab: lab, Builder: b, Upstream: u, Log: lab.Log,
		Manifests: []string{filepath.Join(b.Module, "test/lab/manifests/kube-flannel.yml"), filepath.Join(b.Module, "test/lab/manifests/web.yml")},
	}, nil
}

// hostName is cp1, cp2, …, w1, w2, ….
func hostName(i, controlPlanes int) string {
	if i < controlPlanes {
		return fmt.Sprintf("cp%d", i+1)
	}
	return fmt.Sprintf("w%d", i-controlPlanes+1)
}

// imageArchive is an OCI archive with all images of the release, made once.
func (e *Env) imageArchive(ctx context.Context) (string, error) {
	var refs []string
	key := make([]string, 0, 2*len(e.Upstream.Images))
	for _, i := range e.Upstream.Images {
		refs = append(refs, i.Ref())
		key = append(key, i.Ref(), i.Manifests[runtime.GOARCH])
	}
	dir, err := cache.Once(ctx, filepath.Join(e.Dir, "archives"), "images-"+e.Upstream.Version+"-"+cache.Key(key...),
		func(_ context.Context, tmp string) error {
			f, err := os.Create(filepath.Join(tmp, "images.tar"))
			if err != nil {
				return err
			}
			return errors.Join(e.Upstream.Archive(f, runtime.GOARCH, refs...), f.Close())
		})
	return filepath.Join(dir, "images.tar"), err
}

// FetchKubeconfig copies the administrator's kubeconfig out of the first host.
func (c *Cluster) FetchKubeconfig(ctx context.Context) error {
	raw, err := os.ReadFile(filepath.Join(c.Hosts[0].Root(), "etc/kubernetes/admin.conf"))
	if err != nil {
		return err
	}
	c.Kubeconfig = filepath.Join(c.Dir, "admin-"+c.Lab.Net.Bridge+"-"+c.Hosts[0].Name+".conf")
	if err := os.WriteFile(c.Kubeconfig, raw, 0o600); err != nil {
		return err
	}
	return c.Healthy(ctx)
}

// Healthy asks the API server whether it serves. /readyz came with v1.16.
func (c *Cluster) Healthy(ctx context.Context) error {
	path := "/readyz"
	if c.Before("1.16.0") {
		path = "/healthz"
	}
	_, err := c.Kubectl(ctx, "get", "--raw", path)
	return err
}

// Before says whether the environment's Kubernetes is older than a version, as in 1.16.0.
func (e *Env) Before(v string) bool {
	return utilversion.MustParseGeneric(e.Upstream.Version).LessThan(utilversion.MustParseGeneric(v))
}

// Kubectl runs kubectl of the cluster's version on the machine and returns its stdout.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	k8s, err := c.Builder.Kubernetes(ctx, c.Upstream.Version, runtime.GOARCH)
	if err != nil {
		return "", err
	}
	// kubectl remembers by address what a server serves, and the next cluster of another version has the same one.
	memory := "--cache-dir=" + filepath.Join(c.Dir, "kubectl-cache", c.Lab.Net.Bridge+"-"+c.Upstream.Version)
	cmd := exec.CommandContext(ctx, filepath.Join(k8s, "kubectl"), append([]string{memory}, args...)...)
	cmd.Env = append(append(os.Environ(), upstream.ClientEnv(c.Upstream.Version)...), "KUBECONFIG="+c.Kubeconfig)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return out.String(), &hosts.Error{Args: append([]string{"kubectl"}, args...), Output: stderr.String(), Err: err}
	}
	return out.String(), nil
}

// Apply applies a file of the machine.
func (c *Cluster) Apply(ctx context.Context, file string) error {
	_, err := c.Kubectl(ctx, "apply", "-f", file)
	return err
}

// AwaitReady waits until every node is Ready and every pod of every namespace is Ready.
func (c *Cluster) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	for {
		why, err := c.notReady(ctx)
		if err == nil && why == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("cluster does not get ready: %s", why), err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// Rejected reports whether a pod of this phase and reason is one that a kubelet has turned away because it did not know its own node's labels: a kubelet
// that has just started may do so (v1.10: MatchNodeSelector, later NodeAffinity). Its controller has made another, and the remains lie there for long.
func Rejected(phase, reason string) bool {
	return phase == string(corev1.PodFailed) && (reason == "MatchNodeSelector" || reason == "NodeAffinity")
}

// notReady says what is not ready, "" if all is.
func (c *Cluster) notReady(ctx context.Context) (string, error) {
	out, err := c.Kubectl(ctx, "get", "nodes", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}`)
	if err != nil {
		return "", err
	}
	if n := strings.Count(out, " True\n"); n != len(c.Hosts) {
		return fmt.Sprintf("%d of %d nodes are Ready:\n%s", n, len(c.Hosts), out), nil
	}
	out, err = c.Kubectl(ctx, "get", "pods", "--all-namespaces", "-o",
		`jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.status.phase} {.status.reason} {.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}`)
	if err != nil {
		return "", err
	}
	var bad []string
	for line := range strings.Lines(out) {
		if line = strings.TrimSpace(line); strings.HasSuffix(line, " True") || strings.Contains(line, " Succeeded ") {
			continue
		}
		if f := strings.Fields(line); len(f) < 3 || !Rejected(f[1], f[2]) {
			bad = append(bad, line)
		}
	}
	static := 4
	if c.ExternalEtcd {
		static--
	}
	if strings.Count(out, "kube-system/") < static+2+len(c.Hosts) { // and the DNS, kube-proxy
		bad = append(bad, "pods are missing:\n"+out)
	}
	return strings.Join(bad, "\n"), nil
}
