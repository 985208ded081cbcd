package containerd

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	cruntime "kubebundle/runtime"
	"kubebundle/runtime/runtimetest"
)

func layers(names ...string) (out [][]byte) {
	for _, n := range names {
		out = append(out, runtimetest.Layer(runtimetest.File(n, 0o644, n)))
	}
	return out
}

func TestPlanSharesSnapshots(t *testing.T) {
	l := layers("base", "x", "y")
	a, b := runtimetest.NewImage("r.io/a:v1", l[0], l[1]), runtimetest.NewImage("r.io/b:v1", l[0], l[2])
	p, err := newPlan(runtimetest.Images(a, b), "overlayfs")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.order) != 3 || len(p.layers) != 3 || len(p.blobs) != 6 {
		t.Errorf("%d snapshots, %d layers, %d blobs", len(p.order), len(p.layers), len(p.blobs))
	}
	if got := p.bytes(); got != int64(len(l[0])+len(l[1])+len(l[2])) {
		t.Errorf("%d bytes to read", got)
	}
	want := map[string]string{"containerd.io/gc.ref.snapshot.overlayfs": chainOf(a.Image)}
	if diff := cmp.Diff(want, p.blobs[a.Config.Digest].labels); diff != "" {
		t.Errorf("labels of the config (-want +got):\n%s", diff)
	}
	if p.blobs[a.Target.Digest].labels["containerd.io/gc.ref.content.m.kubebundle"] != a.Manifest.Digest ||
		p.blobs[a.Manifest.Digest].labels["containerd.io/gc.ref.content.config"] != a.Config.Digest {
		t.Error("a blob does not hold the next")
	}
}

// Which snapshots can be filled while their layer passes, in stream order.
func TestSplit(t *testing.T) {
	l := layers("x", "y", "z")
	for _, tc := range []struct {
		name   string
		chains [][]int
		stream []int
		want   []string // per layer: snapshots filled at once / later
	}{
		{"in order", [][]int{{0, 1, 2}}, []int{0, 1, 2}, []string{"1/0", "1/0", "1/0"}},
		{"the other way round", [][]int{{0, 1}, {1, 0}}, []int{0, 1}, []string{"1/1", "2/0"}},
		{"upon itself", [][]int{{0, 0, 0}}, []int{0}, []string{"1/2"}},
		{"twice in one image", [][]int{{0, 1, 0, 2}}, []int{0, 1, 2}, []string{"1/1", "1/0", "1/0"}},
		{"against the order", [][]int{{0, 1, 2}}, []int{2, 1, 0}, []string{"0/1", "0/1", "1/0"}},
		{"twice in the stream", [][]int{{0, 1}}, []int{0, 0, 1}, []string{"1/0", "0/0", "1/0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var list []runtimetest.Image
			for i, c := range tc.chains {
				var ls [][]byte
				for _, k := range c {
					ls = append(ls, l[k])
				}
				list = append(list, runtimetest.NewImage("r.io/"+string(rune('a'+i))+":v1", ls...))
			}
			p, err := newPlan(runtimetest.Images(list...), "overlayfs")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, k := range tc.stream {
				now, later := p.layers[runtimetest.Digest(l[k])].split()
				got = append(got, string(rune('0'+len(now)))+"/"+string(rune('0'+len(later))))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, n := range p.order {
				if !n.resolved() {
					t.Errorf("snapshot of %s is never filled", n.layer.diffID)
				}
			}
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	a, b := runtimetest.NewImage("r.io/a:v1", layers("x")...), runtimetest.NewImage("r.io/b:v1", layers("x")...)
	b.Sizes = []int64{b.Sizes[0] + 1}
	if _, err := newPlan(runtimetest.Images(a, b), "overlayfs"); !errors.Is(err, cruntime.ErrCorrupt) {
		t.Errorf("error %v for one layer of two sizes", err)
	}
	p, err := newPlan(runtimetest.Images(a), "overlayfs")
	if err != nil {
		t.Fatal(err)
	}
	if p.complete() || !strings.Contains(p.lacking(), a.Target.Digest) {
		t.Errorf("lacks %q", p.lacking())
	}
	for d, data := range a.Blobs {
		p.blobs[d].data = data
	}
	if p.complete() || !strings.Contains(p.lacking(), a.DiffIDs[0]) {
		t.Errorf("lacks %q", p.lacking())
	}
	p.layers[a.DiffIDs[0]].split()
	if !p.complete() || p.lacking() != "" {
		t.Errorf("lacks %q", p.lacking())
	}
}

func TestConfigFlag(t *testing.T) {
	for line, want := range map[string]string{
		"/usr/bin/containerd":                          DefaultConfig,
		"containerd -c /a":                             "/a",
		"containerd --config=/b --log-level debug":     "/b",
		"containerd --log-level debug --config /c/d":   "/c/d",
		"containerd --config":                          DefaultConfig,
		"containerd --root /x --address /y -config=/e": "/e",
	} {
		if got := configFlag(strings.Fields(line)); got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

func TestSandboxOf(t *testing.T) {
	for in, want := range map[string]string{
		"":  "",
		"[": "",
		"version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"a\"":              "a",
		"version = 3\n[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = 'b'":        "b",
		"version = 3\n[plugins.'io.containerd.cri.v1.images'.pinned_images]\nother = 'b'":          "",
		"version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\nsandbox_image = \"not this\"\n": "",
	} {
		if got := sandboxOf([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
