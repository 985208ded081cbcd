package bundle

// Entries lists what the payload of a contract holds, in the order in which the writer stores it: files, blobs and
// signatures as the contract lists them, then the layers. A reader insists on the set and on the order of the kinds; the order of
// the layers is the writer's.
func (c *Contract) Entries() []Entry {
	var out []Entry
	for i := range c.Files {
		f := &c.Files[i]
		out = append(out, Entry{Kind: KindFile, Path: f.Path, Digest: f.SHA256, Size: f.Size, File: f})
	}
	seen := map[string]bool{}
	for i := range c.Images {
		m := &c.Images[i]
		for _, d := range []Descriptor{m.Target, m.Manifest, m.Config} {
			if !seen[d.Digest] {
				seen[d.Digest] = true
				out = append(out, Entry{Kind: KindBlob, Path: blobPrefix + d.Digest[len(digestAlgo):], Digest: d.Digest, Size: d.Size})
			}
		}
	}
	clear(seen)
	for i := range c.Images {
		for j := range c.Images[i].Signatures {
			for _, d := range c.Images[i].Signatures[j].blobs() {
				if !seen[d.Digest] {
					seen[d.Digest] = true
					out = append(out, Entry{Kind: KindSignature, Path: signaturePrefix + d.Digest[len(digestAlgo):], Digest: d.Digest, Size: d.Size})
				}
			}
		}
	}
	for _, l := range layerOrder(c.Images) {
		out = append(out, Entry{Kind: KindLayer, Path: layerPrefix + l.DiffID[len(digestAlgo):], Digest: l.DiffID, Size: l.Size})
	}
	return out
}

// layerOrder puts each diff ID once, parents before children over the chains of all images, otherwise as near as
// possible to the order of the images: neighbours in the contract are neighbours in the window. Images may disagree
// (one has A on B, another B on A); then the layer that comes first in the list of images breaks the tie.
func layerOrder(images []Image) []Layer {
	var all []Layer
	index := map[string]int{}
	for _, m := range images {
		for _, l := range m.Layers {
			if _, ok := index[l.DiffID]; !ok {
				index[l.DiffID] = len(all)
				all = append(all, l)
			}
		}
	}
	parents := make([]map[int]bool, len(all))
	for _, m := range images {
		for i := 1; i < len(m.Layers); i++ {
			p, c := index[m.Layers[i-1].DiffID], index[m.Layers[i].DiffID]
			if p == c {
				continue // the same (empty) layer twice in a row
			}
			if parents[c] == nil {
				parents[c] = map[int]bool{}
			}
			parents[c][p] = true
		}
	}
	out := make([]Layer, 0, len(all))
	done := make([]bool, len(all))
	ready := func(i int) bool {
		for p := range parents[i] {
			if !done[p] {
				return false
			}
		}
		return true
	}
	for len(out) < len(all) {
		next := -1
		for i := range all {
			if done[i] {
				continue
			}
			if next < 0 {
				next = i // what a cycle falls back to
			}
			if ready(i) {
				next = i
				break
			}
		}
		done[next] = true
		out = append(out, all[next])
	}
	return out
}
