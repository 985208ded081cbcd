package runtimetest

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	cruntime "kubebundle/runtime"
)

func testInfo(t *testing.T, h Host) {
	i, err := h.Runtime.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if i.Name == "" || i.Version == "" || !strings.HasPrefix(i.Socket, "unix:///") || i.CgroupDriver == "" || i.Root == "" {
		t.Errorf("incomplete: %+v", i)
	}
}

// netRaw is a security.capability attribute: version 2, cap_net_raw permitted and effective.
const netRaw = "\x01\x00\x00\x02\x00\x20\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00"

func testTree(t *testing.T, h Host) {
	img := NewImage(repo(t)+":v1",
		Layer(
			Dir("bin", 0o755), File("bin/su", 0o4755, "setuid"), File("bin/ping", 0o755, "capable", "security.capability", netRaw),
			File("bin/busybox", 0o755, "many names"), Link("bin/ls", "bin/busybox"), Symlink("bin/sh", "/bin/busybox"), Symlink("up", "../../etc/passwd"),
			Dir("opaque", 0o755), File("opaque/old", 0o644, "hidden"), Dir("opaque/sub", 0o755), File("opaque/sub/old", 0o644, "hidden"),
			Dir("gone", 0o755), File("gone/file", 0o644, "hidden"), Dir("gone/dir", 0o755), File("gone/dir/file", 0o644, "hidden"),
			File("keep", 0o600, "kept"), File("swap", 0o644, "a file first"), Dir("tmp", 0o1777), Dir("dirswap", 0o755), File("dirswap/x", 0o644, "hidden"),
		),
		Layer(
			Dir("opaque", 0o755), Opaque("opaque"), File("opaque/new", 0o644, "shown"),
			Dir("gone", 0o755), Whiteout("gone", "file"), Whiteout("gone", "dir"),
			Dir("swap", 0o700), File("swap/inside", 0o640, "then a folder"), File("dirswap", 0o644, "a file now"),
			tar.Header{Typeflag: tar.TypeReg, Name: "owned", Mode: 0o2750, Uid: 65532, Gid: 65533, PAXRecords: map[string]string{"body": "nonroot"}},
			Dir("etc", 0o755), Symlink("etc/dir", "real"), Dir("etc/real", 0o755), File("etc/dir/through", 0o644, "a symlink"),
		),
		Layer(File("opaque/newer", 0o644, "on top")),
	)
	remove(t, h, img)
	load(t, h, NewSource(img), img)
	want := map[string]string{
		"bin":              "dir 0755 0:0",
		"bin/busybox":      `file 0755 0:0 links=2 "many names"`,
		"bin/ls":           `file 0755 0:0 links=2 "many names"`,
		"bin/ping":         `file 0755 0:0 links=1 "capable" security.capability="` + strings.Trim(quote(netRaw), `"`) + `"`,
		"bin/sh":           "symlink /bin/busybox",
		"bin/su":           `file 4755 0:0 links=1 "setuid"`,
		"dirswap":          `file 0644 0:0 links=1 "a file now"`,
		"etc":              "dir 0755 0:0",
		"etc/dir":          "symlink real",
		"etc/real":         "dir 0755 0:0",
		"etc/real/through": `file 0644 0:0 links=1 "a symlink"`,
		"gone":             "dir 0755 0:0",
		"keep":             `file 0600 0:0 links=1 "kept"`,
		"opaque":           "dir 0755 0:0",
		"opaque/new":       `file 0644 0:0 links=1 "shown"`,
		"opaque/newer":     `file 0644 0:0 links=1 "on top"`,
		"owned":            `file 2750 65532:65533 links=1 "nonroot"`,
		"swap":             "dir 0700 0:0",
		"swap/inside":      `file 0640 0:0 links=1 "then a folder"`,
		"tmp":              "dir 1777 0:0",
		"up":               "symlink ../../etc/passwd",
	}
	if diff := cmp.Diff(want, h.Tree(t, img.Image)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func testSecondLoad(t *testing.T, h Host) {
	a, b := pair(t, 1000)
	remove(t, h, a, b)
	wantMissing(t, h, []string{a.Ref, b.Ref}, a, b)
	load(t, h, NewSource(a, b), a, b)
	again := NewSource(a, b)
	load(t, h, again, a, b)
	if again.Reads != 0 {
		t.Errorf("a second load read %d pieces", again.Reads)
	}
	n, err := a.Names()
	if err != nil {
		t.Fatal(err)
	}
	if n.Tag != a.Ref || !contains(h.Visible(t), a.Ref) {
		t.Errorf("%s is not visible", a.Ref)
	}
}

func testPartlyThere(t *testing.T, h Host) {
	a, b := pair(t, 1000)
	remove(t, h, a, b)
	load(t, h, NewSource(a), a)
	wantMissing(t, h, []string{b.Ref}, a, b)
	load(t, h, NewSource(a, b), a, b)
	wantFile(t, h, a, "etc/base")
	wantFile(t, h, b, "b")
}

func testSharedLayers(t *testing.T, h Host) {
	r := repo(t)
	x, y := Layer(File("x", 0o644, r+noise(3, 3<<20))), Layer(File("y", 0o644, r+noise(4, 3<<20)))
	a, b, c := NewImage(r+"-a:v1", x), NewImage(r+"-b:v1", x, y), NewImage(r+"-c:v1", x, y, x)
	remove(t, h, a, b, c)
	load(t, h, NewSource(a, b, c), a, b, c)
	for _, img := range []Image{a, b, c} {
		wantFile(t, h, img, "x")
	}
	wantFile(t, h, c, "y")
}

// Two images stack the same two layers the other way round: in one pass, one of them always gets a layer before its parent.
func testLayerBeforeParent(t *testing.T, h Host) {
	r := repo(t)
	x := Layer(File("x", 0o644, r+noise(5, 3<<20)), File("both", 0o644, "x"))
	y := Layer(File("y", 0o644, r+noise(6, 3<<20)), File("both", 0o644, "y"))
	a, b := NewImage(r+"-a:v1", x, y), NewImage(r+"-b:v1", y, x)
	remove(t, h, a, b)
	load(t, h, NewSource(a, b), a, b)
	for img, want := range map[*Image]string{&a: "y", &b: "x"} {
		wantFile(t, h, *img, "x")
		wantFile(t, h, *img, "y")
		if got := h.Tree(t, img.Image)["both"]; !strings.HasSuffix(got, quote(want)) {
			t.Errorf("%s: both is %s, want %q: the layers are on each other the wrong way", img.Ref, got, want)
		}
	}
}

func testEmptyLayerTwice(t *testing.T, h Host) {
	r, e := repo(t), EmptyLayer()
	// Three in a row, and larger than the reader's buffers taken together where it matters: same layer upon itself.
	big := Layer(File("big", 0o644, r+noise(7, 40<<20)))
	a := NewImage(r+"-a:v1", Layer(File("a", 0o644, r)), e, Layer(File("b", 0o644, r)), e, e)
	b := NewImage(r+"-b:v1", e, big, big)
	remove(t, h, a, b)
	load(t, h, NewSource(a, b), a, b)
	wantFile(t, h, a, "a")
	wantFile(t, h, a, "b")
	wantFile(t, h, b, "big")
}

func testWithoutIndex(t *testing.T, h Host) {
	a, _ := pair(t, 1000)
	a = a.WithoutIndex()
	remove(t, h, a)
	load(t, h, NewSource(a), a)
	wantFile(t, h, a, "a")
}

// Images whose config names another architecture are taken as what they are, behind an index and without one, and stay so.
func testMislabelled(t *testing.T, h Host) {
	r := repo(t)
	a := NewMislabelledImage(r+"-a:v1", Layer(File("a", 0o644, "index")))
	b := NewMislabelledImage(r+"-b:v1", Layer(File("b", 0o644, "no index"))).WithoutIndex()
	remove(t, h, a, b)
	load(t, h, NewSource(a, b), a, b)
	wantFile(t, h, a, "a")
	wantFile(t, h, b, "b")
	h.Restart(t)
	wantMissing(t, h, nil, a, b)
}

func testOtherContent(t *testing.T, h Host) {
	a, b := pair(t, 2<<20)
	remove(t, h, a)
	load(t, h, NewSource(b, a), a)
	wantMissing(t, h, []string{b.Ref}, b)
	wantFile(t, h, a, "a")
}

func wantCorrupt(t *testing.T, h Host, src cruntime.Source, list ...Image) {
	t.Helper()
	remove(t, h, list...)
	err := h.Runtime.Load(t.Context(), Images(list...), src, nil)
	if !errors.Is(err, cruntime.ErrCorrupt) {
		t.Errorf("error %v, want one that wraps ErrCorrupt", err)
	}
	wantNothing(t, h, list...)
}

func testCorruptLayer(t *testing.T, h Host) {
	a, b := pair(t, 5<<20)
	wantCorrupt(t, h, NewSource(a, b).Corrupt(b.DiffIDs[1]), a, b)
}

// A source that hashes by itself is believed, when it says that all is well and when it does not.
func testCorruptLayerOfVerifier(t *testing.T, h Host) {
	a, b := pair(t, 5<<20)
	wantCorrupt(t, h, Verifying{NewSource(a, b).Corrupt(b.DiffIDs[1])}, a, b)
}

func testVerifier(t *testing.T, h Host) {
	a, b := pair(t, 5<<20)
	remove(t, h, a, b)
	if err := h.Runtime.Load(t.Context(), Images(a, b), Verifying{NewSource(a, b)}, nil); err != nil {
		t.Fatal(err)
	}
	wantMissing(t, h, nil, a, b)
	wantFile(t, h, a, "a")
}

func testCorruptBlob(t *testing.T, h Host) {
	a, b := pair(t, 1000)
	wantCorrupt(t, h, NewSource(a, b).Corrupt(b.Config.Digest), a, b)
}

// Every digest is right, but the pieces are not one image.
func testForeignConfig(t *testing.T, h Host) {
	a, b := pair(t, 1000)
	mixed := a
	mixed.Config = b.Config
	mixed.Blobs = map[string][]byte{a.Target.Digest: a.Blobs[a.Target.Digest], a.Manifest.Digest: a.Blobs[a.Manifest.Digest], b.Config.Digest: b.Blobs[b.Config.Digest]}
	err := h.Runtime.Load(t.Context(), Images(mixed), NewSource(mixed), nil)
	if !errors.Is(err, cruntime.ErrCorrupt) {
		t.Errorf("error %v, want one that wraps ErrCorrupt", err)
	}
	remove(t, h, a)
	wantNothing(t, h, a)
}

func testTruncated(t *testing.T, h Host) {
	a, b := pair(t, 5<<20)
	remove(t, h, a, b)
	src := NewSource(a, b)
	src.EndEarly, src.Err = 7<<20, io.ErrUnexpectedEOF
	if err := h.Runtime.Load(t.Context(), Images(a, b), src, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want unexpected EOF", err)
	}
	wantNothing(t, h, a, b)
}

// The source ends cleanly, without everything: inside a layer, and between two.
func testEndsTooEarly(t *testing.T, h Host) {
	a, b := pair(t, 5<<20)
	remove(t, h, a, b)
	src := NewSource(a, b)
	src.EndEarly, src.Err = 7<<20, io.EOF
	if err := h.Runtime.Load(t.Context(), Images(a, b), src, nil); err == nil {
		t.Error("no error from a layer that is too short")
	}
	src = NewSource(a, b)
	src.Pieces = src.Pieces[:len(src.Pieces)-1]
	err := h.Runtime.Load(t.Context(), Images(a, b), src, nil)
	if err == nil || !strings.Contains(err.Error(), b.DiffIDs[1]) {
		t.Errorf("error %v, want one that names the layer that is not there", err)
	}
	wantNothing(t, h, a, b)
}

func testCancelled(t *testing.T, h Host) {
	a, b := pair(t, 5<<20)
	remove(t, h, a, b)
	ctx, cancel := context.WithCancel(t.Context())
	src := NewSource(a, b)
	src.Before = func(given int64) {
		if given > 6<<20 {
			cancel()
		}
	}
	if err := h.Runtime.Load(ctx, Images(a, b), src, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context canceled", err)
	}
	wantNothing(t, h, a, b)
}

// A tag that leads to another image already is moved.
func testMovedTag(t *testing.T, h Host) {
	a, b := pair(t, 1000)
	remove(t, h, b)
	b.Ref = a.Ref
	old := a
	load(t, h, NewSource(old), old)
	wantMissing(t, h, []string{b.Ref}, b)
	load(t, h, NewSource(b), b)
	wantMissing(t, h, []string{a.Ref}, a)
	wantFile(t, h, b, "b")
	// What the tag has left goes too.
	n, err := a.Names()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Runtime.Remove(t.Context(), []string{b.Ref, n.Digest, a.Config.Digest}); err != nil {
		t.Fatal(err)
	}
}

func testProgress(t *testing.T, h Host) {
	a, b := pair(t, 3<<20)
	remove(t, h, a, b)
	var last cruntime.Event
	seen := map[string]bool{}
	err := h.Runtime.Load(t.Context(), Images(a, b), NewSource(a, b), func(e cruntime.Event) {
		if e.Done < last.Done || e.Done > e.Total {
			t.Errorf("%+v after %+v", e, last)
		}
		last = e
		seen[e.Image] = true
	})
	if err != nil {
		t.Fatal(err)
	}
	want := a.Sizes[0] + a.Sizes[1] + b.Sizes[1]
	if last.Done != want || last.Total != want || !seen[a.Ref] || !seen[b.Ref] {
		t.Errorf("last event %+v of %d bytes, images %v", last, want, seen)
	}
}

func testRemove(t *testing.T, h Host) {
	a, b := pair(t, 1000)
	load(t, h, NewSource(a, b), a, b)
	if err := h.Runtime.Remove(t.Context(), []string{a.Ref, "registry.k8s.io/never-there:v1"}); err != nil {
		t.Fatal(err)
	}
	wantMissing(t, h, []string{a.Ref}, a, b)
	wantFile(t, h, b, "etc/base")
	remove(t, h, b)
}

func testRestart(t *testing.T, h Host) {
	a, b := pair(t, 2<<20)
	remove(t, h, a, b)
	load(t, h, NewSource(a, b), a, b)
	h.Restart(t)
	wantMissing(t, h, nil, a, b)
	wantFile(t, h, a, "a")
}

func testBadReference(t *testing.T, h Host) {
	a, _ := pair(t, 1000)
	a.Ref = "registry.k8s.io/UPPER:v1"
	src := NewSource(a)
	if err := h.Runtime.Load(t.Context(), Images(a), src, nil); err == nil || !strings.Contains(err.Error(), a.Ref) {
		t.Errorf("error %v, want one that names the reference", err)
	}
	if src.Reads > 0 {
		t.Error("the source was read for a reference that cannot be")
	}
}

func wantFile(t *testing.T, h Host, img Image, path string) {
	t.Helper()
	if _, ok := h.Tree(t, img.Image)[path]; !ok {
		t.Errorf("image %s has no %s", img.Ref, path)
	}
}
