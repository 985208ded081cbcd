package builder_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"kubebundle/bundle/builder"
	"kubebundle/imagestore"
)

// TestAnotherDay builds once today and once on the first day of the year 2000, in another folder and another time zone, one job at a time, from
// inputs whose files are of another date, and with an empty cache. A chart that asks for the time gets that of the bundle.
func TestAnotherDay(t *testing.T) {
	e := newEnv(t, "v1.34.4", "amd64")
	inputs := func(dir string, when time.Time) {
		for path, text := range map[string]string{
			"flannel.yml":              flannel,
			"site/audit.yaml":          "rules: none\n",
			"app/Chart.yaml":           "apiVersion: v2\nname: app\nversion: 1.2.3\n",
			"app/templates/config.yml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: when}\ndata: {at: {{ now | date \"2006-01-02 15:04 MST\" | quote }}, day: {{ now | htmlDate | quote }}, in: {{ now | unixEpoch | quote }}}\n",
		} {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, path, []byte(text))
			if err := os.Chtimes(path, when, when); err != nil {
				t.Fatal(err)
			}
		}
		e.req.Manifests = []string{filepath.Join(dir, "flannel.yml")}
		e.req.Charts = []builder.Chart{{Source: filepath.Join(dir, "app")}}
		e.req.Includes = []builder.Include{{Source: filepath.Join(dir, "site"), Dest: "/etc/site"}}
		e.req.Output = filepath.Join(dir, "out.tar.gz")
	}
	inputs(t.TempDir(), time.Now())
	today, err := e.build(t)
	if err != nil {
		t.Fatal(err)
	}
	inputs(t.TempDir(), time.Date(2011, 11, 11, 11, 11, 11, 0, time.UTC))
	defer func(zone *time.Location) { time.Local = zone }(time.Local)
	time.Local = time.FixedZone("elsewhere", 9*60*60)
	mirrors, err := imagestore.ParseMirrors(e.up.RegistryMirrors())
	if err != nil {
		t.Fatal(err)
	}
	binaries, err := imagestore.ParseBinaryMirrors([]string{e.up.BinaryMirror()})
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // its clock begins in the year 2000
		if y := time.Now().UTC().Year(); y != 2000 {
			t.Fatalf("the clock says %d", y)
		}
		store, err := imagestore.New(imagestore.Options{
			CacheDir: cache, Mirrors: mirrors, BinaryMirrors: binaries, Keychain: authn.NewMultiKeychain(), Retries: -1,
			Transport: &http.Transport{DisableKeepAlives: true}, // no connection outlives the build
		})
		if err != nil {
			t.Fatal(err)
		}
		b := &builder.Builder{Store: store, Jobs: 1}
		p, err := b.Plan(t.Context(), e.req)
		if err != nil {
			t.Fatal(err)
		}
		then, err := b.Build(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if then.SHA256 != today.SHA256 {
			t.Errorf("the bundle of another day is %s, today's is %s", then.SHA256, today.SHA256)
		}
	})
}
