package differential

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// leaves is an artefact taken apart: path of a value -> the value as text. "" is never a value: an absent path is.
type leaves map[string]string

// sets are lists of strings whose order means nothing.
var sets = []string{"verbs", "resources", "apiGroups", "resourceNames", "nonResourceURLs", "add", "drop"}

// identities are the fields that tell the entries of a list of objects apart, in order of preference.
var identities = [][]string{
	{"mountPath"}, {"kind", "namespace", "name"}, {"name"}, {"key", "operator", "effect"}, {"topologyKey"}, {"port", "protocol"},
}

// flatten takes a generic document apart. Entries of lists of objects are named by what identifies them, so that order counts only where
// nothing does.
func (l leaves) flatten(at string, v any) {
	switch v := v.(type) {
	case nil:
	case map[string]any:
		if len(v) == 0 && at != "" {
			l[at] = "{}"
		}
		for k, child := range v {
			l.flatten(join(at, k), child)
		}
	case []any:
		l.flattenList(at, v)
	case string:
		l[at] = strconv.Quote(v)
	default:
		raw, err := json.Marshal(v)
		if err != nil {
			panic(err) // a generic document holds nothing else
		}
		l[at] = string(raw)
	}
}

func join(at, key string) string {
	switch {
	case at == "":
		return key
	case strings.ContainsAny(key, ". "):
		return at + "[" + key + "]"
	default:
		return at + "." + key
	}
}

func (l leaves) flattenList(at string, list []any) {
	field := at[strings.LastIndexAny(at, ".]")+1:]
	switch {
	case len(list) == 0:
		l[at] = "[]"
	case field == "command" && isCommand(list):
		l.flattenCommand(at, list)
	case slices.Contains(sets, field):
		items := make([]string, 0, len(list))
		for _, e := range list {
			items = append(items, fmt.Sprint(e))
		}
		sort.Strings(items)
		l[at] = strings.Join(items, ",")
	default:
		for i, id := range entryNames(list) {
			l.flatten(at+"["+id+"]", list[i])
		}
	}
}

// entryNames names the entries of a list: by what identifies them, else by number.
func entryNames(list []any) []string {
	for _, fields := range identities {
		names := make([]string, 0, len(list))
		for _, e := range list {
			m, ok := e.(map[string]any)
			var parts []string
			for _, f := range fields {
				if m[f] != nil {
					parts = append(parts, fmt.Sprint(m[f]))
				}
			}
			if n := strings.Join(parts, ":"); ok && m[fields[len(fields)-1]] != nil && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
		if len(names) == len(list) {
			return names
		}
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = strconv.Itoa(i)
	}
	return names
}

// isCommand recognises a program with --flags.
func isCommand(list []any) bool {
	if len(list) < 2 {
		return false
	}
	for _, e := range list[1:] {
		if s, ok := e.(string); !ok || !strings.HasPrefix(s, "--") {
			return false
		}
	}
	return true
}

// flattenCommand: the order of different flags means nothing, that of a repeated one does.
func (l leaves) flattenCommand(at string, list []any) {
	l[at+"[0]"] = fmt.Sprint(list[0])
	for _, e := range list[1:] {
		l.flag(at, fmt.Sprint(e))
	}
}

func (l leaves) flag(at, arg string) {
	name, value, _ := strings.Cut(arg, "=")
	p := at + "[" + name + "]"
	if before, ok := l[p]; ok {
		value = before + " " + value
	}
	l[p] = value
}

// prune drops what an untyped document may as well leave out: nulls, and empty objects, lists and texts.
func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			if p := prune(e); p != nil {
				out[k] = p
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		if len(v) == 0 {
			return nil
		}
		out := make([]any, 0, len(v))
		for _, e := range v {
			out = append(out, prune(e))
		}
		return out
	case string:
		if v == "" {
			return nil
		}
	}
	return v
}
