package release

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files; the run fails so that nobody leaves it on")

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if *update && code == 0 {
		fmt.Fprintln(os.Stderr, "goldens written: look at the difference, then run again without -update")
		code = 1
	}
	os.Exit(code)
}

func find(t *testing.T, v string, o Options) *Release {
	t.Helper()
	parsed, err := Parse(v)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Find(parsed, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// render writes all that a release says about one arch, the way a person would compare it with kubeadm's own list.
func render(t *testing.T, r *Release, a Arch) string {
	t.Helper()
	images, err := r.Images(a)
	if err != nil {
		t.Fatal(err)
	}
	binaries, err := r.Binaries(a)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, i := range images {
		fmt.Fprintf(&b, "%s\n", i.Ref)
		for _, p := range i.Pull {
			fmt.Fprintf(&b, "  from %s\n", p)
		}
	}
	for _, f := range binaries {
		fmt.Fprintf(&b, "%s %s %q optional=%v\n  %s\n", f.Name, f.Version, f.Archive, f.Optional, f.URL)
		for _, c := range f.Checksums {
			fmt.Fprintf(&b, "  %s %s\n", c.Kind, c.URL)
		}
	}
	fmt.Fprintf(&b, "etcd %s, coredns %s, pause %s\n", r.EtcdVersion(), r.CoreDNSVersion(), r.PauseVersion())
	fmt.Fprintf(&b, "cri %v, containerd >= %s, dockershim %v\n", r.CRIAPI(), r.MinContainerd(), r.Dockershim())
	fmt.Fprintf(&b, "skew %d\n", r.KubeletMaxSkew())
	fmt.Fprintf(&b, "confidence %s\n", r.Confidence())
	for _, w := range r.Warnings() {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	for name, c := range map[string]struct {
		version string
		arch    Arch
		o       Options
	}{
		"v1.10.6-arm64":            {version: "v1.10.6", arch: "arm64"},
		"v1.10.6-arm64-kube-dns":   {version: "v1.10.6", arch: "arm64", o: Options{KubeDNS: true}},
		"v1.10.13-amd64":           {version: "1.10.13", arch: "amd64"},
		"v1.11.10-arm":             {version: "v1.11.10", arch: "arm"},
		"v1.12.0-amd64":            {version: "v1.12.0", arch: "amd64"},
		"v1.18.20-s390x-kube-dns":  {version: "v1.18.20", arch: "s390x", o: Options{KubeDNS: true}},
		"v1.20.15-amd64":           {version: "v1.20.15", arch: "amd64"},
		"v1.21.0-amd64":            {version: "v1.21.0", arch: "amd64"},
		"v1.21.0-amd64-custom":     {version: "v1.21.0", arch: "amd64", o: Options{ImageRepository: "registry.example.com:5000/k8s/"}},
		"v1.22.16-amd64":           {version: "v1.22.16", arch: "amd64"},
		"v1.22.17-amd64":           {version: "v1.22.17", arch: "amd64"},
		"v1.22.17-amd64-custom":    {version: "v1.22.17", arch: "amd64", o: Options{ImageRepository: "registry.example.com/k8s"}},
		"v1.23.5-amd64-new-reg":    {version: "v1.23.5", arch: "amd64", o: Options{ImageRepository: "registry.k8s.io"}},
		"v1.30.4-ppc64le":          {version: "v1.30.4", arch: "ppc64le"},
		"v1.30.5-ppc64le":          {version: "v1.30.5", arch: "ppc64le"},
		"v1.34.4-amd64":            {version: "v1.34.4", arch: "amd64"},
		"v1.36.3-arm64":            {version: "v1.36.3", arch: "arm64"},
		"v1.36.9-arm64":            {version: "v1.36.9", arch: "arm64"},
		"v1.37.2-arm64":            {version: "v1.37.2", arch: "arm64"},
		"v1.38.1-rc.0-amd64-allow": {version: "v1.38.1-rc.0+build.7", arch: "amd64", o: Options{AllowUnknown: true}},
	} {
		t.Run(name, func(t *testing.T) {
			got := render(t, find(t, c.version, c.o), c.arch)
			file := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", file, diff)
			}
		})
	}
}

// TestCatalog goes through every patch of every minor and every arch: whatever is asked, names and addresses are well formed.
func TestCatalog(t *testing.T) {
	c, err := loadCatalog()
	if err != nil {
		t.Fatal(err)
	}
	if first, last := c.oldest().Minor, c.newest().Minor; first != "1.10" || last != "1.37" || len(c.Minors) != 28 {
		t.Fatalf("the catalog has %d minors from %s to %s", len(c.Minors), first, last)
	}
	for _, m := range c.Minors {
		for p := range m.LastPatch + 1 {
			for _, a := range m.Arches {
				for _, o := range []Options{{}, {KubeDNS: m.number <= 20}, {ImageRepository: "localhost:5000/a/b"}} {
					checkRelease(t, find(t, fmt.Sprintf("v%s.%d", m.Minor, p), o), a)
				}
			}
		}
	}
}

func checkRelease(t *testing.T, r *Release, a Arch) {
	t.Helper()
	images, err := r.Images(a)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Warnings()) != 0 {
		t.Errorf("%s: a known version warns: %v", Tag(r.Version), r.Warnings())
	}
	for _, i := range images {
		if len(i.Pull) == 0 {
			t.Errorf("%s: %s cannot be pulled from anywhere", Tag(r.Version), i.Ref)
		}
		for _, ref := range append([]string{i.Ref}, i.Pull...) {
			named, err := reference.ParseNormalizedNamed(ref)
			if err != nil {
				t.Errorf("%s: %s: %v", Tag(r.Version), ref, err)
				continue
			}
			if tagged, ok := named.(reference.Tagged); !ok || tagged.Tag() == "" {
				t.Errorf("%s: %s has no tag", Tag(r.Version), ref)
			}
		}
		if one, err := r.Image(a, i.Component); err != nil || !cmp.Equal(one, i) {
			t.Errorf("%s: Image(%s) = %v, %v", Tag(r.Version), i.Component, one, err)
		}
	}
	binaries, err := r.Binaries(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range binaries {
		if len(b.Checksums) == 0 {
			t.Errorf("%s: %s has no checksum", Tag(r.Version), b.Name)
		}
		for _, s := range append([]Checksum{{Kind: "", URL: b.URL}}, b.Checksums...) {
			u, err := url.Parse(s.URL)
			if err != nil || u.Scheme != "https" || (u.Host != "dl.k8s.io" && u.Host != "github.com") || strings.Contains(u.Path, "//") {
				t.Errorf("%s: address %s: %v", Tag(r.Version), s.URL, err)
			}
			if !strings.HasSuffix(s.URL, s.Kind) {
				t.Errorf("%s: %s is no %s", Tag(r.Version), s.URL, s.Kind)
			}
		}
	}
}

func TestRegistrySwitch(t *testing.T) {
	for v, want := range map[string]string{
		"v1.22.16": "k8s.gcr.io", "v1.22.17": "registry.k8s.io",
		"v1.23.14": "k8s.gcr.io", "v1.23.15": "registry.k8s.io",
		"v1.24.8": "k8s.gcr.io", "v1.24.9": "registry.k8s.io",
		"v1.24.0": "k8s.gcr.io", "v1.25.0": "registry.k8s.io",
	} {
		img, err := find(t, v, Options{}).Image("amd64", APIServer)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(img.Ref, want+"/") {
			t.Errorf("%s: %s, want %s", v, img.Ref, want)
		}
	}
}

func TestUnknownVersion(t *testing.T) {
	for _, c := range []struct {
		version string
		o       Options
		want    []string // all in the message
	}{
		{"v1.9.11", Options{}, []string{"v1.9.11", "too old", "v1.10.0"}},
		{"v1.9.11", Options{AllowUnknown: true}, []string{"too old"}},
		{"v0.21.4", Options{AllowUnknown: true}, []string{"too old"}},
		{"v1.38.0", Options{}, []string{"newer", "v1.37.2", "--allow-unknown-version"}},
		{"v2.0.0", Options{}, []string{"newer", "v1.37.2"}},
		{"v1.34.0-rc.1", Options{}, []string{"not a final release", "--allow-unknown-version"}},
	} {
		v, err := Parse(c.version)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Find(v, c.o)
		var ve *VersionError
		if !errors.Is(err, ErrUnknownVersion) || !errors.As(err, &ve) {
			t.Errorf("%s: %v", c.version, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", c.version, err, w)
			}
		}
		if ve.Allow != strings.Contains(err.Error(), "--allow-unknown-version") {
			t.Errorf("%s: Allow is %v in %q", c.version, ve.Allow, err)
		}
	}
	for _, s := range []string{"", "1.34", "v1", "latest", "stable-1.34", "v1.34.x", "1.34.4.5", "v1.034.4"} {
		if v, err := Parse(s); !errors.Is(err, ErrUnknownVersion) {
			t.Errorf("Parse(%q) = %v, %v", s, v, err)
		}
	}
}

func TestUnknownArch(t *testing.T) {
	r := find(t, "v1.27.0", Options{})
	for _, a := range []Arch{"arm", "riscv64", "x86_64", ""} {
		_, err := r.Images(a)
		var ae *ArchError
		if !errors.Is(err, ErrUnknownArch) || !errors.As(err, &ae) || !strings.Contains(err.Error(), "amd64, arm64, ppc64le, s390x") {
			t.Errorf("Images(%q): %v", a, err)
		}
		if strings.Contains(err.Error(), "v1.26 was the last minor for arm") != (a == "arm") {
			t.Errorf("%q: %v", a, err)
		}
		if _, err := r.Binaries(a); !errors.Is(err, ErrUnknownArch) {
			t.Errorf("Binaries(%q): %v", a, err)
		}
		if _, err := r.Image(a, Etcd); !errors.Is(err, ErrUnknownArch) {
			t.Errorf("Image(%q): %v", a, err)
		}
	}
	if !slices.Contains(find(t, "v1.26.0", Options{}).Arches(), "arm") {
		t.Error("v1.26 was the last minor for 32-bit arm")
	}
}

func TestOptions(t *testing.T) {
	v121, v134 := find(t, "v1.21.0", Options{}).Version, find(t, "v1.34.4", Options{})
	if _, err := Find(v121, Options{KubeDNS: true}); !errors.Is(err, ErrOption) {
		t.Errorf("kube-dns in v1.21: %v", err)
	}
	if _, err := v134.Image("amd64", KubeDNS); !errors.Is(err, ErrOption) {
		t.Errorf("image of kube-dns in v1.34: %v", err)
	}
	for _, repo := range []string{"https://registry.example.com", "Reg/UPPER", "a b", "reg@sha256:abc", "reg//k8s"} {
		if _, err := Find(v121, Options{ImageRepository: repo}); !errors.Is(err, ErrOption) {
			t.Errorf("image repository %q: %v", repo, err)
		}
	}
}

func TestMinors(t *testing.T) {
	minors, err := Minors()
	if err != nil {
		t.Fatal(err)
	}
	if last := minors[len(minors)-1]; last.LastPatch != "v1.37.2" || last.Minor != "v1.37" {
		t.Errorf("last line is %+v", last)
	}
	got, err := json.Marshal(minors[0])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"minor":"v1.10","lastPatch":"v1.10.13","arches":["amd64","arm","arm64","ppc64le","s390x"],"etcd":"3.1.12","coredns":"1.0.6",` +
		`"kubeDNS":"1.14.8","pause":"3.1","registry":"k8s.gcr.io","cniPlugins":"v0.6.0","minContainerd":"1.1","cri":["v1alpha2"],` +
		`"dockershim":true,"confidence":"verified"}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestBrokenCatalog: the checks that protect the data do fire.
func TestBrokenCatalog(t *testing.T) {
	whole := string(catalogYAML)
	for name, c := range map[string]struct{ from, to, want string }{
		"format":        {"format: 1", "format: 2", "format 2"},
		"unknown field": {"    lastPatch: 13\n", "    lastPatch: 13\n    lastpatsh: 1\n", "lastpatsh"},
		"gap":           {`minor: "1.12"`, `minor: "1.99"`, "does not follow"},
		"not a minor":   {`minor: "1.12"`, `minor: "twelve"`, "not a minor"},
		"confidence":    {"confidence: verified", "confidence: rumour", "rumour"},
		"patch order":   {"{from: 10, corednsFixed", "{from: 9, corednsFixed", "out of order"},
		"patch too far": {"{from: 10, corednsFixed", "{from: 14, corednsFixed", "past the last"},
		"incomplete":    {`pause: "3.1", `, "", "patch 0"},
		"late start":    {"{from: 0, ", "{from: 1, ", "do not start at 0"},
		"arches":        {"[amd64, arm, ", "[arm, amd64, ", "not sorted"},
		"not yaml":      {"format: 1", "format: [", "parse"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := strings.Replace(whole, c.from, c.to, 1)
			if broken == whole {
				t.Fatalf("%q is not in the catalog", c.from)
			}
			if _, err := parseCatalog([]byte(broken)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
		})
	}
	if _, err := parseCatalog([]byte("format: 1\nminors: []\n")); err == nil {
		t.Error("an empty catalog passes")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"v1.34.4", "1.10.0", "v1.34.0-rc.1+x", "v1", "v1.99999999999999999999.1", "v1.2.3-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := Parse(s)
		if err != nil {
			return
		}
		r, err := Find(v, Options{AllowUnknown: true})
		if err != nil {
			return
		}
		images, err := r.Images("amd64")
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range images {
			if strings.ContainsAny(i.Ref, "+ \n") {
				t.Errorf("%q makes %q", s, i.Ref)
			}
		}
	})
}
