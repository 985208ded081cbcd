package step

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"kubebundle/bundle"
	"kubebundle/installer/cluster"
	"kubebundle/installer/etcd"
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

// Undoer is implemented by steps whose effect reset can take back.
type Undoer interface {
	// Before describes what Apply is about to change, as it is now. It only looks. The engine keeps the records in the journal
	// before it applies the step; reset undoes them, last to first, without knowing the step any more.
	Before(ctx context.Context, t *Target) ([]Record, error)
}

// Adopter is implemented by steps that, even where they are satisfied, make something of what they find the cluster's.
type Adopter interface {
	// Adopts describes it for the journal, as Undoer.Before does.
	Adopts(ctx context.Context, t *Target) ([]Record, error)
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
	// Get fetches a health endpoint of this node ("http://127.0.0.1:10248/healthz"): status and the first kilobytes of the body.
	// nil means a plain loopback client.
	Get func(ctx context.Context, url string) (status int, body []byte, err error)
	// Etcd opens the cluster's etcd.
	Etcd func(ctx context.Context, conn EtcdConn) (Etcd, error)
	// RestoreEtcd makes a data directory of a snapshot; nil means with etcd's library, on this machine.
	RestoreEtcd func(etcd.Restore) error
	// CRI opens the runtime's CRI endpoint (unix:///run/…); nil means over gRPC.
	CRI func(ctx context.Context, socket string) (CRI, error)
}

// progress reports, if anybody listens.
func (t *Target) progress(done, total int64, what string) {
	if t.Progress != nil {
		t.Progress(done, total, what)
	}
}
