package needs_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/bundle"
	"kubebundle/bundle/bundletest"
	"kubebundle/bundle/needs"
	"kubebundle/release"
)

// filled is a bundle of a version with all of its images but one.
func filled(t *testing.T, v string, o release.Options, without string, manifests map[string]string) *bundle.Bundle {
	t.Helper()
	m := bundletest.New("amd64")
	m.Contract.KubernetesVersion = v
	for path, text := range manifests {
		m.File(path, 0o644, []byte(text))
	}
	for _, img := range images(t, v, o) {
		if img.Ref != without {
			m.Image(img.Ref, string(img.Component), bundletest.Layer("bin/x", img.Ref))
		}
	}
	b, err := bundle.OpenPath(m.Write(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func images(t *testing.T, v string, o release.Options) []release.Image {
	t.Helper()
	parsed, err := release.Parse(v)
	if err != nil {
		t.Fatal(err)
	}
	r, err := release.Find(parsed, o)
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.Images("amd64")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// complete says what is missing, one line each.
func complete(t *testing.T, b *bundle.Bundle) []string {
	t.Helper()
	list, err := needs.Of(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Contract().VerifyComplete(list.Needs); err != nil {
		return strings.Split(err.Error(), "\n")
	}
	return nil
}

// TestEveryComponent leaves each image of a version out: whichever phase would have asked for it, the contract alone tells that it is missing.
func TestEveryComponent(t *testing.T) {
	for _, tc := range []struct {
		version string
		options release.Options
	}{{"v1.34.4", release.Options{}}, {"v1.10.6", release.Options{}}, {"v1.12.0", release.Options{KubeDNS: true}}} {
		all := images(t, tc.version, tc.options)
		if len(all) < 7 {
			t.Errorf("%s has %d images", tc.version, len(all))
		}
		if got := complete(t, filled(t, tc.version, tc.options, "", nil)); got != nil {
			t.Errorf("%s with all images: %q", tc.version, got)
		}
		for _, img := range all {
			if tc.options.KubeDNS && img.Component == release.KubeDNS {
				continue // that it is there is what says that it was wanted
			}
			want := []string{"image " + img.Ref + " is not in the bundle, but Kubernetes " + tc.version + " (" + string(img.Component) + ") needs it"}
			if diff := cmp.Diff(want, complete(t, filled(t, tc.version, tc.options, img.Ref, nil))); diff != "" {
				t.Errorf("%s without %s (-want +got):\n%s", tc.version, img.Component, diff)
			}
		}
	}
}

// TestEveryDepth asks for images from wherever a manifest can: each that is missing is named with the file and the line that asks.
func TestEveryDepth(t *testing.T) {
	manifests := map[string]string{
		"manifests/01-deep.yml": `apiVersion: v1
kind: List
items:
- apiVersion: batch/v1
  kind: CronJob
  spec:
    jobTemplate:
      spec:
        template:
          spec:
            initContainers:
            - {name: i, image: "example.com/init:1"}
            containers:
            - {name: c, image: "example.com/cron:1"}
            ephemeralContainers:
            - {name: e, image: "example.com/debug:1"}
            volumes:
            - name: v
              image: {reference: "example.com/volume:1"}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  versions:
  - schema:
      openAPIV3Schema:
        properties:
          image: {type: string, default: "example.com/default:1"}
`,
		"manifests/02-more.yml": `apiVersion: example.com/v1
kind: Thing
spec:
  sidecarImage: example.com/sidecar:1
  store: {image: {repository: example.com/store, tag: "2"}}
  template: {spec: {containers: [{name: t, image: "example.com/thing:1"}]}}
---
apiVersion: v1
kind: ConfigMap
data:
  pod.yaml: |
    apiVersion: v1
    kind: Pod
    spec:
      containers: [{name: c, image: "example.com/inner:1"}]
---
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      containers:
      - name: op
        image: registry.k8s.io/pause:3.10.1
        env: [{name: RELATED_IMAGE_PROXY, value: "example.com/proxy:1"}]
`,
	}
	var want []string
	for _, asked := range []string{
		"init:1 01-deep.yml:12", "cron:1 01-deep.yml:14", "debug:1 01-deep.yml:16", "volume:1 01-deep.yml:19", "default:1 01-deep.yml:29",
		"sidecar:1 02-more.yml:4", "store:2 02-more.yml:5", "thing:1 02-more.yml:6", "inner:1 02-more.yml:15", "proxy:1 02-more.yml:25",
	} {
		ref, place, _ := strings.Cut(asked, " ")
		want = append(want, "image example.com/"+ref+" is not in the bundle, but manifests/"+place+" needs it")
	}
	got := complete(t, filled(t, "v1.34.4", release.Options{}, "", manifests))
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}
