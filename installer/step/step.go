package step

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"kubebundle/bundle"
	"kubebundle/installer/cluster"
	"kubebundle/installer/host"
	cruntime "kubebundle/runtime"
)

// Step is one effect on the host or the cluster, as a value.
type Step interface {
	// String says what the step does, with nouns and numbers and never a secret: "write /etc/kubernetes/manifests/etcd.yaml 0600 2.1 kB".
	fmt.Stringer
	// Satisfied reports whether the effect is already there; it only looks.
	Satisfied(ctx context.Context, t *Target) (bool, error)
	// Apply makes the effect. It must be safe to run again after being killed half-way.
	Apply(ctx context.Context, t *Target) error
}

// Undoer is implemented by steps whose effect reset can take back. Undo must not fail when there is nothing to undo.
type Undoer interface {
	Undo(ctx context.Context, t *Target) error
}

// Target is what steps act on.
type Target struct {
	Host     host.Host
	Bundle   *bundle.Bundle                                  // nil where no bundle is at hand (reset)
	Runtime  func(context.Context) (cruntime.Runtime, error) // opened on first use
	Cluster  func(context.Context) (*cluster.Client, error)  // the admin client, opened on first use
	Log      *slog.Logger
	Out      io.Writer // what the command says on its standard output (the join command)
	Progress func(done, total int64, what string)
}
