package open

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"

	cruntime "kubebundle/runtime"
	"kubebundle/runtime/containerd"
	"kubebundle/runtime/cri"
	"kubebundle/runtime/docker"
)

// The sockets that kubeadm looks for (cmd/kubeadm/app/constants: CRISocketContainerd, CRISocketCRIO, CRISocketDocker), and the one that stood
// for the kubelet's own dockershim up to v1.23.
const (
	Containerd = "unix:///var/run/containerd/containerd.sock"
	CRIO       = "unix:///var/run/crio/crio.sock"
	CRIDockerd = "unix:///var/run/cri-dockerd.sock"
	Dockershim = "/var/run/dockershim.sock"
)

// ErrUnsupported is wrapped by errors about a runtime that cannot be given images.
var ErrUnsupported = errors.New("unsupported container runtime")

// Options tell Open what differs from the usual.
type Options struct {
	DockerSocket string // of the engine behind dockershim and cri-dockerd; "" means unix:///var/run/docker.sock
	Logger       *slog.Logger
}

// Open connects to the runtime behind a CRI socket, given with or without unix://. What is not known by its name is asked who it is. Docker's
// own socket is no CRI socket, but leads to Docker's images all the same.
func Open(ctx context.Context, criSocket string, opts Options) (cruntime.Runtime, error) {
	if scheme, _, ok := strings.Cut(criSocket, "://"); ok && scheme != "unix" {
		return nil, fmt.Errorf("open %s: %w: only unix sockets", criSocket, ErrUnsupported)
	}
	switch path.Base(criSocket) {
	case path.Base(docker.DefaultSocket):
		return openDocker(ctx, criSocket, "", opts)
	case path.Base(Dockershim):
		return openDocker(ctx, opts.DockerSocket, "", opts)
	case path.Base(CRIDockerd):
		return openDocker(ctx, opts.DockerSocket, criSocket, opts)
	case path.Base(CRIO):
		return nil, noCRIO(criSocket)
	case path.Base(Containerd):
		return openContainerd(ctx, criSocket, opts)
	}
	// Whoever does not answer is left to containerd's client, which says so.
	about, err := cri.Ask(ctx, criSocket)
	switch {
	case err == nil && about.Name == "docker":
		return openDocker(ctx, opts.DockerSocket, criSocket, opts)
	case err == nil && about.Name == "cri-o":
		return nil, noCRIO(criSocket)
	default:
		return openContainerd(ctx, criSocket, opts)
	}
}

// The constructors give concrete types: a nil one in an interface would not be nil.

func openDocker(ctx context.Context, socket, cri string, opts Options) (cruntime.Runtime, error) {
	r, err := docker.New(ctx, socket, docker.Options{CRI: cri, Logger: opts.Logger})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func openContainerd(ctx context.Context, socket string, opts Options) (cruntime.Runtime, error) {
	r, err := containerd.New(ctx, socket, containerd.Options{Logger: opts.Logger})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func noCRIO(socket string) error {
	return fmt.Errorf("open %s: %w: CRI-O takes no images but by pulling; use containerd", socket, ErrUnsupported)
}

// ErrNoSocket says that no runtime's socket was found.
var ErrNoSocket = errors.New("no container runtime found")

// ErrNoCRIDockerd is ErrNoSocket on a host that has Docker, which kubelets from v1.24 on reach only through cri-dockerd.
var ErrNoCRIDockerd = fmt.Errorf("%w: Docker is here, and nothing at %s", ErrNoSocket, CRIDockerd)

// AmbiguousError says that several runtimes are there and the user must choose.
type AmbiguousError struct{ Found []string }

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("found several container runtimes: %s; choose one with --cri-socket", strings.Join(e.Found, ", "))
}

// FindSocket looks for the socket to give to the kubelet, as kubeadm does (cmd/kubeadm/app/util/runtime: DetectCRISocket). isSocket says whether
// a path is a socket; nil looks at this host. dockershim says whether the kubelet has one (Kubernetes up to v1.23): then Docker counts, and
// a containerd beside it is taken for Docker's own.
func FindSocket(isSocket func(path string) bool, dockershim bool) (string, error) {
	if isSocket == nil {
		isSocket = IsSocket
	}
	there := func(s string) bool { return isSocket(strings.TrimPrefix(s, "unix://")) }
	var found []string
	if dockershim && there(docker.DefaultSocket) {
		found = append(found, Dockershim)
	} else if there(Containerd) {
		found = append(found, Containerd)
	}
	for _, s := range []string{CRIO, CRIDockerd} {
		if there(s) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		if there(docker.DefaultSocket) {
			return "", fmt.Errorf("%w: install cri-dockerd and start it, or install containerd", ErrNoCRIDockerd)
		}
		return "", fmt.Errorf("%w: install containerd and start it, or name its socket with --cri-socket", ErrNoSocket)
	case 1:
		return found[0], nil
	}
	return "", &AmbiguousError{Found: found}
}

// IsSocket says whether a path of this host is a socket.
func IsSocket(p string) bool {
	fi, err := os.Stat(filepath.Clean(p))
	return err == nil && fi.Mode()&os.ModeSocket != 0
}
