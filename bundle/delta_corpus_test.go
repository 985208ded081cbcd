package bundle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// The delta of the corpus: sample's kubelet and layer, a little changed, and the blobs that go with them.

// sampleBase is what the corpus's deltas are made of: the good bundle.
func sampleBase() *Bundle {
	r := sample()
	data, n := r.payload()
	r.contract.Payload = Payload{Path: PayloadName, Size: int64(len(data)), SHA256: digestOf(data), Uncompressed: n, WindowBytes: 1 << 20}
	b := memoryBundle(r.contract, data)
	b.path = "good.tar.gz"
	return b
}

const newKubelet = "a kubelet of today"

// deltaSample is a small good delta: a program that is patched and a layer that is taken as it is.
func deltaSample() *raw {
	r := sample()
	base := sample().contract
	c := r.contract
	c.Format, c.KubernetesVersion = FormatDelta, "v1.34.5"
	c.Files[0].Size, c.Files[0].SHA256 = int64(len(newKubelet)), digestOf([]byte(newKubelet))
	layer := r.entries[4].h.Name
	c.Delta = &Delta{
		Base:  Base{KubernetesVersion: base.KubernetesVersion, Content: base.ContentDigest()},
		Taken: []Taken{{Path: "bin/kubelet", From: "bin/kubelet", Patch: &Patch{}}, {Path: layer, From: layer}},
	}
	r.entries = r.entries[:4]
	r.usePatch(makePatch([]byte("a kubelet"), []byte(newKubelet)))
	return r
}

// usePatch makes a patch the delta's, with an honest digest.
func (r *raw) usePatch(patch []byte) {
	r.entries[0] = filePart(patchPrefix+"bin/kubelet", patch)
	*r.contract.Delta.Taken[0].Patch = Patch{Size: int64(len(patch)), SHA256: digestOf(patch)}
}

// patchOf is a patch of one block: what it claims to make, then its streams.
func patchOf(size uint64, streams ...string) []byte {
	out := binary.AppendUvarint([]byte(patchMagic), size)
	for _, s := range streams {
		out = binary.AppendUvarint(out, uint64(len(s)))
	}
	return append(out, strings.Join(streams, "")...)
}

// op is one operation of a patch.
func op(add, extra uint64, seek int64) string {
	return string(binary.AppendVarint(binary.AppendUvarint(binary.AppendUvarint(nil, add), extra), seek))
}

