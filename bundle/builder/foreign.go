package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"kubebundle/bundle"
	"kubebundle/release"
)

// Foreign is a program for another machine in an image.
type Foreign struct {
	Image string // reference
	Own   bool   // an image of Kubernetes itself
	Layer string // digest of the blob
	Path  string // in the image
	Arch  string // that the program is for
	More  int    // further ones in the same layer, beside those that are listed
}

// ForeignError lists the programs in layers that are for another architecture than the bundle.
type ForeignError struct {
	Arch  release.Arch
	Found []Foreign
}

func (e *ForeignError) Error() string {
	lines := make([]string, 0, len(e.Found))
	for _, f := range e.Found {
		line := fmt.Sprintf("image %s: layer %s: %s is a program for linux/%s, not for linux/%s", f.Image, f.Layer, f.Path, f.Arch, e.Arch)
		if f.More > 0 {
			line += fmt.Sprintf(" (and %d more like it)", f.More)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Hint says what can be done for each kind of image.
func (e *ForeignError) Hint() string {
	var lines, allow []string
	for _, f := range e.Found {
		flag := "--allow-foreign-arch " + f.Image
		if !f.Own && !slices.Contains(allow, flag) {
			allow = append(allow, flag)
		}
	}
	if slices.ContainsFunc(e.Found, func(f Foreign) bool { return f.Own }) {
		lines = append(lines, "an image of Kubernetes itself holds no such program as published: look at what the mirror gives for linux/"+string(e.Arch))
	}
	if len(allow) > 0 {
		lines = append(lines, "a program for another machine fails when it is started: take an image that was built for linux/"+string(e.Arch),
			"if nothing starts it there (test data, firmware): "+strings.Join(allow, " "))
	}
	return strings.Join(lines, "\n")
}

// use is an image that has a layer.
type use struct {
	ref     string
	own     bool
	allowed bool // foreign programs may be in it
}

// judge says what a layer's foreign programs mean to the images that have it.
func (c *content) judge(l *layer) *ForeignError {
	e := &ForeignError{Arch: c.arch}
	for _, u := range l.uses {
		if u.allowed {
			continue
		}
		for i, f := range l.foreign.first {
			found := Foreign{Image: u.ref, Own: u.own, Layer: l.Blob.Digest, Path: f.path, Arch: f.arch}
			if i == len(l.foreign.first)-1 {
				found.More = l.foreign.count - len(l.foreign.first)
			}
			e.Found = append(e.Found, found)
		}
	}
	if len(e.Found) == 0 {
		return nil
	}
	return e
}

// allForeign completes the report of the first layer with foreign programs by reading the layers that were not packed yet: whoever has to
// look for other images wants to know of all of them at once.
func (c *content) allForeign(ctx context.Context, contract *bundle.Contract, cause error) error {
	var first *ForeignError
	if !errors.As(cause, &first) {
		return cause
	}
	all := &ForeignError{Arch: first.Arch}
	seen := map[string]bool{}
	for _, img := range contract.Images {
		for _, l := range img.Layers {
			m := c.layers[l.DiffID]
			if seen[l.DiffID] {
				continue
			}
			seen[l.DiffID] = true
			if !m.scanned {
				if err := c.scan(ctx, m); err != nil {
					return errors.Join(cause, err)
				}
			}
			if e := c.judge(m); e != nil {
				all.Found = append(all.Found, e.Found...)
			}
		}
	}
	return all
}

// scan reads a layer for nothing but its programs.
func (c *content) scan(ctx context.Context, l *layer) error {
	r, err := c.openScanned(ctx, l, func() error { return nil })
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

// openScanned opens a layer's tar; judge decides at its end about what was found in it.
func (c *content) openScanned(ctx context.Context, l *layer, judge func() error) (io.ReadCloser, error) {
	r, err := c.store.Open(ctx, l.Layer)
	if err != nil {
		return nil, err
	}
	return newScanReader(r, c.arch, func(found foreignFiles, err error) error {
		if err != nil {
			return fmt.Errorf("image %s: layer %s: %w", l.uses[0].ref, l.Blob.Digest, err)
		}
		l.foreign, l.scanned = found, true
		return judge()
	}), nil
}

// allowedForeign tells what was packed because the user said so.
func (c *content) allowedForeign() []string {
	var out []string
	for _, l := range c.layers {
		for _, u := range l.uses {
			if u.allowed && l.foreign.count > 0 {
				f := l.foreign.first[0]
				out = append(out, fmt.Sprintf("%s: foreign programs are packed as allowed: %d in layer %s, %s for linux/%s among them", u.ref, l.foreign.count, l.Blob.Digest, f.path, f.arch))
			}
		}
	}
	slices.Sort(out)
	return out
}
