package builder_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/bundle/builder"
	"kubebundle/bundle/builder/buildertest"
	"kubebundle/release"
)

const (
	flannelRef = "docker.io/flannel/flannel:v0.26.7"
	cniRef     = "docker.io/flannel/cni:latest"
	proxyRef   = "registry.k8s.io/kube-proxy:v1.34.4"
)

// programs is a layer with one program per path.
func programs(pathArch ...string) []byte {
	var members []buildertest.Member
	for i := 0; i < len(pathArch); i += 2 {
		members = append(members, buildertest.Member{Name: pathArch[i], Data: buildertest.ELF(release.Arch(pathArch[i+1]), pathArch[i])})
	}
	return buildertest.Tar(members...)
}

// TestForeignPrograms puts programs for other machines into layers.
func TestForeignPrograms(t *testing.T) {
	good := programs("usr/local/bin/x", "amd64")
	type found struct{ Image, Path, Arch string }
	for name, tc := range map[string]struct {
		images map[string][][]byte
		allow  []string
		want   []found
		hint   []string // what it says; empty for what it must not say
		warns  string   // a build that goes on says this
	}{
		"a test program in an image of the user's": {
			images: map[string][][]byte{flannelRef: {good, programs("opt/testdata/a", "amd64", "opt/testdata/b", "s390x")}},
			want:   []found{{flannelRef, "/opt/testdata/b", "s390x"}}, hint: []string{"--allow-foreign-arch " + flannelRef},
		},
		"allowed": {
			images: map[string][][]byte{flannelRef: {good, programs("opt/testdata/b", "s390x")}}, allow: []string{"flannel/flannel:v0.26.7"},
			warns: flannelRef + ": foreign programs are packed as allowed: 1 in layer sha256:",
		},
		"allowed for one image, found in another too": {
			images: map[string][][]byte{flannelRef: {programs("b", "s390x")}, cniRef: {good, programs("c", "386")}}, allow: []string{flannelRef},
			want: []found{{cniRef, "/c", "386"}},
		},
		"one layer of two images": {
			images: map[string][][]byte{flannelRef: {programs("b", "arm")}, cniRef: {programs("b", "arm")}}, allow: []string{flannelRef},
			want: []found{{cniRef, "/b", "arm"}},
		},
		"in an image of Kubernetes": {
			images: map[string][][]byte{proxyRef: {programs("usr/local/bin/kube-proxy", "arm64")}},
			want:   []found{{proxyRef, "/usr/local/bin/kube-proxy", "arm64"}}, hint: []string{"mirror", "!--allow-foreign-arch"},
		},
		"everywhere, told at once": {
			images: map[string][][]byte{
				proxyRef: {good, programs("p", "arm64")}, flannelRef: {programs("f1", "arm", "f2", "arm", "f3", "arm", "f4", "arm", "f5", "arm")}, cniRef: {programs("c", "ppc64le")},
			},
			want: []found{
				{proxyRef, "/p", "arm64"}, {flannelRef, "/f1", "arm"}, {flannelRef, "/f2", "arm"}, {flannelRef, "/f3", "arm"}, {cniRef, "/c", "ppc64le"},
			},
		},
		"hidden by a later layer, but in the bundle": {
			images: map[string][][]byte{flannelRef: {programs("b", "arm64"), buildertest.Tar(buildertest.Member{Name: ".wh.b"}), good}},
			want:   []found{{flannelRef, "/b", "arm64"}},
		},
		"what upstream's cross builds left behind": {
			images: map[string][][]byte{proxyRef: {good, programs("usr/bin/qemu-x86_64-static", "arm64")}},
		},
		"what is only named so": {
			images: map[string][][]byte{proxyRef: {good, programs("usr/local/bin/qemu-x86_64-static", "arm64")}},
			want:   []found{{proxyRef, "/usr/local/bin/qemu-x86_64-static", "arm64"}},
		},
		"a program of the kernel's own machine": {
			images: map[string][][]byte{flannelRef: {good, programs("var/lib/cilium/bpf_lxc.o", "bpf")}},
		},
		"no program at all": {
			images: map[string][][]byte{flannelRef: {buildertest.Tar(buildertest.Member{Name: "short", Data: []byte("\x7fELF")}, buildertest.Member{Name: "folder/"})}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, "v1.34.4", "amd64")
			for ref, tars := range tc.images {
				e.up.AddImageOf(t, ref, "x", "amd64", "amd64", tars...)
			}
			e.req.AllowForeign = tc.allow
			res, err := e.build(t)
			if len(tc.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				if all := strings.Join(res.Warnings, "\n"); strings.Contains(all, "foreign") != (tc.warns != "") || !strings.Contains(all, tc.warns) {
					t.Errorf("warnings %q, want %q", res.Warnings, tc.warns)
				}
				return
			}
			var foreign *builder.ForeignError
			if !errors.As(err, &foreign) {
				t.Fatalf("error %v, want a ForeignError", err)
			}
			var got []found
			for _, f := range foreign.Found {
				got = append(got, found{f.Image, f.Path, f.Arch})
				if !strings.HasPrefix(f.Layer, "sha256:") || f.Own != (f.Image == proxyRef) || f.More != 0 && f.More != 2 {
					t.Errorf("%+v", f)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
			first := tc.want[0]
			if line := first.Path + " is a program for linux/" + first.Arch + ", not for linux/amd64"; !strings.Contains(err.Error(), line) || !strings.Contains(err.Error(), first.Image) {
				t.Errorf("error %q lacks %q", err, line)
			}
			for _, h := range tc.hint {
				if word, not := strings.CutPrefix(h, "!"); strings.Contains(foreign.Hint(), word) == not {
					t.Errorf("hint %q, want %q", foreign.Hint(), h)
				}
			}
			if list, err := os.ReadDir(filepath.Dir(e.req.Output)); err != nil || len(list) > 0 {
				t.Errorf("left behind: %v, %v", list, err)
			}
		})
	}
}

// TestAllowForeign refuses the flag for images that it cannot mean.
func TestAllowForeign(t *testing.T) {
	e := newEnv(t, "v1.34.4", "amd64")
	for ref, want := range map[string]string{proxyRef: "image of Kubernetes itself", "flannel/flannel:v0.1": "no such image is packed"} {
		e.req.AllowForeign = []string{ref}
		if _, err := e.build(t); !errors.Is(err, release.ErrOption) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), ref) {
			t.Errorf("%s: %v, want %q", ref, err, want)
		}
	}
}

