package chart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"k8s.io/apimachinery/pkg/util/version"

	"kubebundle/installer/cluster"
)

var update = flag.Bool("update", false, "write golden files; the run fails")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s is written; run again without -update", path)
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// folder unpacks an archive of text; more files replace those in it.
func folder(t *testing.T, archive string, more map[string]string) string {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range a.Files {
		files[f.Name] = string(f.Data)
	}
	for name, text := range more {
		files[name] = text
	}
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func options(v string) Options {
	return Options{Kubernetes: version.MustParseSemantic(v), Now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
}

func render(t *testing.T, dir string, o Options) (*Manifest, error) {
	t.Helper()
	c, err := Open(dir)
	if err != nil {
		return nil, err
	}
	return c.Render(t.Context(), o)
}

// TestRender renders a chart with one of everything, into the default namespace and into its own.
func TestRender(t *testing.T) {
	dir := folder(t, "app.txtar", nil)
	o := options("v1.34.4")
	m, err := render(t, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "app-default.yaml", m.Data)
	wantWarnings := []string{
		"hook Job early (app/templates/hooks.yaml) is applied like any other object: init does not wait for its end, and does not delete it",
		"hook Pod check (app/templates/hooks.yaml) is left out: it is for test",
		"hook Job late (app/templates/hooks.yaml) is applied like any other object: init does not wait for its end, and does not delete it",
	}
	if diff := cmp.Diff(wantWarnings, m.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}

	o.Release, o.Namespace = "mine", "apps"
	o.Values = []Values{{"a.yaml", []byte("image: {tag: \"2\"}\nstore: {size: 2Gi}\n")}, {"b.yaml", []byte("image: {tag: \"3\"}\n")}}
	o.Set = []string{"replicas=2,store.size=3Gi"}
	if m, err = render(t, dir, o); err != nil {
		t.Fatal(err)
	}
	golden(t, "app-apps.yaml", m.Data)

	// What the installer makes of it: namespaces and definitions first, in whatever order they came.
	objs, err := cluster.ParseManifest(m.Data)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, o := range objs {
		order = append(order, o.GetKind()+" "+o.GetName())
	}
	want := []string{
		"Namespace apps", "CustomResourceDefinition things.example.com", "CustomResourceDefinition parts.example.com", "ServiceAccount hook",
		"ConfigMap facts", "PersistentVolumeClaim mine-store", "ClusterRole app", "Deployment mine", "ServiceAccount app", "PersistentVolume disk",
		"Part two", "Thing one", "Job early", "Job late",
	}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order of objects (-want +got):\n%s", diff)
	}
}

// TestHelmCreate renders the chart that `helm create` makes, for the oldest and the newest Kubernetes.
func TestHelmCreate(t *testing.T) {
	for _, v := range []string{"v1.10.6", "v1.36.3"} {
		dir, err := chartutil.Create("web", t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		o := options(v)
		o.Set = []string{"ingress.enabled=true", "autoscaling.enabled=true"}
		m, err := render(t, dir, o)
		if err != nil {
			t.Fatal(err)
		}
		objs, err := cluster.ParseManifest(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range objs {
			got = append(got, o.GetAPIVersion()+" "+o.GetKind())
		}
		want := []string{"v1 ServiceAccount", "v1 Service", "apps/v1 Deployment", "autoscaling/v2 HorizontalPodAutoscaler", "networking.k8s.io/v1 Ingress"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: objects (-want +got):\n%s", v, diff)
		}
		if len(m.Warnings) != 1 || !strings.Contains(m.Warnings[0], "is left out: it is for test") {
			t.Errorf("%s: warnings %q", v, m.Warnings)
		}
	}
}

// TestArchive: the same chart as a .tgz gives the same.
func TestArchive(t *testing.T) {
	dir := folder(t, "app.txtar", nil)
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	if err := tw.AddFS(os.DirFS(filepath.Dir(dir))); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	want, err := render(t, dir, options("v1.34.4"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Read(buf.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Render(t.Context(), options("v1.34.4"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want.Data), string(got.Data)); diff != "" {
		t.Errorf("folder and archive differ (-folder +archive):\n%s", diff)
	}
}

func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		opts  func(*Options)
		want  string
		hint  string
	}{
		"random password": {
			files: map[string]string{"templates/secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  password: {{ randAlphaNum 12 }}\n"},
			want:  "template app/templates/secret.yaml gives something else each time (password)", hint: "--values or --set",
		},
		"certificate": {
			files: map[string]string{"templates/ca.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  ca: {{ (genCA \"x\" 1).Cert | quote }}\n"},
			want:  "template app/templates/ca.yaml gives something else each time (ca)",
		},
		"dependency": {
			files: map[string]string{"Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\ndependencies: [{name: absent, version: 2.0.0, repository: \"https://charts.example.com\"}]\n"},
			want:  "its dependency absent 2.0.0 is not in its charts folder", hint: "helm dependency build",
		},
		"library":     {files: map[string]string{"Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\ntype: library\n"}, want: "is a library chart"},
		"version":     {opts: func(o *Options) { o.Kubernetes = version.MustParseSemantic("v1.19.16") }, want: "wants Kubernetes >=1.20.0-0, and the bundle is for v1.19.16"},
		"schema":      {opts: func(o *Options) { o.Set = []string{"replicas=many"} }, want: "replicas"},
		"values":      {opts: func(o *Options) { o.Values = []Values{{"v.yaml", []byte("a: [")}} }, want: "values v.yaml: "},
		"set":         {opts: func(o *Options) { o.Set = []string{"a"} }, want: `set "a": `},
		"release":     {opts: func(o *Options) { o.Release = "Not A Name" }, want: `release "Not A Name": `},
		"template":    {files: map[string]string{"templates/x.yaml": "{{ .Values.a.b.c }}"}, want: "app/templates/x.yaml"},
		"syntax":      {files: map[string]string{"templates/x.yaml": "{{ if }}"}, want: "app/templates/x.yaml"},
		"fail":        {files: map[string]string{"templates/x.yaml": `{{ fail "choose a host" }}`}, want: "choose a host"},
		"no object":   {files: map[string]string{"templates/x.yaml": "a: b\n"}, want: "template app/templates/x.yaml: gives something that is no Kubernetes object"},
		"no YAML":     {files: map[string]string{"templates/x.yaml": "a: [\n"}, want: "app/templates/x.yaml"},
		"no metadata": {files: map[string]string{"Chart.yaml": "apiVersion: v2\nname: app\n"}, want: "version"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options("v1.34.4")
			if tc.opts != nil {
				tc.opts(&o)
			}
			_, err := render(t, folder(t, "app.txtar", tc.files), o)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want one with %q", err, tc.want)
			}
			var hinter interface{ Hint() string }
			if tc.hint != "" && (!errors.As(err, &hinter) || !strings.Contains(hinter.Hint(), tc.hint)) {
				t.Errorf("error %v has no hint with %q", err, tc.hint)
			}
		})
	}
}

// TestRandomSecretIsNotShown: what is made up is not part of the message.
func TestRandomSecretIsNotShown(t *testing.T) {
	err := compare(map[string]string{"s": "a: b\npassword: geheim"}, map[string]string{"s": "a: b\npassword: secret"})
	if err == nil || strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), "password") {
		t.Errorf("got %v", err)
	}
}

