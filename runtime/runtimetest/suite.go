package runtimetest

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	cruntime "kubebundle/runtime"
)

// Host is a runtime with what the suite needs around it.
type Host struct {
	Runtime cruntime.Runtime
	// Tree gives the file tree of an image: for each path without leading slash a line of text as [Walk] makes it.
	Tree func(t *testing.T, img cruntime.Image) map[string]string
	// Visible lists the names under which the runtime now knows images.
	Visible func(t *testing.T) []string
	// Leftovers lists what the runtime holds that belongs to no image. It may wait for the runtime to settle.
	Leftovers func(t *testing.T) []string
	// Restart restarts the daemon; Runtime stays usable.
	Restart func(t *testing.T)
}

// Run runs the suite. newHost is called once per test and may share a daemon: every test uses images of its own and removes them.
func Run(t *testing.T, newHost func(t *testing.T) Host) {
	for _, tc := range []struct {
		name string
		run  func(t *testing.T, h Host)
	}{
		{"Info", testInfo},
		{"Tree", testTree},
		{"SecondLoadReadsNothing", testSecondLoad},
		{"PartlyThere", testPartlyThere},
		{"SharedLayers", testSharedLayers},
		{"LayerBeforeItsParent", testLayerBeforeParent},
		{"EmptyLayerTwice", testEmptyLayerTwice},
		{"WithoutIndex", testWithoutIndex},
		{"Mislabelled", testMislabelled},
		{"OtherContentIsSkipped", testOtherContent},
		{"CorruptLayer", testCorruptLayer},
		{"CorruptLayerOfVerifier", testCorruptLayerOfVerifier},
		{"Verifier", testVerifier},
		{"CorruptBlob", testCorruptBlob},
		{"ForeignConfig", testForeignConfig},
		{"Truncated", testTruncated},
		{"EndsTooEarly", testEndsTooEarly},
		{"Cancelled", testCancelled},
		{"MovedTag", testMovedTag},
		{"Progress", testProgress},
		{"Remove", testRemove},
		{"Restart", testRestart},
		{"BadReference", testBadReference},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHost(t)
			tc.run(t, h)
		})
	}
}

func load(t *testing.T, h Host, src cruntime.Source, list ...Image) {
	t.Helper()
	if err := h.Runtime.Load(t.Context(), Images(list...), src, nil); err != nil {
		t.Fatal(err)
	}
	wantMissing(t, h, nil, list...)
}

func wantMissing(t *testing.T, h Host, want []string, list ...Image) {
	t.Helper()
	missing, err := h.Runtime.Missing(t.Context(), Images(list...))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range missing {
		got = append(got, m.Ref)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("missing images (-want +got):\n%s", diff)
	}
}

// wantNothing: no name, nothing held, and the same images load afterwards.
func wantNothing(t *testing.T, h Host, list ...Image) {
	t.Helper()
	for _, name := range h.Visible(t) {
		for _, i := range list {
			n, err := i.Names()
			if err != nil {
				t.Fatal(err)
			}
			if name == n.Tag || name == n.Digest || name == i.Config.Digest {
				t.Errorf("%s is visible", name)
			}
		}
	}
	if left := h.Leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	load(t, h, NewSource(list...), list...)
}

func remove(t *testing.T, h Host, list ...Image) {
	t.Helper()
	t.Cleanup(func() {
		var refs []string
		for _, i := range list {
			refs = append(refs, i.Ref)
		}
		if err := h.Runtime.Remove(context.Background(), refs); err != nil {
			t.Error(err)
		}
		if left := h.Leftovers(t); len(left) > 0 {
			t.Errorf("left after the images were removed: %q", left)
		}
	})
}

// noise is content that does not compress and differs by seed.
func noise(seed int64, n int) string {
	b := make([]byte, n)
	x := uint64(seed)*2654435769 + 1
	for i := range b { // xorshift
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return string(b)
}

// repo is a repository name of the test's own.
func repo(t *testing.T) string {
	return "registry.k8s.io/" + strings.NewReplacer("/", "-", ".", "-", "_", "-", "#", "-").Replace(strings.ToLower(t.Name()))
}

// pair makes two images of several layers, one of them shared.
func pair(t *testing.T, size int) (a, b Image) {
	t.Helper()
	name := repo(t)
	base := Layer(Dir("etc", 0o755), File("etc/base", 0o644, name))
	a = NewImage(name+"-a:v1", base, Layer(File("a", 0o755, name+noise(1, size))))
	b = NewImage(name+"-b:v1", base, Layer(File("b", 0o755, name+noise(2, size))))
	return a, b
}

func quote(s string) string { return strconv.Quote(s) }

func contains(list []string, s string) bool { return slices.Contains(list, s) }
