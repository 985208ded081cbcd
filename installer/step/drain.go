package step

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kubebundle/installer/cluster"
)

// Schedulable cordons a node, or with On lets pods come to it again.
type Schedulable struct {
	Node string
	On   bool
}

func (s Schedulable) String() string {
	if s.On {
		return "uncordon node " + s.Node
	}
	return "cordon node " + s.Node
}

// Satisfied asks the API.
func (s Schedulable) Satisfied(ctx context.Context, t *Target) (bool, error) {
	c, err := t.Cluster(ctx)
	if err != nil {
		return false, err
	}
	is, err := c.Schedulable(ctx, s.Node)
	return is == s.On, err
}

// Apply sets it.
func (s Schedulable) Apply(ctx context.Context, t *Target) error {
	c, err := t.Cluster(ctx)
	if err != nil {
		return err
	}
	return c.SetSchedulable(ctx, s.Node, s.On)
}

// Drain evicts the pods of a cordoned node and waits until they are gone, as kubectl drain does.
type Drain struct {
	Node    string
	Options cluster.DrainOptions
	Timeout time.Duration
}

func (s Drain) String() string { return fmt.Sprintf("drain node %s (up to %s)", s.Node, s.Timeout) }

// DrainError says which pods did not leave a node.
type DrainError struct {
	Node string
	Pods []string // with the reason where one is known
}

func (e *DrainError) Error() string {
	return fmt.Sprintf("drain node %s: still there: %s", e.Node, strings.Join(e.Pods, ", "))
}

// Hint says what to do.
func (e *DrainError) Hint() string {
	return "see kubectl get poddisruptionbudgets -A; wait longer with --drain-timeout, or leave the pods where they are with --skip-phases drain"
}

func (s Drain) list(ctx context.Context, t *Target) (*cluster.Client, []cluster.PodRef, error) {
	c, err := t.Cluster(ctx)
	if err != nil {
		return nil, nil, err
	}
	pods, refused, err := c.Drainable(ctx, s.Node, s.Options)
	if err == nil && len(refused) > 0 {
		err = &DrainError{Node: s.Node, Pods: refused}
	}
	return c, pods, err
}

// Satisfied if no pod is left that should go.
func (s Drain) Satisfied(ctx context.Context, t *Target) (bool, error) {
	_, pods, err := s.list(ctx, t)
	return err == nil && len(pods) == 0, err
}

// drainInterval is how often pods are asked to leave: kubectl's.
const drainInterval = 2 * time.Second

// Apply evicts again and again what a disruption budget holds back. Only pods that are on the node when it begins count: one that tolerates a cordoned
// node comes back at once, as another pod.
func (s Drain) Apply(ctx context.Context, t *Target) error {
	limit, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	asked := map[string]bool{} // pods that are on their way
	var counted map[string]bool
	why := map[string]string{}
	var left []cluster.PodRef
	for {
		c, pods, err := s.list(limit, t)
		if err == nil {
			if counted == nil {
				counted = map[string]bool{}
				for _, p := range pods {
					counted[p.UID] = true
				}
			}
			pods = slices.DeleteFunc(pods, func(p cluster.PodRef) bool { return !counted[p.UID] })
		}
		switch {
		case err == nil && len(pods) == 0:
			return nil
		case limit.Err() != nil:
		case err != nil:
			return err
		default:
			left = pods
		}
		for _, p := range left {
			if asked[p.UID] || limit.Err() != nil {
				continue
			}
			done, reason, err := c.Evict(limit, p)
			if err != nil && limit.Err() == nil {
				return err
			}
			asked[p.UID], why[p.UID] = done, reason
		}
		t.progress(int64(len(counted)-len(left)), int64(len(counted)), "pods")
		select {
		case <-limit.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return s.late(left, why)
		case <-time.After(drainInterval):
		}
	}
}

func (s Drain) late(left []cluster.PodRef, why map[string]string) error {
	if len(left) == 0 {
		return errors.New("drain node " + s.Node + ": the API server did not answer in time")
	}
	e := &DrainError{Node: s.Node}
	for _, p := range left {
		text := p.String()
		if why[p.UID] != "" {
			text += " (" + why[p.UID] + ")"
		}
		e.Pods = append(e.Pods, text)
	}
	return e
}
