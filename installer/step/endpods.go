package step

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// EndPods ends pods of this node through its runtime, side by side. It is for pods that a kubelet which does not run would make anew: one that starts
// finds nothing of their names, and starts them at once. A kubelet that itself has to end a static pod gives it half a minute, and looks only every
// ten to fifteen seconds whether its successor may start (pkg/kubelet, backOffPeriod and allowPodStart).
type EndPods struct {
	Socket    string // unix:///run/containerd/containerd.sock
	Namespace string
	Names     []string
	Grace     time.Duration // what their programs get to end by themselves; at least a second
}

func (s EndPods) String() string {
	return fmt.Sprintf("end %s within %s at %s", strings.Join(s.Names, ", "), s.Grace, s.Socket)
}

// Satisfied is never known: to ask for the pods is all that Apply does where none runs.
func (EndPods) Satisfied(context.Context, *Target) (bool, error) { return false, nil }

// What the kubelet was just starting when it was stopped cannot be ended for some seconds.
const (
	endTries = 20
	endPause = 500 * time.Millisecond
)

// Apply ends them, and tries again what could not be ended.
func (s EndPods) Apply(ctx context.Context, t *Target) error {
	c, err := openCRI(ctx, t, s.Socket)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // a client
	errs := make([]error, len(s.Names))
	var all sync.WaitGroup
	for i, name := range s.Names {
		all.Go(func() {
			errs[i] = endPod(ctx, c, s.Namespace, name, s.Grace)
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func endPod(ctx context.Context, c CRI, namespace, name string, grace time.Duration) error {
	for try := 1; ; try++ {
		err := c.EndPod(ctx, namespace, name, grace)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("end pod %s/%s: %w", namespace, name, err)
		if try == endTries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(endPause):
		}
	}
}
