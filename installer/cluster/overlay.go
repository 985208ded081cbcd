package cluster

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
)

// overlay lays what we want over what is there and reports whether that changes anything. Mappings are merged: keys that we do not
// set stay, be they defaults of the server or additions of others. Lists are replaced as a whole, unless each of our elements is
// already covered by the element at its place. Neither argument is modified.
func overlay(live, want map[string]any) (map[string]any, bool) {
	return overlayUnder("", live, want)
}

// overlayUnder is overlay for the mapping that stands at a key.
func overlayUnder(parent string, live, want map[string]any) (map[string]any, bool) {
	merged, changed := maps.Clone(live), false
	if merged == nil {
		merged = map[string]any{}
	}
	for key, w := range want {
		if w == nil {
			continue // "null" in a typed object means: not set
		}
		l, ok := live[key]
		if !ok || l == nil {
			if keyed(parent) || !empty(key, w) {
				merged[key], changed = w, true
			}
			continue
		}
		m, c := overlayValue(key, l, w)
		merged[key], changed = m, changed || c
	}
	return merged, changed
}

func overlayValue(key string, live, want any) (any, bool) {
	switch w := want.(type) {
	case map[string]any:
		l, ok := live.(map[string]any)
		if !ok {
			return want, true
		}
		if exact(key) {
			return want, !equalUnder(key, l, w)
		}
		return overlayUnder(key, l, w)
	case []any:
		l, ok := live.([]any)
		if ok && covers(l, w) {
			return live, false
		}
		return want, true
	}
	if equalScalar(key, live, want) {
		return live, false
	}
	return want, true
}

// exact are mappings that nobody else adds to, so that a key that we no longer set must go: a label that a pod or node no longer has to have.
func exact(key string) bool {
	return slices.Contains([]string{"nodeSelector", "matchLabels", "selector", "limits", "requests"}, key)
}

// covers reports whether laying want over live, element by element, changes nothing.
func covers(live, want []any) bool {
	if len(live) != len(want) {
		return false
	}
	for i := range want {
		if want[i] == nil {
			continue
		}
		if _, changed := overlayValue("", live[i], want[i]); changed {
			return false
		}
	}
	return true
}

func equalUnder(key string, live, want map[string]any) bool {
	if len(live) != len(want) {
		return false
	}
	for k, w := range want {
		l, ok := live[k]
		if !ok {
			return false
		}
		if quantities(key) {
			k = key
		}
		if _, changed := overlayValue(k, l, w); changed {
			return false
		}
	}
	return true
}

// quantities are mappings whose values the server writes in another form than it was given: "0.5" becomes "500m".
func quantities(key string) bool { return key == "limits" || key == "requests" }

func equalScalar(key string, live, want any) bool {
	if reflect.DeepEqual(live, want) {
		return true
	}
	// A Go type that cannot be left out: 0 is how a typed Service says "the same as port".
	if n, ok := number(want); ok && n == 0 && key == "targetPort" {
		return true
	}
	// Numbers come as int64 or float64, after who decoded them.
	if a, ok := number(live); ok {
		if b, ok := number(want); ok {
			return a == b
		}
	}
	if !quantities(key) {
		return false
	}
	a, errA := resource.ParseQuantity(text(live))
	b, errB := resource.ParseQuantity(text(want))
	return errA == nil && errB == nil && a.Cmp(b) == 0
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case int:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// keyed are mappings whose keys are data: there an empty value is a value (the label of a control plane node has one).
func keyed(key string) bool {
	return exact(key) || slices.Contains([]string{"labels", "annotations", "data", "binaryData"}, key)
}

// empty reports whether a value that the live object lacks says nothing. Typed objects carry such values for fields that were never
// set, and the server leaves them out. An empty mapping says nothing only where it is a structure's zero value; elsewhere
// ("emptyDir: {}") it is a choice.
func empty(key string, v any) bool {
	switch v := v.(type) {
	case map[string]any:
		if !keyed(key) && !slices.Contains([]string{"resources", "strategy", "updateStrategy", "metadata", "spec", "template", "status"}, key) {
			return false
		}
		for k, e := range v {
			if keyed(key) || !empty(k, e) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	case string:
		return v == ""
	}
	return v == nil
}
