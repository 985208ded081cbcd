package step

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"kubebundle/installer/cluster"
)

// KeepObjects writes API objects as they are now to a file, for PutBack.
type KeepObjects struct {
	File string
	Refs []cluster.ObjectRef
}

func (s KeepObjects) String() string {
	return fmt.Sprintf("keep %d objects of the cluster in %s", len(s.Refs), s.File)
}

// Satisfied never: who plans it wants them as they are now.
func (s KeepObjects) Satisfied(context.Context, *Target) (bool, error) { return false, nil }

// Apply reads and writes them.
func (s KeepObjects) Apply(ctx context.Context, t *Target) error {
	c, err := t.Cluster(ctx)
	if err != nil {
		return err
	}
	data, err := c.Keep(ctx, s.Refs)
	if err != nil {
		return err
	}
	return t.Host.WriteFile(s.File, data, 0o600)
}

// PutBack makes API objects again what KeepObjects wrote.
type PutBack struct{ File string }

func (s PutBack) String() string { return "put the cluster's objects back that are kept in " + s.File }

// Satisfied if they are so, or none are kept.
func (s PutBack) Satisfied(ctx context.Context, t *Target) (bool, error) {
	data, err := t.Host.ReadFile(s.File)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	c, err := t.Cluster(ctx)
	if err != nil {
		return false, err
	}
	return c.IsBack(ctx, data)
}

// Apply writes those that differ.
func (s PutBack) Apply(ctx context.Context, t *Target) error {
	data, err := t.Host.ReadFile(s.File)
	if err != nil {
		return err
	}
	c, err := t.Cluster(ctx)
	if err != nil {
		return err
	}
	_, err = c.PutBack(ctx, data)
	return err
}
