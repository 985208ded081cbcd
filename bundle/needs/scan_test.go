package needs

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScan(t *testing.T) {
	for name, tc := range map[string]struct {
		in       string
		want     []string // ref@line
		warnings []string // parts
		err      string
	}{
		"pod in a list in a template": {`
apiVersion: v1
kind: List
items:
- apiVersion: batch/v1
  kind: CronJob
  spec:
    jobTemplate:
      spec:
        template:
          spec:
            containers: [{name: a, image: "a:1"}]
            ephemeralContainers: [{name: b, image: "b:1"}]
---
# nothing but a comment
---
apiVersion: v1
kind: Pod
spec:
  initContainers:
  - {name: c, image: c@sha256:0000000000000000000000000000000000000000000000000000000000000000}
`, []string{"a:1@12", "b:1@13", "c@sha256:0000000000000000000000000000000000000000000000000000000000000000@21"}, nil, ""},
		"json":          {`{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":"a","image":"a:1"}]}}`, []string{"a:1@1"}, nil, ""},
		"image volume":  {"apiVersion: v1\nkind: Pod\nspec:\n  volumes:\n  - name: v\n    image: {reference: data:1, pullPolicy: Always}\n", []string{"data:1@6"}, []string{"f:6: imagePullPolicy Always"}, ""},
		"operator":      {"apiVersion: x/v1\nkind: Thing\nspec:\n  image: quay.io/x/y:2\n  sub: {image: quay.io/x/z}\n", []string{"quay.io/x/y:2@4"}, []string{"f:5: image quay.io/x/z stands outside a container"}, ""},
		"not an image":  {"apiVersion: x/v1\nkind: Thing\nspec:\n  image: a nice picture\n  other: {image: true}\n", nil, nil, ""},
		"crd":           {"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec: {properties: {containers: [{name: x}]}}\n", nil, nil, ""},
		"anchors":       {"apiVersion: v1\nkind: Pod\nx: &base {image: \"a:1\"}\nspec:\n  containers:\n  - <<: *base\n    name: a\n", []string{"a:1@3", "a:1@3"}, nil, ""},
		"alias list":    {"apiVersion: v1\nkind: Pod\nspec:\n  containers: &c\n  - {name: a, image: \"a:1\"}\n  initContainers: *c\n", []string{"a:1@5", "a:1@5"}, nil, ""},
		"loop":          {"apiVersion: v1\nkind: Pod\nspec: &s\n  again: *s\n  containers: [{name: a, image: \"a:1\"}]\n", []string{"a:1@5"}, nil, ""},
		"latest":        {"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: nginx\n", []string{"nginx@6"}, []string{"f:6: nginx is pulled again at every start"}, ""},
		"latest, quiet": {"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: nginx:latest\n    imagePullPolicy: IfNotPresent\n", []string{"nginx:latest@6"}, nil, ""},
		"empty image":   {"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: \"\"\n", nil, nil, "manifest f:6: the image is empty"},
		"no image":      {"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n", nil, nil, `manifest f:5: container "a" has no image`},
		"two problems":  {"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n  - {name: b, image: \"B:\"}\n", nil, nil, `manifest f:6: odd image "B:"`},
		"not yaml":      {"a: [", nil, nil, "manifest f: line 1"},
		"not an object": {"hello: world\n", nil, nil, "manifest f:1: is not a Kubernetes object"},
		"empty":         {"# nothing\n", nil, nil, "manifest f: holds no object"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Scan("f", []byte(tc.in))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want one with %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var refs []string
			for _, n := range got.Needs {
				refs = append(refs, n.Ref+"@"+strings.TrimPrefix(n.By, "f:"))
			}
			if diff := cmp.Diff(tc.want, refs); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
			if len(got.Warnings) != len(tc.warnings) {
				t.Fatalf("warnings %q, want %q", got.Warnings, tc.warnings)
			}
			for i, w := range tc.warnings {
				if !strings.Contains(got.Warnings[i], w) {
					t.Errorf("warning %q lacks %q", got.Warnings[i], w)
				}
			}
		})
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: nginx\n"))
	f.Add([]byte("apiVersion: v1\nkind: Pod\nspec: &s\n  containers: [*s]\n  <<: *s\n"))
	f.Add([]byte("---\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Scan("f", data)
		if err == nil {
			for _, n := range s.Needs {
				if n.Ref == "" || n.By == "" {
					t.Errorf("a need without name or place in %q", data)
				}
			}
		}
	})
}
