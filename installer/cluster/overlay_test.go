package cluster

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

func TestOverlay(t *testing.T) {
	for name, c := range map[string]struct {
		live, want, merged string
		changed            bool
	}{
		"same":                 {`{"a":1}`, `{"a":1}`, `{"a":1}`, false},
		"new field":            {`{"a":1}`, `{"b":"x"}`, `{"a":1,"b":"x"}`, true},
		"null says nothing":    {`{"a":1}`, `{"a":null}`, `{"a":1}`, false},
		"empty says nothing":   {`{}`, `{"resources":{"limits":{}},"b":[],"c":"","template":{"metadata":{"creationTimestamp":null}}}`, `{}`, false},
		"empty choice":         {`{"volumes":[{"name":"v","hostPath":{"path":"/x"}}]}`, `{"volumes":[{"name":"v","emptyDir":{}}]}`, `{"volumes":[{"name":"v","emptyDir":{}}]}`, true},
		"empty label":          {`{"metadata":{"labels":{"a":"1"}}}`, `{"metadata":{"labels":{"b":""}}}`, `{"metadata":{"labels":{"a":"1","b":""}}}`, true},
		"empty first label":    {`{"metadata":{}}`, `{"metadata":{"labels":{"b":""}}}`, `{"metadata":{"labels":{"b":""}}}`, true},
		"empty data":           {`{"data":{}}`, `{"data":{"k":""}}`, `{"data":{"k":""}}`, true},
		"zero says something":  {`{}`, `{"replicas":0}`, `{"replicas":0}`, true},
		"false too":            {`{}`, `{"a":false}`, `{"a":false}`, true},
		"labels of others":     {`{"metadata":{"labels":{"x":"1"}}}`, `{"metadata":{"labels":{"y":"2"}}}`, `{"metadata":{"labels":{"x":"1","y":"2"}}}`, true},
		"defaults in a list":   {`{"c":[{"n":"a","p":"TCP"}]}`, `{"c":[{"n":"a"}]}`, `{"c":[{"n":"a","p":"TCP"}]}`, false},
		"another element":      {`{"c":[{"n":"a","p":"TCP"}]}`, `{"c":[{"n":"b"}]}`, `{"c":[{"n":"b"}]}`, true},
		"one more element":     {`{"c":[{"n":"a"}]}`, `{"c":[{"n":"a"},{"n":"b"}]}`, `{"c":[{"n":"a"},{"n":"b"}]}`, true},
		"one element less":     {`{"c":[1,2]}`, `{"c":[1]}`, `{"c":[1]}`, true},
		"emptied list":         {`{"c":[1]}`, `{"c":[]}`, `{"c":[]}`, true},
		"another type":         {`{"c":[1]}`, `{"c":{"a":1}}`, `{"c":{"a":1}}`, true},
		"node selector is all": {`{"nodeSelector":{"old":"1","os":"linux"}}`, `{"nodeSelector":{"os":"linux"}}`, `{"nodeSelector":{"os":"linux"}}`, true},
		"quantity":             {`{"limits":{"cpu":"500m","memory":"1Gi"}}`, `{"limits":{"cpu":"0.5","memory":"1024Mi"}}`, `{"limits":{"cpu":"500m","memory":"1Gi"}}`, false},
		"quantity as number":   {`{"limits":{"cpu":"1"}}`, `{"limits":{"cpu":1}}`, `{"limits":{"cpu":"1"}}`, false},
		"other quantity":       {`{"limits":{"cpu":"500m"}}`, `{"limits":{"cpu":"0.6"}}`, `{"limits":{"cpu":"0.6"}}`, true},
		"text is no quantity":  {`{"data":{"v":"1"}}`, `{"data":{"v":"1.0"}}`, `{"data":{"v":"1.0"}}`, true},
	} {
		live, want := decode(t, c.live), decode(t, c.want)
		merged, changed := overlay(live, want)
		if changed != c.changed {
			t.Errorf("%s: changed = %t", name, changed)
		}
		expected := decode(t, c.merged)
		if diff := cmp.Diff(expected, merged); diff != "" && (changed || name != "quantity" && name != "quantity as number") {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(decode(t, c.live), live); diff != "" {
			t.Errorf("%s: the live object was modified: %s", name, diff)
		}
		if _, again := overlay(merged, want); again {
			t.Errorf("%s: a second time changes something", name)
		}
	}
}