// TestWrongMetadata builds with an image whose index is right and whose config names another architecture, as CoreDNS v1.8.0 and etcd
// 3.4.13-0 were published for arm64: it is taken, with its config as it is, and only if its programs are right.
func TestWrongMetadata(t *testing.T) {
	e := newEnv(t, "v1.20.15", "arm64")
	const etcd = "registry.k8s.io/etcd:3.4.13-0"
	e.up.AddImageOf(t, etcd, "etcd", "arm64", "amd64", programs("usr/local/bin/etcd", "arm64"))
	res, err := e.build(t)
	if err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(res.Warnings, "\n"); !strings.Contains(all, "the config says amd64, but /usr/local/bin/etcd is a program for arm64") {
		t.Errorf("warnings %q", res.Warnings)
	}
	e.up.AddImageOf(t, etcd, "etcd", "arm64", "amd64", programs("usr/local/bin/etcd", "amd64"))
	if _, err := e.build(t); err == nil || !strings.Contains(err.Error(), "etcd") || !strings.Contains(err.Error(), "amd64") {
		t.Errorf("wrong programs: %v", err)
	}
}

// TestLayerIsNoTar refuses what a container runtime could not unpack.
func TestLayerIsNoTar(t *testing.T) {
	e := newEnv(t, "v1.34.4", "amd64")
	e.up.AddImageOf(t, flannelRef, "x", "amd64", "amd64", []byte(strings.Repeat("not a tar ", 2000)))
	_, err := e.build(t)
	if err == nil || !strings.Contains(err.Error(), "image "+flannelRef+": layer sha256:") || !strings.Contains(err.Error(), "no tar") {
		t.Errorf("%v", err)
	}
}
