package containerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	cruntime "kubebundle/runtime"
)

// DefaultSocket is where containerd listens unless told otherwise.
const DefaultSocket = "unix:///run/containerd/containerd.sock"

// Options tell New what differs from the usual. The zero value is right on a Kubernetes node.
type Options struct {
	// Namespace is containerd's namespace for the images. "" means k8s.io, the only one that CRI looks into.
	Namespace string
	// Snapshotter overrides the one that CRI is configured with.
	Snapshotter string
	// DaemonApplies makes the daemon apply every layer, as happens by itself with snapshotters that this process cannot write to.
	DaemonApplies bool
	// Logger receives what is worth knowing afterwards. nil discards.
	Logger *slog.Logger
}

// Runtime is a connection to one containerd.
type Runtime struct {
	client *client.Client
	conn   *grpc.ClientConn
	socket string // a path
	opts   Options
	log    *slog.Logger
}

var _ cruntime.Runtime = (*Runtime)(nil)

// New connects to the containerd that listens on socket ("unix:///path" or "/path"; "" is [DefaultSocket]) and asks for its version, so that
// a socket without a daemon is an error here and not later.
func New(ctx context.Context, socket string, opts Options) (*Runtime, error) {
	if socket == "" {
		socket = DefaultSocket
	}
	if opts.Namespace == "" {
		opts.Namespace = "k8s.io"
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	path := strings.TrimPrefix(socket, "unix://")
	// The client's own options, but for what would make a missing daemon take ten seconds to notice.
	conn, err := grpc.NewClient("passthrough:///unix://"+path,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: 5 * time.Second}),
		grpc.WithContextDialer(dialUnix),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20), grpc.MaxCallSendMsgSize(16<<20)),
		grpc.WithChainUnaryInterceptor(namespaceUnary(opts.Namespace)),
		grpc.WithChainStreamInterceptor(namespaceStream(opts.Namespace)),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to containerd at %s: %w", path, err)
	}
	c, err := client.NewWithConn(conn, client.WithDefaultNamespace(opts.Namespace))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to containerd at %s: %w", path, err), conn.Close())
	}
	r := &Runtime{client: c, conn: conn, socket: path, opts: opts, log: opts.Logger}
	if _, err := c.Version(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to containerd at %s: %w (is it running? try: systemctl start containerd)", path, err), r.Close())
	}
	return r, nil
}

// Close closes the connection.
func (r *Runtime) Close() error { return r.client.Close() }
