package installer

import (
	"context"
	"errors"

	"kubebundle/installer/cluster"
	"kubebundle/installer/step"
)

// errDryRun is what a dry run answers to a step that wants to look at a cluster that does not run yet.
var errDryRun = errors.New("a dry run does not wait for a cluster")

// dryTarget lets steps look at the cluster only as long as nothing had to be changed: from then on there is none, and asking for it
// would mean to wait for a server that nobody started. sum counts the changes.
func dryTarget(t *step.Target, sum *Summary) *step.Target {
	dry := *t
	open := t.Cluster
	dry.Cluster = func(ctx context.Context) (*cluster.Client, error) {
		if sum.Changed > 0 || open == nil {
			return nil, errDryRun
		}
		return open(ctx)
	}
	dry.Out = nil
	return &dry
}
