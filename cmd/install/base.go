package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"

	"kubebundle/bundle"
	"kubebundle/installer"
	"kubebundle/installer/phase"
)

// useBase gives a delta its base: what --base names, which must be the right one, or else the first of bases that is. A delta stays without one
// if none is; what needs it says so.
func (a *app) useBase(b *bundle.Bundle) error {
	switch {
	case b.Contract().Delta == nil && a.basePath != "":
		return usagef("leave --base out", "--base: %s is whole and needs no base", b.Path())
	case b.Contract().Delta == nil:
		return nil
	case a.basePath != "":
		base, err := bundle.OpenPath(a.basePath)
		if err != nil {
			return fmt.Errorf("--base: %w", err)
		}
		return b.UseBase(base)
	}
	for _, p := range a.bases(b) {
		base, err := bundle.OpenPath(p)
		if err != nil {
			continue // nobody has named it
		}
		var other *bundle.BaseError
		if err := b.UseBase(base); err == nil || !errors.As(err, &other) {
			return err
		}
	}
	return nil
}

// bases are the places where a delta's base may be: beside the delta, under its own name; where this node was installed from; and in the copy
// that a Docker node keeps.
func (a *app) bases(b *bundle.Bundle) []string {
	var out []string
	if at, err := filepath.Abs(b.Path()); err == nil {
		beside := filepath.Join(filepath.Dir(at), b.Contract().BaseName())
		out = append(out, beside, beside+".tar.gz", beside+".tar.gz"+bundle.ListSuffix)
	}
	if j, err := installer.OpenJournal(a.host); err == nil {
		out = append(out, j.Bundles()...)
	}
	// What a node keeps: a delta whose bundle is gone, and whose base was put beside the copy; or the base itself.
	kept := cmp.Or(a.keptPath, phase.KeptBundle)
	return append(out, filepath.Join(filepath.Dir(kept), b.Contract().BaseName()), kept)
}
