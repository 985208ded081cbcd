package needs

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/bundle"
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
		"json":         {`{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":"a","image":"a:1"}]}}`, []string{"a:1@1"}, nil, ""},
		"image volume": {"apiVersion: v1\nkind: Pod\nspec:\n  volumes:\n  - name: v\n    image: {reference: data:1, pullPolicy: Always}\n", []string{"data:1@6"}, []string{"f:6: imagePullPolicy Always"}, ""},
		"operator":     {"apiVersion: x/v1\nkind: Thing\nspec:\n  image: quay.io/x/y:2\n  sub: {image: quay.io/x/z}\n", []string{"quay.io/x/y:2@4"}, []string{"f:5: image quay.io/x/z stands outside a container"}, ""},
		"not an image": {"apiVersion: x/v1\nkind: Thing\nspec:\n  image: a nice picture\n  other: {image: true}\n", nil, nil, ""},
		"crd":          {"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec: {properties: {containers: [{name: x}]}}\n", nil, nil, ""},
		"anchors":      {"apiVersion: v1\nkind: Pod\nx: &base {image: \"a:1\"}\nspec:\n  containers:\n  - <<: *base\n    name: a\n", []string{"a:1@3", "a:1@3"}, nil, ""},
		"alias list":   {"apiVersion: v1\nkind: Pod\nspec:\n  containers: &c\n  - {name: a, image: \"a:1\"}\n  initContainers: *c\n", []string{"a:1@5"}, nil, ""},
		"loop":         {"apiVersion: v1\nkind: Pod\nspec: &s\n  again: *s\n  containers: [{name: a, image: \"a:1\"}]\n", []string{"a:1@5"}, nil, ""},
		"bomb": {
			"apiVersion: v1\nkind: Pod\nspec:\n  containers: &c\n  - {name: a, image: \"a:1\", x: {containers: *c}, y: {containers: *c}}\n", []string{"a:1@5"}, nil, "",
		},
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
			if diff := cmp.Diff(tc.want, spell(got.Needs)); diff != "" {
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

// TestScanStrings is about what is not certain: such images are named, not packed.
func TestScanStrings(t *testing.T) {
	for name, tc := range map[string]struct {
		in          string
		want, maybe []string // ref@line
	}{
		"argument": {
			"apiVersion: apps/v1\nkind: Deployment\nspec:\n  containers:\n  - name: a\n    image: op:1\n    args:\n    - --reloader=quay.io/x/reloader:v1\n    - --listen=:8080\n    - --url=http://a.example/b:1\n",
			[]string{"op:1@6"},
			[]string{"quay.io/x/reloader:v1@8"},
		},
		"environment": {
			"apiVersion: apps/v1\nkind: Deployment\nspec:\n  containers:\n  - name: a\n    image: op:1\n    env:\n    - {name: RELATED_IMAGE_PROXY, value: \"proxy:2\"}\n    - {name: SIDE, value: \"quay.io/x/side@sha256:" + strings.Repeat("0", 64) + "\"}\n",
			[]string{"op:1@6", "proxy:2@8"},
			[]string{"quay.io/x/side@sha256:" + strings.Repeat("0", 64) + "@9"},
		},
		"manifest in a ConfigMap": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  pod.yaml: |\n    # a helper\n    apiVersion: v1\n    kind: Pod\n    spec:\n      containers:\n      - name: h\n        image: helper:1\n      - name: without\n",
			[]string{"helper:1@12"},
			nil,
		},
		"JSON manifest in a ConfigMap": {
			"apiVersion: v1\nkind: ConfigMap\ndata:\n  pod.json: '{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"spec\":{\"containers\":[{\"name\":\"h\",\"image\":\"helper:1\"}]}}'\n",
			[]string{"helper:1@4"},
			nil,
		},
		"template in a ConfigMap": {
			"apiVersion: v1\nkind: ConfigMap\ndata:\n  t: |\n    {{ if .X }}\n    containers:\n    - image: helper:1\n    - image: {{ .Image }}\n    {{ end }}\n",
			nil,
			[]string{"helper:1@7"},
		},
		"custom resource": {
			"apiVersion: x.io/v1\nkind: Thing\nspec:\n  sidecarImage: quay.io/x/y:1\n  baseImage: debian\n  store: {image: {repository: quay.io/x/z, tag: \"2\"}}\n  git: {repository: \"https://git.example/z\", tag: \"2\"}\n  containers: [{name: changed, resources: {}}]\n",
			[]string{"quay.io/x/y:1@4", "quay.io/x/z:2@6"},
			nil,
		},
		"defaults of a CRD": {
			"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec:\n  versions:\n  - schema:\n      openAPIV3Schema:\n        properties:\n          image:\n            description: image to run\n            default: quay.io/x/y:1\n          default: {type: string}\n          containers:\n            type: array\n            default:\n            - {name: a, image: \"z:1\"}\n",
			[]string{"quay.io/x/y:1@10", "z:1@15"},
			nil,
		},
		"typed list": {
			"apiVersion: v1\nkind: PodList\nitems:\n- spec: {containers: [{name: a, image: \"a:1\"}]}\n",
			[]string{"a:1@4"},
			nil,
		},
		"annotation": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  annotations:\n    last: '{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"spec\":{\"containers\":[{\"name\":\"h\",\"image\":\"old:1\"}]}}'\n",
			nil, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Scan("f", []byte(tc.in))
			if err != nil {
				t.Fatal(err)
			}
			for what, pair := range map[string][2][]string{"images": {tc.want, spell(got.Needs)}, "perhaps images": {tc.maybe, spell(got.Maybe)}} {
				if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
			}
		})
	}
}

func spell(list []bundle.Need) []string {
	var out []string
	for _, n := range list {
		out = append(out, n.Ref+"@"+strings.TrimPrefix(n.By, "f:"))
	}
	return out
}

func TestUnsure(t *testing.T) {
	f := Found{Maybe: []bundle.Need{{Ref: "quay.io/x/y:1", By: "f:1"}, {Ref: "quay.io/x/z:1", By: "f:2"}, {Ref: "quay.io/x/z:1", By: "f:3"}}}
	got := f.Unsure(&bundle.Contract{Images: []bundle.Image{{Ref: "quay.io/x/y:1"}}})
	want := []string{"f:2: quay.io/x/z:1 looks like an image, and is not packed: name it with --image if something starts it"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: nginx\n"))
	f.Add([]byte("apiVersion: v1\nkind: Pod\nspec: &s\n  containers: [*s]\n  <<: *s\n"))
	f.Add([]byte("---\n---\n"))
	f.Add([]byte("apiVersion: v1\nkind: ConfigMap\ndata:\n  a: |\n    apiVersion: v1\n    kind: Pod\n    image: b.c/d:e\n"))
	f.Add([]byte("apiVersion: a/v1\nkind: CustomResourceDefinition\nspec: {properties: {image: {default: b.c/d:e}}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Scan("f", data)
		if err == nil {
			for _, n := range append(s.Needs, s.Maybe...) {
				if n.Ref == "" || n.By == "" {
					t.Errorf("a need without name or place in %q", data)
				}
			}
		}
	})
}
