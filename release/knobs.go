package release

import (
	_ "embed" // the knobs
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/version"
)

// knobs.txt says which feature gates and flags each minor knows, read from its source by test/trees.
//
//go:embed knobs.txt
var knobsText string

// Kubelet is the program's name for CheckFlag; those of the control plane are called like their components.
const Kubelet = "kubelet"

// The other kinds of knobs.txt, beside the names of programs.
const (
	kindGate    = "gate"
	kindKubeadm = "kubeadm-gate"
)

// knob is one gate or flag.
type knob struct {
	spans  [][2]uint // minors, first and last
	locked string    // "true" or "false" where it cannot be changed any more
	since  uint      // the minor that locked it
}

func (k *knob) has(minor uint) bool {
	return slices.ContainsFunc(k.spans, func(s [2]uint) bool { return s[0] <= minor && minor <= s[1] })
}

// knobTable is knobs.txt: by kind (gate, kubeadm-gate, or a program), then by name.
type knobTable struct {
	kinds map[string]map[string]*knob
	read  map[uint]uint // the patch of each minor that was read
	last  uint          // the newest minor
}

var loadKnobs = sync.OnceValues(func() (*knobTable, error) { return parseKnobs(knobsText) })

func parseKnobs(text string) (*knobTable, error) {
	t := &knobTable{kinds: map[string]map[string]*knob{}, read: map[uint]uint{}}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) > 0 && f[0] == "#" {
			for _, word := range f {
				if v, err := version.ParseGeneric(strings.TrimSuffix(word, ".")); err == nil && v.Major() == 1 {
					t.read[v.Minor()] = v.Patch()
					t.last = max(t.last, v.Minor())
				}
			}
			continue
		}
		if len(f) < 3 {
			return nil, fmt.Errorf("parse knobs: %q", line)
		}
		k := &knob{}
		for span := range strings.SplitSeq(f[2], ",") {
			from, to, more := strings.Cut(span, "-")
			if !more {
				to = from
			}
			a, err := strconv.ParseUint(from, 10, 16)
			b, err2 := strconv.ParseUint(to, 10, 16)
			if err != nil || err2 != nil || a > b {
				return nil, fmt.Errorf("parse knobs: %q has no span of minors", line)
			}
			k.spans = append(k.spans, [2]uint{uint(a), uint(b)})
		}
		if len(f) > 3 {
			value, since, _ := strings.Cut(f[3], "@")
			n, err := strconv.ParseUint(since, 10, 16)
			if err != nil || value != "true" && value != "false" {
				return nil, fmt.Errorf("parse knobs: %q has no lock", line)
			}
			k.locked, k.since = value, uint(n)
		}
		if t.kinds[f[0]] == nil {
			t.kinds[f[0]] = map[string]*knob{}
		}
		t.kinds[f[0]][strings.TrimPrefix(f[1], "--")] = k
	}
	return t, nil
}

// KnobError is a feature gate or a flag that a version of Kubernetes refuses: the program that is given it does not start.
type KnobError struct {
	What   string // "feature gate X", "kubelet flag --x"
	Reason string // "Kubernetes v1.34.4 does not know it any more: v1.26 removed it"
}

func (e *KnobError) Error() string { return e.What + ": " + e.Reason }

// CheckGate says whether the programs of this version accept a feature gate with this value: a *KnobError where they would not start.
func (r *Release) CheckGate(name string, on bool) error {
	return r.checkKnob(kindGate, name, "feature gate "+name, strconv.FormatBool(on))
}

// CheckKubeadmGate is the same for kubeadm's own gates, those of --feature-gates and ClusterConfiguration.
func (r *Release) CheckKubeadmGate(name string, on bool) error {
	return r.checkKnob(kindKubeadm, name, "kubeadm's feature gate "+name, strconv.FormatBool(on))
}

// CheckFlag says whether a program (kubelet, kube-apiserver, kube-controller-manager, kube-scheduler) of this version knows a flag, its name
// without the leading dashes. Of other programs nothing is known, and nothing is refused.
func (r *Release) CheckFlag(program, name string) error {
	// The programs take an underscore for a dash.
	return r.checkKnob(program, strings.ReplaceAll(name, "_", "-"), program+" flag --"+name, "")
}

func (r *Release) checkKnob(kind, name, what, value string) error {
	t, err := loadKnobs()
	if err != nil {
		return err
	}
	minor := r.Version.Minor()
	names, known := t.kinds[kind]
	if !known || minor > t.last || r.Version.PreRelease() != "" {
		return nil
	}
	refuse := func(format string, args ...any) error {
		return &KnobError{What: what, Reason: fmt.Sprintf(format, args...)}
	}
	k := names[name]
	for pattern, other := range names { // audit-*-mode
		if ok, err := path.Match(pattern, name); k == nil && ok && err == nil {
			k = other
		}
	}
	if kind == kindKubeadm {
		refuse = func(format string, args ...any) error {
			return &KnobError{What: what, Reason: fmt.Sprintf(format, args...) + "; kubeadm of v1." + strconv.FormatUint(uint64(minor), 10) + " knows " + orNone(knownTo(names, minor))}
		}
	}
	switch {
	case k == nil:
		hint := ""
		if near := nearest(name, names, minor); near != "" {
			hint = "; did you mean " + near + "?"
		}
		return refuse("Kubernetes %s does not know it, and no version from v1.10 to v1.%d does%s", Tag(r.Version), t.last, hint)
	case !k.has(minor):
		// A security fix may bring a gate of a later minor into a patch that is newer than the one that was read.
		if next := k.after(minor); next != 0 {
			if r.Version.Patch() > t.read[minor] {
				return nil
			}
			return refuse("Kubernetes %s does not know it yet: it exists since v1.%d", Tag(r.Version), next)
		}
		return refuse("Kubernetes %s does not know it any more: v1.%d removed it", Tag(r.Version), k.before(minor)+1)
	case k.locked != "" && k.since <= minor && value != "" && value != k.locked:
		return &KnobError{What: what, Reason: fmt.Sprintf("it cannot be set to %s: since v1.%d it is locked to %s", value, k.since, k.locked)}
	}
	return nil
}

// knownTo lists the names that a minor knows.
func knownTo(names map[string]*knob, minor uint) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(names)), func(n string) bool { return !names[n].has(minor) })
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// after is the first minor after this one that has the knob, 0 for none.
func (k *knob) after(minor uint) uint {
	for _, s := range k.spans {
		if s[0] > minor {
			return s[0]
		}
	}
	return 0
}

// before is the last minor before this one that had it.
func (k *knob) before(minor uint) uint {
	last := uint(0)
	for _, s := range k.spans {
		if s[1] < minor {
			last = s[1]
		}
	}
	return last
}

// nearest is the name that a slip of the fingers may have meant, of those that the minor knows.
func nearest(name string, names map[string]*knob, minor uint) string {
	const tolerated = 3 // letters: more is another word
	best, distance := "", min(tolerated, len(name)/2)+1
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if d := editDistance(strings.ToLower(name), strings.ToLower(n)); names[n].has(minor) && d < distance {
			best, distance = n, d
		}
	}
	return best
}

// editDistance counts the letters to insert, delete or replace (Wagner and Fischer, one row at a time).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
