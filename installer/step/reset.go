package step

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// UnmountAll unmounts everything mounted below Prefix, deepest first.
type UnmountAll struct {
	Prefix string // /var/lib/kubelet
}

func (s UnmountAll) String() string { return "unmount everything below " + s.Prefix }

// Satisfied if nothing is mounted there.
func (s UnmountAll) Satisfied(_ context.Context, t *Target) (bool, error) {
	m, err := mountsBelow(t, s.Prefix)
	return len(m) == 0, err
}

// Apply unmounts, lazily where a mount is busy, and goes on after an error.
func (s UnmountAll) Apply(_ context.Context, t *Target) error {
	mounts, err := mountsBelow(t, s.Prefix)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range slices.Backward(mounts) {
		if err := t.Host.Unmount(m, false); err != nil {
			if err2 := t.Host.Unmount(m, true); err2 != nil {
				errs = append(errs, err2)
			}
		}
	}
	return errors.Join(errs...)
}

// mountsBelow lists mount points below prefix (not prefix itself: that may be the site's own volume), parents first.
func mountsBelow(t *Target, prefix string) ([]string, error) {
	all, err := t.Host.Mounts()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range all {
		if strings.HasPrefix(m, strings.TrimSuffix(prefix, "/")+"/") {
			out = append(out, m)
		}
	}
	slices.Sort(out)
	return out, nil
}

// removeTree removes a tree, unless something is mounted in it: what is behind a mount is not ours.
func removeTree(t *Target, path string) error {
	m, err := mountsBelow(t, path)
	if err != nil {
		return err
	}
	if len(m) > 0 {
		return fmt.Errorf("remove %s: %s is still mounted", path, m[0])
	}
	return t.Host.RemoveAll(path)
}
