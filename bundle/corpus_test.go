package bundle

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var update = flag.Bool("update", false, "write testdata/corpus anew (the run fails, so that nobody leaves it on)")

// part is one entry of a tar: of the archive or of the payload.
type part struct {
	h    tar.Header
	data []byte
}

func filePart(name string, data []byte) part {
	return part{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: epoch}, data}
}

// raw is a bundle taken apart. The corpus changes one thing in it and puts it together, once with honest sums (so
// that the change itself must be noticed) and once without.
type raw struct {
	contract *Contract
	entries  []part
	window   int
	tail     []byte              // after the payload's zstd stream
	patch    func([]byte) []byte // changes bundle.json after everything is computed
	outer    func([]part) []part // changes the archive's entries
	gzTail   []byte
}

// sample is a small good bundle.
func sample() *raw {
	layer := []byte("this stands for a layer's tar")
	config := fmt.Appendf(nil, `{"rootfs":{"diff_ids":[%q]}}`, digestOf(layer))
	blob := Descriptor{MediaType: "layer", Digest: digestOf([]byte("gz")), Size: 2}
	manifest := fmt.Appendf(nil, `{"config":{"digest":%q},"layers":[{"digest":%q}]}`, digestOf(config), blob.Digest)
	index := fmt.Appendf(nil, `{"manifests":[{"digest":%q}]}`, digestOf(manifest))
	kubelet := []byte("a kubelet")
	desc := func(b []byte) Descriptor { return Descriptor{Digest: digestOf(b), Size: int64(len(b))} }
	hexOf := func(b []byte) string { return strings.TrimPrefix(digestOf(b), digestAlgo) }
	return &raw{
		contract: &Contract{
			Format: 1, KubernetesVersion: "v1.34.4", OS: "linux", Arch: "amd64", Builder: "corpus",
			Images: []Image{{
				Ref: "registry.k8s.io/pause:3.10.1", Target: desc(index), Manifest: desc(manifest), Config: desc(config),
				Layers: []Layer{{DiffID: digestOf(layer), Size: int64(len(layer)), Blob: blob}},
			}},
			Files: []File{{Path: "bin/kubelet", Mode: 0o755, Size: int64(len(kubelet)), SHA256: digestOf(kubelet)}},
			Outer: []File{{Path: InstallName, Mode: 0o755, Size: 3, SHA256: digestOf([]byte("ELF"))}},
		},
		entries: []part{
			filePart("bin/kubelet", kubelet),
			filePart(blobPrefix+hexOf(index), index), filePart(blobPrefix+hexOf(manifest), manifest), filePart(blobPrefix+hexOf(config), config),
			filePart(layerPrefix+hexOf(layer), layer),
		},
		window: 1 << 20,
	}
}

// payload compresses the entries. The stream is long enough for a window of the wanted size to be declared.
func (r *raw) payload() (data []byte, uncompressed int64) {
	var plain, packed bytes.Buffer
	tw := tar.NewWriter(&plain)
	for _, p := range r.entries {
		must(tw.WriteHeader(&p.h))
		if p.h.Typeflag == tar.TypeReg {
			_, err := tw.Write(p.data)
			must(err)
		}
	}
	must(tw.Close())
	enc, err := zstd.NewWriter(&packed, zstd.WithWindowSize(r.window))
	must(err)
	_, err = enc.Write(plain.Bytes())
	must(err)
	must(enc.Flush()) // a frame with a window, not a single segment
	must(enc.Close())
	return append(packed.Bytes(), r.tail...), int64(plain.Len())
}

