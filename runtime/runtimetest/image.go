package runtimetest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"

	cruntime "kubebundle/runtime"
)

// Layer makes the tar of a layer.
func Layer(entries ...tar.Header) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		body := h.PAXRecords["body"]
		delete(h.PAXRecords, "body")
		h.Size = int64(len(body))
		h.Format = tar.FormatPAX
		must(w.WriteHeader(&h))
		_, err := w.Write([]byte(body))
		must(err)
	}
	must(w.Close())
	return b.Bytes()
}

// File is an entry of a layer, as Dir, Link and Symlink are. Paths have no leading slash.
func File(name string, mode int64, body string, xattrs ...string) tar.Header {
	h := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, PAXRecords: map[string]string{"body": body}}
	for i := 0; i+1 < len(xattrs); i += 2 {
		h.PAXRecords["SCHILY.xattr."+xattrs[i]] = xattrs[i+1]
	}
	return h
}

// Dir is a folder.
func Dir(name string, mode int64) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}
}

// Link is a hard link to a path of the same layer, mode 0755.
func Link(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o755}
}

// Symlink is a symbolic link.
func Symlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}
}

// Whiteout deletes a path of a lower layer.
func Whiteout(dir, base string) tar.Header { return File(dir+"/.wh."+base, 0o600, "") }

// Opaque hides what lower layers have in a folder.
func Opaque(dir string) tar.Header { return File(dir+"/.wh..wh..opq", 0o600, "") }

// EmptyLayer is what a Dockerfile's WORKDIR often makes: a tar without entries.
func EmptyLayer() []byte { return make([]byte, 1024) }

// Image is an image with its content.
type Image struct {
	cruntime.Image
	Blobs  map[string][]byte // index, manifest and config by digest
	Layers [][]byte          // uncompressed, bottom first
}

// NewImage makes an image under ref, behind an index that also lists a platform that is not there, as upstream's do.
func NewImage(ref string, layers ...[]byte) Image { return newImage(ref, arch(), layers...) }

// NewMislabelledImage is NewImage with a config that names an architecture which is not this one, although index and content are right: so CoreDNS v1.8.0 and
// etcd 3.4.13-0 were published for arm64.
func NewMislabelledImage(ref string, layers ...[]byte) Image {
	return newImage(ref, "s390x", layers...)
}

func newImage(ref, configArch string, layers ...[]byte) Image {
	img := Image{Image: cruntime.Image{Ref: ref}, Blobs: map[string][]byte{}, Layers: layers}
	type desc struct {
		MediaType string            `json:"mediaType"`
		Digest    string            `json:"digest"`
		Size      int64             `json:"size"`
		Platform  map[string]string `json:"platform,omitempty"`
	}
	var manifestLayers []desc
	for _, l := range layers {
		img.DiffIDs = append(img.DiffIDs, Digest(l))
		img.Sizes = append(img.Sizes, int64(len(l)))
		// The digest of compressed bytes that exist nowhere, as in a bundle.
		gz := []byte("compressed " + Digest(l))
		manifestLayers = append(manifestLayers, desc{MediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip", Digest: Digest(gz), Size: int64(len(gz))})
	}
	add := func(mediaType string, v any) cruntime.Descriptor {
		b, err := json.Marshal(v)
		must(err)
		img.Blobs[Digest(b)] = b
		return cruntime.Descriptor{MediaType: mediaType, Digest: Digest(b), Size: int64(len(b))}
	}
	img.Config = add("application/vnd.docker.container.image.v1+json", map[string]any{
		"architecture": configArch, "os": "linux", "created": "2020-01-01T00:00:00Z",
		"config": map[string]any{"Cmd": []string{"/hello"}, "Labels": map[string]string{"ref": ref}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": img.DiffIDs},
	})
	const manifestType = "application/vnd.docker.distribution.manifest.v2+json"
	img.Manifest = add(manifestType, map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": desc{MediaType: img.Config.MediaType, Digest: img.Config.Digest, Size: img.Config.Size},
		"layers": manifestLayers,
	})
	const indexType = "application/vnd.docker.distribution.manifest.list.v2+json"
	img.Target = add(indexType, map[string]any{
		"schemaVersion": 2, "mediaType": indexType,
		"manifests": []desc{
			{MediaType: manifestType, Digest: Digest([]byte("other" + ref)), Size: 5, Platform: map[string]string{"os": "linux", "architecture": "s390x"}},
			{MediaType: manifestType, Digest: img.Manifest.Digest, Size: img.Manifest.Size, Platform: map[string]string{"os": "linux", "architecture": arch()}},
		},
	})
	return img
}

// WithoutIndex gives the same image as a tag that leads to the manifest itself.
func (i Image) WithoutIndex() Image {
	i.Blobs = maps.Clone(i.Blobs)
	delete(i.Blobs, i.Target.Digest)
	i.Target = i.Manifest
	return i
}

// Digest is the sha256 digest of b.
func Digest(b []byte) string {
	h := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(h[:])
}

// Images are the descriptions alone.
func Images(list ...Image) []cruntime.Image {
	out := make([]cruntime.Image, 0, len(list))
	for _, i := range list {
		out = append(out, i.Image)
	}
	return out
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