func deltaCorpus() []corpusCase {
	taken := func(f func(t []Taken)) func(*raw) { return func(r *raw) { f(r.contract.Delta.Taken) } }
	patch := func(p []byte) func(*raw) { return func(r *raw) { r.usePatch(p) } }
	n := uint64(len(newKubelet))
	malformed := "patches/bin/kubelet: is malformed"
	return []corpusCase{
		{"delta-good", func(*raw) {}, ""},
		{"delta-format-1", func(r *raw) {
			r.patch = func(b []byte) []byte { return bytes.Replace(b, []byte(`"format": 2`), []byte(`"format": 1`), 1) }
		}, "format 1 with a base: true"},
		{"delta-other-base", func(r *raw) { r.contract.Delta.Base.Content = digestOf(nil) }, "base good.tar.gz is k8s-v1.34.4-linux-amd64 with the content sha256:"},
		{"delta-base-odd", func(r *raw) { r.contract.Delta.Base.Content = "md5:0" }, `the base has the odd digest "md5:0"`},
		{"delta-base-version-odd", func(r *raw) { r.contract.Delta.Base.KubernetesVersion = "../.." }, "does not begin with the bundle's folder"},
		{"delta-taken-unknown", taken(func(t []Taken) { t[0].Path = "bin/none" }), `"bin/none" is taken from the base, but is no entry`},
		{"delta-taken-twice", func(r *raw) { r.contract.Delta.Taken[1] = r.contract.Delta.Taken[0] }, "not in its place"},
		{"delta-taken-order", taken(func(t []Taken) { t[0], t[1] = t[1], t[0] }), "not in its place"},
		{"delta-taken-blob", func(r *raw) {
			r.contract.Delta.Taken[0] = Taken{Path: r.entries[1].h.Name, From: r.entries[1].h.Name}
		}, "which is not for what is small"},
		{"delta-from-escape", taken(func(t []Taken) { t[0].From = "../../etc/shadow" }), `from the odd path "../../etc/shadow"`},
		{"delta-from-missing", taken(func(t []Taken) { t[0].From = "bin/none" }), "bin/none, which the base does not hold"},
		{"delta-from-other-kind", taken(func(t []Taken) { t[0].From = t[1].From }), "which is no file"},
		{"delta-from-other", taken(func(t []Taken) { t[0].Patch = nil }), "bin/kubelet, which is another"},
		{"delta-patch-size-huge", taken(func(t []Taken) { t[0].Patch.Size = 1 << 40 }), "the patch of bin/kubelet has the odd size 1099511627776"},
		{"delta-patched-too-large", func(r *raw) { r.contract.Files[0].Size = maxPatched + 1 }, "bytes are too many for that"},
		{"delta-patch-missing", func(r *raw) { r.entries = r.entries[1:] }, "is in the payload where patches/bin/kubelet should be"},
		{"delta-patch-last-missing", func(r *raw) { r.entries = nil }, "patches/bin/kubelet: is missing from the payload"},
		{"delta-patch-longer", func(r *raw) { r.entries[0] = filePart(r.entries[0].h.Name, append(r.entries[0].data, 0)) }, "the contract says"},
		{"delta-patch-changed", func(r *raw) { r.entries[0].data[len(r.entries[0].data)-1] ^= 1 }, "kubelet: has digest"},
		{"delta-patch-link", func(r *raw) {
			r.entries[0].h.Typeflag, r.entries[0].h.Size, r.entries[0].h.Linkname = '2', 0, "/etc/shadow"
		}, "is not a regular file"},
		{"delta-whole-beside", func(r *raw) { r.entries = append(r.entries, filePart("bin/kubelet", []byte(newKubelet))) }, "is in the payload but not in the contract"},
		{"delta-patch-other-bytes", patch(makePatch([]byte("a kubelet"), []byte("a kubelet of Hades"))), "bin/kubelet: has digest"},
		{"delta-patch-garbage", patch([]byte("BSDIFF40, or so")), malformed},
		{"delta-patch-empty", patch(nil), malformed},
		{"delta-patch-short", patch(makePatch([]byte("a kubelet"), []byte("a kubelet"))), malformed},
		{"delta-patch-long", patch(makePatch([]byte("a kubelet"), []byte(newKubelet+"!"))), malformed},
		{"delta-patch-bomb", patch(patchOf(1<<40, "", "", "", "", "")), malformed},
		{"delta-patch-bomb-streams", patch(append([]byte(patchMagic), "\x12\xff\xff\xff\xff\x0f\x00\x00\x00\x00"...)), malformed},
		{"delta-patch-number-huge", patch([]byte(patchMagic + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")), malformed},
		{"delta-patch-streams-together", patch(append(binary.AppendUvarint([]byte(patchMagic), n), bytes.Repeat(binary.AppendUvarint(nil, maxStreams/2), 5)...)), malformed},
		{"delta-patch-beyond-old", patch(patchOf(n, op(n, 0, 0), "", "", "", "")), malformed},
		{"delta-patch-before-old", patch(patchOf(n, op(0, 1, -1)+op(9, 0, 0), "", "", "", fmt.Sprintf("%9s", ""))), malformed},
		{"delta-patch-literals-lack", patch(patchOf(n, op(0, n, 0), "", "", "", "few")), malformed},
		{"delta-patch-values-lack", patch(patchOf(n, op(9, 9, 0), "\x00", "\x7f", "x", "123456789")), malformed},
		{"delta-patch-values-left", patch(patchOf(n, op(9, 9, 0), "", "", "xyz", "123456789")), malformed},
		{"delta-patch-more-than-claimed", patch(patchOf(n, strings.Repeat(op(9, 0, -9), 100000), "", "", "", "")), malformed},
	}
}
