package bundle

import "encoding/json"

// checkChain checks one link of the chain that leads from what the registry signed to what is stored: an index must
// name the manifest, the manifest must name the config and the layers, the config must name the diff IDs.
func checkChain(c *Contract, digest string, data []byte) error {
	if err := modest(blobPrefix+digest[len(digestAlgo):], data); err != nil {
		return err
	}
	for i := range c.Images {
		m := &c.Images[i]
		var err error
		switch digest {
		case m.Manifest.Digest:
			err = checkManifest(m, data)
		case m.Config.Digest:
			err = checkConfig(m, data)
		case m.Target.Digest:
			err = checkIndex(m, data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type digestDoc struct {
	Digest string `json:"digest"`
}

func checkIndex(m *Image, data []byte) error {
	path := blobPath(m.Target.Digest)
	var doc struct {
		Manifests []digestDoc `json:"manifests"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return &CorruptError{Path: path, Why: "is not the index of " + m.Ref, Err: err}
	}
	for _, d := range doc.Manifests {
		if d.Digest == m.Manifest.Digest {
			return nil
		}
	}
	return corrupt(path, "the index of %s does not name the manifest %s", m.Ref, m.Manifest.Digest)
}

func checkManifest(m *Image, data []byte) error {
	path := blobPath(m.Manifest.Digest)
	var doc struct {
		Config digestDoc   `json:"config"`
		Layers []digestDoc `json:"layers"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return &CorruptError{Path: path, Why: "is not the manifest of " + m.Ref, Err: err}
	}
	if doc.Config.Digest != m.Config.Digest {
		return corrupt(path, "the manifest of %s names the config %.80q, the contract %s", m.Ref, doc.Config.Digest, m.Config.Digest)
	}
	if len(doc.Layers) != len(m.Layers) {
		return corrupt(path, "the manifest of %s has %d layers, the contract %d", m.Ref, len(doc.Layers), len(m.Layers))
	}
	for i, l := range doc.Layers {
		if l.Digest != m.Layers[i].Blob.Digest {
			return corrupt(path, "layer %d of %s is %.80q, the contract says %s", i, m.Ref, l.Digest, m.Layers[i].Blob.Digest)
		}
	}
	return nil
}

func checkConfig(m *Image, data []byte) error {
	path := blobPath(m.Config.Digest)
	var doc struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return &CorruptError{Path: path, Why: "is not the config of " + m.Ref, Err: err}
	}
	if len(doc.RootFS.DiffIDs) != len(m.Layers) {
		return corrupt(path, "the config of %s has %d diff IDs, the contract %d", m.Ref, len(doc.RootFS.DiffIDs), len(m.Layers))
	}
	for i, d := range doc.RootFS.DiffIDs {
		if d != m.Layers[i].DiffID {
			return corrupt(path, "diff ID %d of %s is %.80q, the contract says %s", i, m.Ref, d, m.Layers[i].DiffID)
		}
	}
	return nil
}

// checkSignature checks that a signature's manifest names the parts that the contract says. Who signed what is not this
// package's question.
func checkSignature(c *Contract, digest string, data []byte) error {
	if err := modest(signaturePrefix+digest[len(digestAlgo):], data); err != nil {
		return err
	}
	for i := range c.Images {
		for j := range c.Images[i].Signatures {
			s := &c.Images[i].Signatures[j]
			if s.Manifest.Digest != digest {
				continue
			}
			path := signaturePrefix + digest[len(digestAlgo):]
			var doc struct {
				Config digestDoc   `json:"config"`
				Layers []digestDoc `json:"layers"`
			}
			if err := json.Unmarshal(data, &doc); err != nil {
				return &CorruptError{Path: path, Why: "is not the manifest of a signature of " + c.Images[i].Ref, Err: err}
			}
			parts := append([]digestDoc{doc.Config}, doc.Layers...)
			if len(parts) != len(s.Parts) {
				return corrupt(path, "the signature of %s has %d parts, the contract says %d", c.Images[i].Ref, len(parts), len(s.Parts))
			}
			for k, p := range parts {
				if p.Digest != s.Parts[k].Digest {
					return corrupt(path, "part %d of the signature of %s is %.80q, the contract says %s", k, c.Images[i].Ref, p.Digest, s.Parts[k].Digest)
				}
			}
		}
	}
	return nil
}

func blobPath(digest string) string { return blobPrefix + digest[len(digestAlgo):] }
