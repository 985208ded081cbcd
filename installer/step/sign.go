package step

import (
	"context"
	"slices"

	"kubebundle/installer/cluster"
)

// SignClusterInfo lets nodes join with a token at once. Else they could when the controller manager has signed cluster-info with it: seconds after
// init has printed the join command, on a slow machine half a minute, and until then they are told that the cluster does not know the token.
// The token is read when the step runs: the step that stores it may have found one that still serves.
type SignClusterInfo struct{ Token *cluster.Token }

func (s SignClusterInfo) String() string {
	return "sign ConfigMap kube-public/cluster-info with token " + s.Token.ID
}

// Satisfied by any signature of the token: it was made with its secret, or the controller manager makes it anew. A token that only
// authenticates signs nothing.
func (s SignClusterInfo) Satisfied(ctx context.Context, t *Target) (bool, error) {
	if !slices.Contains(s.Token.Usages, "signing") {
		return true, nil
	}
	c, err := t.Cluster(ctx)
	if err != nil {
		return false, err
	}
	return c.ClusterInfoSigned(ctx, s.Token.ID)
}

// Apply signs.
func (s SignClusterInfo) Apply(ctx context.Context, t *Target) error {
	c, err := t.Cluster(ctx)
	if err != nil {
		return err
	}
	return c.SignClusterInfo(ctx, s.Token)
}
