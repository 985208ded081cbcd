package runtime_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	cruntime "kubebundle/runtime"
	"kubebundle/runtime/runtimetest"
)

func TestNames(t *testing.T) {
	d := runtimetest.Digest([]byte("x"))
	for ref, want := range map[string]cruntime.Names{
		"registry.k8s.io/coredns/coredns:v1.12.1": {Tag: "registry.k8s.io/coredns/coredns:v1.12.1", Digest: "registry.k8s.io/coredns/coredns@" + d},
		"busybox":                      {Tag: "docker.io/library/busybox:latest", Digest: "docker.io/library/busybox@" + d},
		"flannel/flannel:v0.26.7":      {Tag: "docker.io/flannel/flannel:v0.26.7", Digest: "docker.io/flannel/flannel@" + d},
		"localhost:5000/a:v1":          {Tag: "localhost:5000/a:v1", Digest: "localhost:5000/a@" + d},
		"registry.k8s.io/a@" + d:       {Digest: "registry.k8s.io/a@" + d},
		"registry.k8s.io/a:v1@" + d:    {Digest: "registry.k8s.io/a@" + d},
		"registry.k8s.io/pause:3.10.1": {Tag: "registry.k8s.io/pause:3.10.1", Digest: "registry.k8s.io/pause@" + d},
	} {
		got, err := cruntime.Image{Ref: ref, Target: cruntime.Descriptor{Digest: d}}.Names()
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", ref, err, diff)
		}
	}
	for _, i := range []cruntime.Image{{Ref: "UPPER", Target: cruntime.Descriptor{Digest: d}}, {Ref: ""}, {Ref: "a", Target: cruntime.Descriptor{Digest: "sha256:short"}}} {
		if _, err := i.Names(); err == nil {
			t.Errorf("no error for %+v", i)
		}
	}
}

func TestValidate(t *testing.T) {
	good := runtimetest.NewImage("registry.k8s.io/a:v1", runtimetest.EmptyLayer())
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*cruntime.Image){
		"target":   func(i *cruntime.Image) { i.Target.Digest = "" },
		"manifest": func(i *cruntime.Image) { i.Manifest.Digest = "sha256:../../etc" },
		"config":   func(i *cruntime.Image) { i.Config.Digest = strings.ToUpper(i.Config.Digest) },
		"diff ID":  func(i *cruntime.Image) { i.DiffIDs = []string{"sha256:"} },
		"sizes":    func(i *cruntime.Image) { i.Sizes = nil },
	} {
		bad := good.Image
		spoil(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), good.Ref) {
			t.Errorf("%s: error %v, want one that names the image", name, err)
		}
	}
}

func TestCheckContent(t *testing.T) {
	a := runtimetest.NewImage("registry.k8s.io/a:v1", runtimetest.EmptyLayer())
	b := runtimetest.NewImage("registry.k8s.io/b:v1", runtimetest.Layer(runtimetest.File("b", 0o644, "b")))
	get := func(i runtimetest.Image) (target, manifest, config []byte) {
		return i.Blobs[i.Target.Digest], i.Blobs[i.Manifest.Digest], i.Blobs[i.Config.Digest]
	}
	at, am, ac := get(a)
	bt, bm, bc := get(b)
	if err := a.CheckContent(at, am, ac); err != nil {
		t.Error(err)
	}
	if err := a.WithoutIndex().CheckContent(am, am, ac); err != nil {
		t.Error(err)
	}
	otherLayers := a.Image
	otherLayers.DiffIDs = b.DiffIDs
	for name, err := range map[string]error{
		"foreign index":    a.CheckContent(bt, am, ac),
		"foreign manifest": a.CheckContent(at, bm, ac),
		"foreign config":   a.CheckContent(at, am, bc),
		"other layers":     otherLayers.CheckContent(at, am, ac),
		"index no JSON":    a.CheckContent([]byte("{"), am, ac),
		"manifest no JSON": a.CheckContent(at, nil, ac),
		"config no JSON":   a.CheckContent(at, am, []byte("[]")),
	} {
		if !errors.Is(err, cruntime.ErrCorrupt) {
			t.Errorf("%s: error %v, want ErrCorrupt", name, err)
		}
	}
}
