package manifests

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/util/version"
)

// argRow is a command line argument that a span of minors gets.
type argRow struct {
	span
	name, value string
}

// flagsFor selects the arguments of one version.
func flagsFor(v *version.Version, flags []argRow) []Arg {
	var args []Arg
	for _, f := range flags {
		if f.has(minorOf(v)) {
			args = append(args, Arg{Name: f.name, Value: f.value})
		}
	}
	return args
}

// mergeArgs lays the user's arguments over the defaults as kubeadm does: the defaults sorted by name, without those that the user
// names, then the user's in the order given (kubeadm 1.34 util/arguments.go). A name that the user repeats stays repeated.
func mergeArgs(defaults, extra []Arg) []Arg {
	out := slices.DeleteFunc(slices.Clone(defaults), func(a Arg) bool {
		_, given := argValue(extra, a.Name)
		return given
	})
	slices.SortStableFunc(out, func(a, b Arg) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
	})
	return append(out, extra...)
}

// command is a program with its arguments in the --name=value form.
func command(program string, defaults, extra []Arg) []string {
	return append([]string{program}, asFlags(mergeArgs(defaults, extra))...)
}

func asFlags(args []Arg) []string {
	out := make([]string, 0, len(args))
	for _, a := range args {
		out = append(out, "--"+a.Name+"="+a.Value)
	}
	return out
}

// argValue gives the last value of a named argument: the one that wins when a program parses them.
func argValue(args []Arg, name string) (string, bool) {
	for _, a := range slices.Backward(args) {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

// without drops an argument.
func without(args []Arg, name string) []Arg {
	return slices.DeleteFunc(args, func(a Arg) bool { return a.Name == name })
}
