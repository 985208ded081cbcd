package upstream

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"kubebundle/test/lab/upstream/store"
)

// Archive writes images of one architecture into one OCI archive, layers as the registry has them: what `ctr images import` takes,
// and what a person without bundler would carry.
func (u *Upstream) Archive(w io.Writer, arch string, refs ...string) error {
	tw := tar.NewWriter(w)
	st := u.b.store()
	idx := ociIndex{SchemaVersion: 2, MediaType: "application/vnd.oci.image.index.v1+json"}
	seen := map[string]bool{}
	for _, ref := range refs {
		img, ok := u.Image(ref)
		if !ok {
			return fmt.Errorf("archive: no image %s", ref)
		}
		d, err := archiveImage(tw, st, img.Manifests[arch], seen)
		if err != nil {
			return fmt.Errorf("archive %s: %w", ref, err)
		}
		idx.Manifests = append(idx.Manifests, ociDescriptor{
			descriptor:  d,
			Annotations: map[string]string{"io.containerd.image.name": ref, "org.opencontainers.image.ref.name": ref},
		})
	}
	raw, err := json.Marshal(idx)
	if err != nil {
		return err
	}
	return errors.Join(
		writeEntry(tw, entry{name: "index.json", mode: 0o644, data: string(raw)}),
		writeEntry(tw, entry{name: "oci-layout", mode: 0o644, data: `{"imageLayoutVersion":"1.0.0"}`}),
		tw.Close(),
	)
}

type ociIndex struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	Manifests     []ociDescriptor `json:"manifests"`
}

type ociDescriptor struct {
	descriptor
	Annotations map[string]string `json:"annotations,omitempty"`
}

func archiveImage(tw *tar.Writer, st store.Store, digest string, seen map[string]bool) (descriptor, error) {
	d := descriptor{MediaType: typeManifest, Digest: digest}
	raw, err := os.ReadFile(st.Path(digest))
	if err != nil {
		return d, err
	}
	d.Size = int64(len(raw))
	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return d, err
	}
	blobs := []string{digest, m.Config.Digest}
	for _, l := range m.Layers {
		blobs = append(blobs, l.Digest)
	}
	for _, b := range blobs {
		if seen[b] {
			continue
		}
		seen[b] = true
		if err := writeEntry(tw, entry{name: "blobs/sha256/" + b[len("sha256:"):], mode: 0o644, src: st.Path(b)}); err != nil {
			return d, err
		}
	}
	return d, nil
}
