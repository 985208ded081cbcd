package step

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"kubebundle/installer/cluster"
)

// Objects creates or updates API objects, in order.
type Objects struct {
	What string // "ConfigMap kube-system/kubeadm-config"
	List []runtime.Object
}

func (s Objects) String() string {
	if len(s.List) == 1 {
		return "apply " + s.What
	}
	return fmt.Sprintf("apply %s (%d objects)", s.What, len(s.List))
}

// Satisfied if every object is there as given.
func (s Objects) Satisfied(ctx context.Context, t *Target) (bool, error) {
	c, err := t.Cluster(ctx)
	if err != nil {
		return false, err
	}
	for _, o := range s.List {
		if ok, err := c.Applied(ctx, o); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// Apply applies them.
func (s Objects) Apply(ctx context.Context, t *Target) error {
	c, err := t.Cluster(ctx)
	if err != nil {
		return err
	}
	for _, o := range s.List {
		if _, err := c.Apply(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// PatchNode sets labels, annotations and taints of a node, waiting for it to appear.
type PatchNode struct {
	Node  string
	Patch cluster.NodePatch
}

func (s PatchNode) String() string {
	return fmt.Sprintf("mark node %s (%d labels, %d annotations, %d taints)", s.Node, len(s.Patch.Labels), len(s.Patch.Annotations), len(s.Patch.Taints))
}

// Satisfied if the node has all of them.
func (s PatchNode) Satisfied(ctx context.Context, t *Target) (bool, error) {
	c, err := t.Cluster(ctx)
	if err != nil {
		return false, err
	}
	return c.NodePatched(ctx, s.Node, s.Patch)
}

// Apply sets them.
func (s PatchNode) Apply(ctx context.Context, t *Target) error {
	c, err := t.Cluster(ctx)
	if err != nil {
		return err
	}
	return c.PatchNode(ctx, s.Node, s.Patch)
}

// Token stores a bootstrap token in the cluster.
type Token struct {
	// Token is the token. With Reuse it is replaced by the one found: read it only after the step (Print does).
	Token *cluster.Token
	// Reuse takes a token that the cluster already has and that serves for an hour more, instead of adding this one:
	// a re-run of init must not add tokens. Set it only for a token that the user did not choose.
	Reuse bool
}

// reuseLeft is how long a token must live to be worth handing out again.
const reuseLeft = time.Hour

func (s Token) String() string { return "store bootstrap token " + s.Token.ID }

// Satisfied if it is there, or with Reuse another one that serves.
func (s Token) Satisfied(ctx context.Context, t *Target) (bool, error) {
	c, err := t.Cluster(ctx)
	if err != nil {
		return false, err
	}
	have, err := c.Tokens(ctx)
	if err != nil {
		return false, err
	}
	for _, h := range have {
		if h.ID == s.Token.ID {
			return h.Secret == s.Token.Secret && coversAll(h.Usages, s.Token.Usages) && coversAll(h.Groups, s.Token.Groups), nil
		}
	}
	if !s.Reuse {
		return false, nil
	}
	for _, h := range have {
		if coversAll(h.Usages, s.Token.Usages) && coversAll(h.Groups, s.Token.Groups) && (h.Expires.IsZero() || time.Until(h.Expires) > reuseLeft) {
			*s.Token = h
			return true, nil
		}
	}
	return false, nil
}

func coversAll(have, want []string) bool {
	return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(have, w) })
}

// Apply stores it.
func (s Token) Apply(ctx context.Context, t *Target) error {
	c, err := t.Cluster(ctx)
	if err != nil {
		return err
	}
	return c.PutToken(ctx, *s.Token)
}
