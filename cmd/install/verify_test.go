package main

import (
	"bytes"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"kubebundle/bundle/bundletest"
	"kubebundle/bundle/trust"
	"kubebundle/installer/host"
	"kubebundle/release"
)

// TestVerifyManifests proves that verify looks for the images of packed manifests too, as `bundler verify` does.
func TestVerifyManifests(t *testing.T) {
	const manifest = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - {name: a, image: \"example.com/web:1\"}\n"
	for name, tc := range map[string]struct {
		extra []string // images beside those of the version
		code  int
		want  string
	}{
		"whole":   {[]string{"example.com/web:1"}, 0, ": ok: "},
		"missing": {nil, 4, "image example.com/web:1 is not in the bundle, but manifests/01-web.yml:5 needs it"},
	} {
		t.Run(name, func(t *testing.T) {
			m := bundletest.New(runtime.GOARCH)
			m.File("manifests/01-web.yml", 0o644, []byte(manifest))
			v, err := release.Parse(m.Contract.KubernetesVersion)
			if err != nil {
				t.Fatal(err)
			}
			rel, err := release.Find(v, release.Options{})
			if err != nil {
				t.Fatal(err)
			}
			images, err := rel.Images(release.Arch(runtime.GOARCH))
			if err != nil {
				t.Fatal(err)
			}
			for _, img := range images {
				m.Image(img.Ref, string(img.Component), bundletest.Layer("bin/x", img.Ref))
			}
			for _, ref := range tc.extra {
				m.Image(ref, "", bundletest.Layer("bin/x", ref))
			}
			h, err := host.NewRooted(t.TempDir(), host.Facts{OS: "linux", Arch: runtime.GOARCH})
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			a := &app{in: strings.NewReader(""), out: &out, err: &out, host: h, runtime: openFake, pinned: trust.Pinned, lockPath: filepath.Join(t.TempDir(), "lock")}
			if code := a.run(t.Context(), []string{"--bundle", m.Write(t, t.TempDir()), "verify"}); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			if !strings.Contains(out.String(), tc.want) {
				t.Errorf("output lacks %q:\n%s", tc.want, out.String())
			}
		})
	}
}