func (r *raw) bytes() []byte {
	payload, n := r.payload()
	if r.contract.Payload.Path == "" {
		r.contract.Payload = Payload{Path: PayloadName, Size: int64(len(payload)), SHA256: digestOf(payload), Uncompressed: n, WindowBytes: 1 << 20}
	}
	contract, err := r.contract.Encode()
	must(err)
	if r.patch != nil {
		contract = r.patch(contract)
	}
	top := r.contract.Name()
	parts := []part{
		{h: tar.Header{Typeflag: tar.TypeDir, Name: top + "/", Mode: 0o755, ModTime: epoch}},
		filePart(top+"/"+InstallName, []byte("ELF")),
		filePart(top+"/"+ContractName, contract),
		filePart(top+"/"+SumsName, sumsFile(r.contract, contract)),
		filePart(top+"/"+PayloadName, payload),
	}
	if r.outer != nil {
		parts = r.outer(parts)
	}
	var buf bytes.Buffer
	zw, err := gzip.NewWriterLevel(&buf, 9)
	must(err)
	tw := tar.NewWriter(zw)
	for _, p := range parts {
		must(tw.WriteHeader(&p.h))
		if p.h.Typeflag == tar.TypeReg {
			_, err := tw.Write(p.data)
			must(err)
		}
	}
	must(tw.Close())
	must(zw.Close())
	return append(buf.Bytes(), r.gzTail...)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// corpus names each case, how to make it, and what a reader must say ("" for nothing).
func corpus() []corpusCase {
	swap := func(old, new string) func(*raw) {
		return func(r *raw) {
			r.patch = func(b []byte) []byte {
				if !bytes.Contains(b, []byte(old)) {
					panic("nothing to change: " + old)
				}
				return bytes.Replace(b, []byte(old), []byte(new), 1)
			}
		}
	}
	outer := func(f func([]part) []part) func(*raw) { return func(r *raw) { r.outer = f } }
	return []corpusCase{
		{"good", func(*raw) {}, ""},
		{"good-signed", outer(func(p []part) []part {
			return slices.Insert(p, 3, filePart("k8s-v1.34.4-linux-amd64/"+SignatureName, []byte("untrusted comment: a signature\n")))
		}), ""},
		{"good-upstream-signature", func(r *raw) { r.addSignature() }, ""},
		{"good-foreign-arch", func(r *raw) { r.contract.Arch = "s390x" }, ""},
		{"signature-huge", outer(func(p []part) []part {
			return slices.Insert(p, 3, filePart("k8s-v1.34.4-linux-amd64/"+SignatureName, make([]byte, maxSignature+1)))
		}), "bundle.json.minisig: is larger than 65536 bytes"},
		{"signature-twice", outer(func(p []part) []part {
			s := filePart("k8s-v1.34.4-linux-amd64/"+SignatureName, nil)
			return slices.Insert(p, 3, s, s)
		}), "bundle.json.minisig: is in the archive twice"},
		{"format-2", swap(`"format": 1`, `"format": 2`), "format 2 with a base: false"},
		{"format-3", swap(`"format": 1`, `"format": 3`), "format 3 is unknown, this release reads formats 1 and 2"},
		{"format-missing", swap(`"format": 1,`, ``), "has no format number"},
		{"contract-not-json", swap(`{`, `<`), "bundle.json: is not JSON"},
		{"contract-wrong-type", swap(`"arch": "amd64"`, `"arch": 64`), "bundle.json: is not a contract"},
		{"contract-changed-after-sums", outer(func(p []part) []part {
			p[2].data = bytes.Replace(p[2].data, []byte("corpus"), []byte("CORPUS"), 1)
			return p
		}), "bundle.json: has digest"},
		{"contract-version-traversal", func(r *raw) { r.contract.KubernetesVersion = "v1.34.4/../x" }, "does not begin with the bundle's folder"},
		{"contract-arch-missing", func(r *raw) { r.contract.Arch = "" }, `odd architecture ""`},
		{"contract-path-escape", func(r *raw) { r.contract.Files[0].Path = "../../etc/passwd" }, `odd path "../../etc/passwd"`},
		{"contract-path-absolute", func(r *raw) { r.contract.Files[0].Path = "/etc/passwd" }, `odd path "/etc/passwd"`},
		{"contract-path-newline", func(r *raw) { r.contract.Files[0].Path = "bin/a\nb" }, `odd path "bin/a\nb"`},
		{"contract-path-long", func(r *raw) { r.contract.Files[0].Path = strings.Repeat("a", 1<<20) }, "file 0 has the odd path"},
		{"contract-image-ref-long", func(r *raw) { r.contract.Images[0].Ref = strings.Repeat("a", 1<<20) }, "image 0 has the odd reference"},
		{"contract-many-objects", func(r *raw) {
			r.patch = func([]byte) []byte {
				return []byte(`{"format":1,"images":[` + strings.Repeat("{},", maxObjects) + `{}]}`)
			}
		}, "more than the 65536 that a bundle can need"},
		{"contract-signature-of-another", func(r *raw) {
			r.addSignature()
			r.contract.Images[0].Signatures[0].Of = digestOf(nil)
		}, "which is another image"},
		{"contract-path-in-layers", func(r *raw) { r.contract.Files[0].Path = "layers/sha256/x" }, "lies where image content lies"},
		{"contract-path-twice", func(r *raw) { r.contract.Files = append(r.contract.Files, r.contract.Files[0]) }, `file "bin/kubelet" is listed twice`},
		{"contract-path-folder-and-file", func(r *raw) {
			f := r.contract.Files[0]
			f.Path = "bin"
			r.contract.Files = append(r.contract.Files, f)
		}, `file "bin" is a folder of file "bin/kubelet"`},
		{"contract-setuid", func(r *raw) { r.contract.Files[0].Mode = 0o4755 }, "odd mode 04755"},
		{"contract-digest-odd", func(r *raw) { r.contract.Files[0].SHA256 = "sha256:12" }, `odd digest "sha256:12"`},
		{"contract-size-negative", func(r *raw) { r.contract.Files[0].Size = -1 }, "odd size -1"},
		{"contract-size-huge", func(r *raw) { r.contract.Images[0].Layers[0].Size = 1 << 60 }, "odd size 1152921504606846976"},
		{"contract-blob-huge", func(r *raw) { r.contract.Images[0].Config.Size = 1 << 30 }, "odd size 1073741824"},
		{"contract-image-twice", func(r *raw) { r.contract.Images = append(r.contract.Images, r.contract.Images[0]) }, "is listed twice"},
		{"contract-image-ref-odd", func(r *raw) { r.contract.Images[0].Ref = "a b" }, `odd reference "a b"`},
		{"contract-layer-two-sizes", func(r *raw) {
			m := r.contract.Images[0]
			m.Ref, m.Layers = "x:1", slices.Clone(m.Layers)
			m.Layers[0].Size++
			r.contract.Images = append(r.contract.Images, m)
		}, "has two sizes"},
		{"contract-outer-reserved", func(r *raw) {
			f := r.contract.Outer[0]
			f.Path = SumsName
			r.contract.Outer = append(r.contract.Outer, f)
		}, "is listed twice or has a name of the format"},
		{"contract-without-install", func(r *raw) { r.contract.Outer = nil }, `outer file "install" is not listed`},
		{"contract-window-huge", func(r *raw) {
			p, n := r.payload()
			r.contract.Payload = Payload{Path: PayloadName, Size: int64(len(p)), SHA256: digestOf(p), Uncompressed: n, WindowBytes: 1 << 31}
		}, "window of 2147483648 bytes"},

		{"archive-not-gzip", nil, "is not a readable .tar.gz"},
		{"archive-empty", nil, "ends too early"},
		{"archive-truncated", nil, "ends too early"},
		{"archive-tail", func(r *raw) { r.gzTail = []byte("more than a gzip header") }, "is not a readable .tar.gz"},
		{"archive-no-folder", outer(func(p []part) []part { return p[1:] }), "does not begin with the bundle's folder"},
		{"archive-other-folder", outer(func(p []part) []part {
			for i := range p {
				p[i].h.Name = strings.Replace(p[i].h.Name, "amd64", "arm64", 1)
			}
			return p
		}), "the top folder should be called k8s-v1.34.4-linux-amd64"},
		{"archive-path-escape", outer(func(p []part) []part {
			p[1].h.Name = "k8s-v1.34.4-linux-amd64/../../etc/cron.d/x"
			return p
		}), "which is not a file of the folder"},
		{"archive-outside-folder", outer(func(p []part) []part { p[1].h.Name = "install"; return p }), "which is not a file of the folder"},
		{"archive-install-changed", outer(func(p []part) []part { p[1].data = []byte("elf"); return p }), "install: has digest"},
		{"archive-install-longer", outer(func(p []part) []part {
			p[1].data, p[1].h.Size = []byte("ELFS"), 4
			return p
		}), "install: has 4 bytes, the contract says 3"},
		{"archive-install-missing", outer(func(p []part) []part { return slices.Delete(p, 1, 2) }), "install: is missing"},
		{"archive-install-link", outer(func(p []part) []part {
			p[1].h = tar.Header{Typeflag: tar.TypeSymlink, Name: p[1].h.Name, Linkname: "/bin/sh", ModTime: epoch}
			return p
		}), "install: is not a regular file"},
		{"archive-twice", outer(func(p []part) []part { return slices.Insert(p, 2, p[1]) }), "install: is in the archive twice"},
		{"archive-extra", outer(func(p []part) []part { return slices.Insert(p, 2, filePart("k8s-v1.34.4-linux-amd64/evil", nil)) }), "evil: is not in the contract"},
		{"archive-extra-after-payload", outer(func(p []part) []part { return append(p, filePart("k8s-v1.34.4-linux-amd64/evil", nil)) }), "after the payload"},
		{"archive-many-files", outer(func(p []part) []part {
			for i := range maxOuters {
				p = slices.Insert(p, 2, filePart(fmt.Sprintf("k8s-v1.34.4-linux-amd64/file%d", i), nil))
			}
			return p
		}), "holds more than 64 files beside the payload"},
		{"archive-payload-first", outer(func(p []part) []part { return []part{p[0], p[4], p[1], p[2], p[3]} }), "do not come before payload.tar.zst"},
		{"archive-no-payload", outer(func(p []part) []part { return p[:4] }), "ends too early"},
		{"archive-device", outer(func(p []part) []part {
			p[1].h = tar.Header{Typeflag: tar.TypeBlock, Name: p[1].h.Name, Devmajor: 8, ModTime: epoch}
			return p
		}), "install: is not a regular file"},

		{"sums-missing", outer(func(p []part) []part { return slices.Delete(p, 3, 4) }), "SHA256SUMS do not come before"},
		{"sums-garbage", outer(func(p []part) []part { p[3] = filePart(p[3].h.Name, []byte("hello\n")); return p }), "SHA256SUMS: line 1 is not a checksum"},
		{"sums-short", outer(func(p []part) []part {
			p[3] = filePart(p[3].h.Name, p[3].data[:bytes.IndexByte(p[3].data, '\n')+1])
			return p
		}), "SHA256SUMS: does not name"},
		{"sums-extra", outer(func(p []part) []part {
			p[3] = filePart(p[3].h.Name, append(p[3].data, strings.Repeat("0", 64)+"  evil\n"...))
			return p
		}), "names evil, which is not in the contract"},
		{"sums-other-payload", outer(func(p []part) []part {
			i := bytes.Index(p[3].data, []byte("  "+PayloadName))
			copy(p[3].data[i-64:], strings.Repeat("0", 64))
			return p
		}), "for payload.tar.zst, the contract says"},

		{"payload-byte-flipped", outer(func(p []part) []part { p[4].data[len(p[4].data)/2] ^= 1; return p }), "payload.tar.zst"},
		{"payload-truncated", outer(func(p []part) []part {
			p[4] = filePart(p[4].h.Name, p[4].data[:len(p[4].data)-9])
			return p
		}), "payload.tar.zst: has"},
		{"payload-tail", func(r *raw) { r.tail = []byte("more") }, "payload.tar.zst: is damaged"},
		{"payload-not-zstd", func(r *raw) {
			r.outer = func(p []part) []part { copy(p[4].data, "PK\x03\x04"); return p }
		}, "payload.tar.zst: is damaged"},
		{"payload-window-too-large", func(r *raw) { r.window = 8 << 20 }, "needs a larger window"},
		{"payload-other-digest", func(r *raw) {
			p, n := r.payload()
			r.contract.Payload = Payload{Path: PayloadName, Size: int64(len(p)), SHA256: digestOf(nil), Uncompressed: n, WindowBytes: 1 << 20}
		}, "payload.tar.zst: has digest"},
		{"payload-bomb", func(r *raw) {
			p, n := r.payload()
			r.contract.Payload = Payload{Path: PayloadName, Size: int64(len(p)), SHA256: digestOf(p), Uncompressed: n - 2048, WindowBytes: 1 << 20}
		}, "holds more than the"},
		{"payload-uncompressed-short", func(r *raw) {
			p, n := r.payload()
			r.contract.Payload = Payload{Path: PayloadName, Size: int64(len(p)), SHA256: digestOf(p), Uncompressed: n + 1, WindowBytes: 1 << 20}
		}, "the contract says"},
		{"entry-missing", func(r *raw) { r.entries = r.entries[1:] }, "bin/kubelet: is missing from the payload"},
		{"entry-extra", func(r *raw) { r.entries = slices.Insert(r.entries, 1, filePart("bin/evil", nil)) }, `"bin/evil": is in the payload but not in the contract`},
		{"entry-path-escape", func(r *raw) {
			r.entries = slices.Insert(r.entries, 1, filePart("../../root/.ssh/authorized_keys", nil))
		}, "is in the payload but not in the contract"},
		{"entry-dot-slash", func(r *raw) { r.entries[0].h.Name = "./bin/kubelet" }, `"./bin/kubelet": is in the payload but not in the contract`},
		{"entry-twice", func(r *raw) { r.entries = slices.Insert(r.entries, 1, r.entries[0]) }, "bin/kubelet: is in the payload twice"},
		{"entry-larger", func(r *raw) { r.entries[0] = filePart("bin/kubelet", []byte("a kubelet and more")) }, "bin/kubelet: has 18 bytes, the contract says 9"},
		{"entry-changed", func(r *raw) { r.entries[0] = filePart("bin/kubelet", []byte("a KUBELET")) }, "bin/kubelet: has digest"},
		{"entry-link", func(r *raw) {
			r.entries[0].h = tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/kubelet", Linkname: "/bin/sh", ModTime: epoch}
		}, "bin/kubelet: is not a regular file"},
		{"entry-hard-link", func(r *raw) {
			r.entries[0].h = tar.Header{Typeflag: tar.TypeLink, Name: "bin/kubelet", Linkname: "/bin/sh", ModTime: epoch}
		}, "bin/kubelet: is not a regular file"},
		{"entry-device", func(r *raw) {
			r.entries[0].h = tar.Header{Typeflag: tar.TypeChar, Name: "bin/kubelet", Devmajor: 1, Devminor: 3, ModTime: epoch}
		}, "bin/kubelet: is not a regular file"},
		{"entry-fifo", func(r *raw) {
			r.entries[0].h = tar.Header{Typeflag: tar.TypeFifo, Name: "bin/kubelet", ModTime: epoch}
		}, "bin/kubelet: is not a regular file"},
		{"entry-sparse", func(r *raw) {
			r.entries[0].h.PAXRecords = map[string]string{"KUBEBUNDLE.sparse": "1"}
		}, "has the tar record"},
		{"entry-attributes", func(r *raw) {
			r.entries[0].h.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": "x"}
		}, "has the tar record"},
		{"entry-order", func(r *raw) { r.entries[0], r.entries[4] = r.entries[4], r.entries[0] }, "comes after a layer"},
		{"layer-changed", func(r *raw) { r.entries[4].data = bytes.ToUpper(r.entries[4].data) }, "has digest"},
		{"chain-config", func(r *raw) { r.contract.Images[0].Layers[0].Blob.Digest = digestOf(nil) }, "layer 0 of registry.k8s.io/pause:3.10.1 is"},
		{"chain-diff-id", func(r *raw) {
			r.entries[4] = filePart(layerPrefix+strings.TrimPrefix(digestOf([]byte("x")), digestAlgo), []byte("x"))
			l := &r.contract.Images[0].Layers[0]
			l.DiffID, l.Size = digestOf([]byte("x")), 1
		}, "diff ID 0 of registry.k8s.io/pause:3.10.1 is"},
		{"chain-index", func(r *raw) { r.replaceBlob(1, &r.contract.Images[0].Target, `{"manifests":[]}`) }, "does not name the manifest"},
		{"chain-index-not-json", func(r *raw) { r.replaceBlob(1, &r.contract.Images[0].Target, `<html>`) }, "is not the index of"},
		{"chain-signature", func(r *raw) {
			r.addSignature()
			s := &r.contract.Images[0].Signatures[0]
			s.Parts[1].Digest, s.Parts[1].Size = digestOf([]byte("other")), 5
			r.entries[6] = filePart(signaturePrefix+strings.TrimPrefix(digestOf([]byte("other")), digestAlgo), []byte("other"))
		}, "part 1 of the signature of registry.k8s.io/pause:3.10.1 is"},
		{"chain-manifest", func(r *raw) {
			r.replaceBlob(2, &r.contract.Images[0].Manifest, `{"config":{"digest":"sha256:0"}}`)
			r.replaceBlob(1, &r.contract.Images[0].Target, `{"manifests":[{"digest":"`+r.contract.Images[0].Manifest.Digest+`"}]}`)
		}, "names the config"},
	}
}

// addSignature gives the image a signature of its publisher: a manifest, and a config and a layer that it names.
func (r *raw) addSignature() {
	m := &r.contract.Images[0]
	config, signed := []byte("{}"), []byte("what was signed")
	manifest := fmt.Appendf(nil, `{"config":{"digest":%q},"layers":[{"digest":%q}]}`, digestOf(config), digestOf(signed))
	desc := func(b []byte) Descriptor { return Descriptor{Digest: digestOf(b), Size: int64(len(b))} }
	m.Signatures = []Signature{{Of: m.Target.Digest, Kind: "cosign", Manifest: desc(manifest), Parts: []Descriptor{desc(config), desc(signed)}}}
	layer := len(r.entries) - 1
	for i, data := range [][]byte{manifest, config, signed} {
		r.entries = slices.Insert(r.entries, layer+i, filePart(signaturePrefix+strings.TrimPrefix(digestOf(data), digestAlgo), data))
	}
}

func (r *raw) replaceBlob(i int, d *Descriptor, content string) {
	r.entries[i] = filePart(blobPrefix+strings.TrimPrefix(digestOf([]byte(content)), digestAlgo), []byte(content))
	d.Digest, d.Size = digestOf([]byte(content)), int64(len(content))
}

type corpusCase struct {
	name   string
	change func(*raw)
	want   string
}

func (c corpusCase) bytes() []byte {
	switch c.name {
	case "archive-not-gzip":
		return []byte("PK\x03\x04 this is a zip file")
	case "archive-empty":
		return nil
	case "archive-truncated":
		data := sample().bytes()
		return data[:len(data)-len(data)/4]
	}
	r := sample()
	if strings.HasPrefix(c.name, "delta-") {
		r = deltaSample()
	}
	c.change(r)
	return r.bytes()
}

// header says of a stored case what it is and what a reader of any later release must say of it: "" for nothing.
type header struct {
	What string `json:"what"`
	Must string `json:"must"`
}

// TestCorpus reads the stored bundles: the format as it was when they were written. headers.json has a header for each.
func TestCorpus(t *testing.T) {
	dir := filepath.Join("testdata", "corpus")
	if *update {
		writeCorpus(t, dir)
		t.Fatal("testdata/corpus is written; run again without -update")
	}
	var headers map[string]header
	data, err := os.ReadFile(filepath.Join(dir, "headers.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &headers); err != nil {
		t.Fatal(err)
	}
	if n := len(corpus()) + len(deltaCorpus()); len(headers) != n {
		t.Errorf("%d stored cases, %d known ones: run with -update", len(headers), n)
	}
	for name, h := range headers {
		t.Run(name, func(t *testing.T) {
			if h.What == "" {
				t.Error("the header does not say what it is")
			}
			var err error
			peak := heapPeak(func() { err = readAll(t.Context(), filepath.Join(dir, name+".tar.gz")) })
			checkRefusal(t, err, h.Must)
			if limit := uint64(sample().window + besideWindow); peak > limit {
				t.Errorf("%d MiB of heap, more than %d", peak>>20, limit>>20)
			}
		})
	}
}

func checkRefusal(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	var c *CorruptError
	var base *BaseError
	if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &c) && !errors.As(err, &base) {
		t.Errorf("error %v, want a CorruptError or a BaseError with %q", err, want)
		return
	}
	if c != nil && c.Hint() == "" || base != nil && base.Hint() == "" {
		t.Error("no hint")
	}
}

// readAll opens and verifies, and checks that an ordinary pass refuses what Verify refuses.
func readAll(ctx context.Context, path string) error {
	b, err := OpenArchive(path)
	if err != nil {
		return err
	}
	if b.contract.Delta != nil {
		if err := b.UseBase(sampleBase()); err != nil {
			return err
		}
	}
	verr := b.Verify(ctx)
	perr := pass(ctx, b)
	if (verr == nil) != (perr == nil) {
		return fmt.Errorf("Verify says %w, a pass says %w", verr, perr)
	}
	return verr
}

// pass reads everything and checks the promise of Read: io.EOF only after the digest agreed.
func pass(ctx context.Context, b *Bundle) error {
	p, err := b.Payload(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }() // only read from
	for {
		e, err := p.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		h := sha256.New()
		if _, err := io.Copy(h, onlyReader{p}); err != nil {
			return err
		}
		if got := digestAlgo + hex.EncodeToString(h.Sum(nil)); got != e.Digest {
			return fmt.Errorf("%s: Read gave io.EOF after other content (%s)", e.Path, got)
		}
	}
}

func writeCorpus(t *testing.T, dir string) {
	t.Helper()
	must(os.RemoveAll(dir))
	must(os.MkdirAll(dir, 0o755))
	about := whatItIs()
	headers := map[string]header{}
	for _, c := range append(corpus(), deltaCorpus()...) {
		headers[c.name] = header{What: cmp.Or(about[c.name], strings.ReplaceAll(c.name, "-", " ")), Must: c.want}
		must(os.WriteFile(filepath.Join(dir, c.name+".tar.gz"), c.bytes(), 0o644))
	}
	data, err := json.MarshalIndent(headers, "", "  ")
	must(err)
	must(os.WriteFile(filepath.Join(dir, "headers.json"), append(data, '\n'), 0o644))
}
