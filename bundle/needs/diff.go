package needs

import (
	"context"
	"fmt"
	"slices"

	"kubebundle/bundle"
)

// Diff compares two bundles: their contracts, and the images that their manifests ask for.
func Diff(ctx context.Context, a, b *bundle.Bundle) (*bundle.Difference, error) {
	d := bundle.Diff(a.Contract(), b.Contract())
	var old, new []string
	for _, f := range d.Files {
		if !isManifest(f.Path) {
			continue
		}
		if f.Kind != bundle.Added {
			old = append(old, f.Path)
		}
		if f.Kind != bundle.Removed {
			new = append(new, f.Path)
		}
	}
	before, err := asked(ctx, a, old)
	if err != nil {
		return nil, err
	}
	after, err := asked(ctx, b, new)
	if err != nil {
		return nil, err
	}
	for i := range d.Files {
		f := &d.Files[i]
		f.AddedImages, f.RemovedImages = without(after[f.Path], before[f.Path]), without(before[f.Path], after[f.Path])
	}
	return d, nil
}

// asked tells the images of manifests, sorted, each once.
func asked(ctx context.Context, b *bundle.Bundle, paths []string) (map[string][]string, error) {
	files, err := b.ReadFiles(ctx, paths...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Path(), err)
	}
	out := map[string][]string{}
	for _, p := range paths {
		found, err := Scan(p, files[p])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", b.Path(), err)
		}
		for _, n := range found.Needs {
			out[p] = append(out[p], n.Ref)
		}
		slices.Sort(out[p])
		out[p] = slices.Compact(out[p])
	}
	return out, nil
}

func without(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(others, s) })
}