// TestRandomValueGiven: a template that makes something up only where no value is given is fine once it is.
func TestRandomValueGiven(t *testing.T) {
	dir := folder(t, "app.txtar", map[string]string{
		"templates/secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: {{ default (randAlphaNum 12) .Values.password }}}\n",
	})
	o := options("v1.34.4")
	o.Set = []string{"password=given"}
	m, err := render(t, dir, o)
	if err != nil || !strings.Contains(string(m.Data), "stringData: {password: given}") {
		t.Errorf("error %v", err)
	}
}

func TestBrokenArchives(t *testing.T) {
	escape := func(name string) []byte {
		var buf bytes.Buffer
		zw := gzip.NewWriter(&buf)
		tw := tar.NewWriter(zw)
		data := []byte("apiVersion: v2\nname: app\nversion: 1.0.0\n")
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(tw.Close(), zw.Close()); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	good := escape("app/Chart.yaml")
	if _, err := Read(good); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty": nil, "no gzip": []byte("hello"), "cut": good[:len(good)/2], "parent": escape("app/../../Chart.yaml"), "absolute": escape("app//etc/Chart.yaml"),
	} {
		if _, err := Read(data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a chart that is not there: %v", err)
	}
}

func TestServed(t *testing.T) {
	for _, tc := range []struct {
		v        string
		has, not []string
	}{
		{
			"v1.10.6",
			[]string{"v1/Pod", "apps/v1/Deployment", "extensions/v1beta1/Deployment", "apps/v1beta2/DaemonSet", "policy/v1beta1/PodDisruptionBudget", "apiextensions.k8s.io/v1beta1"},
			[]string{"policy/v1", "networking.k8s.io/v1/Ingress", "batch/v1/CronJob", "apiextensions.k8s.io/v1", "storage.k8s.io/v1/CSIDriver"},
		},
		{
			"v1.21.14",
			[]string{"policy/v1/PodDisruptionBudget", "policy/v1beta1/PodDisruptionBudget", "networking.k8s.io/v1/Ingress", "networking.k8s.io/v1beta1/Ingress", "batch/v1/CronJob"},
			[]string{"extensions/v1beta1/Deployment", "apps/v1beta2", "autoscaling/v2"},
		},
		{
			"v1.34.4",
			[]string{"v1", "autoscaling/v2/HorizontalPodAutoscaler", "flowcontrol.apiserver.k8s.io/v1", "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy", "resource.k8s.io/v1/DeviceClass"},
			[]string{"policy/v1beta1", "autoscaling/v2beta2", "flowcontrol.apiserver.k8s.io/v1beta3", "networking.k8s.io/v1beta1", "resource.k8s.io/v1beta1", "internal.apiserver.k8s.io/v1alpha1", "apiextensions.k8s.io/v1beta1"},
		},
	} {
		set := served(version.MustParseSemantic(tc.v))
		for _, s := range tc.has {
			if !set.Has(s) {
				t.Errorf("%s lacks %s", tc.v, s)
			}
		}
		for _, s := range tc.not {
			if set.Has(s) {
				t.Errorf("%s has %s", tc.v, s)
			}
		}
	}
}
