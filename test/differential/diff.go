package differential

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Difference is one value that the two sides do not share. "" means that a side has no such value.
type Difference struct {
	Artefact, Path string
	Kubeadm, Ours  string
}

func (d Difference) String() string {
	show := func(s string) string {
		if s == "" {
			return "(absent)"
		}
		return s
	}
	return fmt.Sprintf("%s: %s\n      kubeadm: %s\n      ours:    %s", d.Artefact, d.Path, show(d.Kubeadm), show(d.Ours))
}

// there is the path and the value of an artefact that the other side does not have at all.
const there = "(exists)"

// compare lists the differences of two clusters.
func compare(kubeadm, ours artefacts) []Difference {
	var out []Difference
	for _, name := range union(kubeadm, ours) {
		theirs, has := kubeadm[name]
		own, have := ours[name]
		switch {
		case !has:
			out = append(out, Difference{Artefact: name, Path: there, Ours: there})
			continue
		case !have:
			out = append(out, Difference{Artefact: name, Path: there, Kubeadm: there})
			continue
		}
		for _, p := range union(theirs, own) {
			if theirs[p] != own[p] {
				out = append(out, Difference{Artefact: name, Path: p, Kubeadm: theirs[p], Ours: own[p]})
			}
		}
	}
	return out
}

func union[V any](a, b map[string]V) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	return slices.Compact(names)
}

// Row is a difference that stays.
type Row struct {
	Scenario string // "" for every scenario in which it shows; a pattern as below
	Artefact string // a pattern: * stands for any text
	Path     string // a pattern
	Kubeadm  string // what kubeadm has: "" for nothing; a pattern
	Ours     string // what ours has: "" for nothing; a pattern
	From, To uint   // minors; 0 leaves a side open
	Why      string
}

func (r Row) matches(scenario string, d Difference) bool {
	return (r.Scenario == "" || glob(r.Scenario, scenario)) && glob(r.Artefact, d.Artefact) && glob(r.Path, d.Path) &&
		glob(r.Kubeadm, d.Kubeadm) && glob(r.Ours, d.Ours)
}

func (r Row) covers(minor uint) bool { return minor >= r.From && (r.To == 0 || minor <= r.To) }

// glob matches a text with a pattern in which only * is special. An empty pattern matches the empty text only, and * some text.
func glob(pattern, text string) bool {
	if text == "" || pattern == "" {
		return text == pattern
	}
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, p := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, p)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// unlisted gives the differences that no row allows, and marks the rows that were needed.
func unlisted(minor uint, scenario string, diffs []Difference, used map[int]bool) []Difference {
	var out []Difference
	for _, d := range diffs {
		found := false
		for i, r := range Table() {
			if r.covers(minor) && r.matches(scenario, d) {
				used[i], found = true, true
			}
		}
		if !found {
			out = append(out, d)
		}
	}
	return out
}

// stale gives the rows that claim a difference for a minor that did not show.
func stale(minor uint, used map[int]bool) []Row {
	var out []Row
	for i, r := range Table() {
		if r.covers(minor) && !used[i] {
			out = append(out, r)
		}
	}
	return out
}
