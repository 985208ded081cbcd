package chart

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	release "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

// RandomError is a template that gives something else each time.
type RandomError struct {
	Template string
	Line     string // the first one that differs, as it came the first time
}

func (e *RandomError) Error() string {
	return fmt.Sprintf("template %s gives something else each time (%s)", e.Template, strings.TrimSpace(e.Line))
}

// Hint says what to do about it.
func (e *RandomError) Hint() string {
	return "it makes up a password, a certificate or a name, which every cluster of this bundle would share; give it with --values or --set, or turn it off there"
}

// compare finds templates that do not give the same twice.
func compare(first, second map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(first)) {
		a, b := strings.Split(first[name], "\n"), strings.Split(second[name], "\n")
		for i := range a {
			if i >= len(b) || a[i] != b[i] {
				// What stands behind the colon may be a secret.
				key, _, _ := strings.Cut(a[i], ":")
				return &RandomError{Template: name, Line: key}
			}
		}
	}
	return nil
}

// object is one document of the manifest.
type object struct {
	source string // template
	text   string
}

// compose puts what the templates gave in order.
func compose(ch *chart.Chart, files map[string]string, o Options) (*Manifest, error) {
	m := &Manifest{Name: ch.Name(), Version: ch.Metadata.Version}
	maps.DeleteFunc(files, func(name, _ string) bool { return strings.HasSuffix(name, "NOTES.txt") })
	hooks, generic, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, err
	}
	var all []object
	for _, crd := range ch.CRDObjects() {
		for _, text := range split(string(crd.File.Data)) {
			all = append(all, object{crd.Filename, text})
		}
	}
	before, after, warnings := installHooks(hooks)
	m.Warnings = warnings
	all = append(all, before...)
	for _, g := range generic {
		all = append(all, object{g.Name, g.Content})
	}
	all = append(all, after...)
	m.Data, err = encode(m, all, o)
	return m, err
}

// split takes a file of CRDs apart.
func split(text string) []string {
	docs := releaseutil.SplitManifests(text)
	keys := slices.SortedFunc(maps.Keys(docs), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) // manifest-9, manifest-10
	})
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		out = append(out, docs[k])
	}
	return out
}

// installHooks picks the hooks of an installation, by weight.
func installHooks(hooks []*release.Hook) (before, after []object, warnings []string) {
	slices.SortStableFunc(hooks, func(a, b *release.Hook) int { return cmp.Compare(a.Weight, b.Weight) })
	for _, h := range hooks {
		name := fmt.Sprintf("%s %s (%s)", h.Kind, h.Name, h.Path)
		doc := object{h.Path, h.Manifest}
		switch {
		case slices.Contains(h.Events, release.HookPreInstall):
			before = append(before, doc)
		case slices.Contains(h.Events, release.HookPostInstall):
			after = append(after, doc)
		default:
			warnings = append(warnings, fmt.Sprintf("hook %s is left out: it is for %s", name, events(h)))
			continue
		}
		if h.Kind == "Job" || h.Kind == "Pod" {
			warnings = append(warnings, fmt.Sprintf("hook %s is applied like any other object: init does not wait for its end, and does not delete it", name))
		}
	}
	return before, after, warnings
}

func events(h *release.Hook) string {
	words := make([]string, 0, len(h.Events))
	for _, e := range h.Events {
		words = append(words, string(e))
	}
	return strings.Join(words, ", ")
}
