package containerd

import (
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	cruntime "kubebundle/runtime"
)

// node is one snapshot that an image needs: a layer on a certain parent.
type node struct {
	chain  string // its name in the snapshotter
	parent *node  // nil at the bottom
	layer  *layer
	exists bool // it was there before

	assigned bool          // its layer has been read, or is being read
	done     chan struct{} // closed when the snapshot is committed
}

// resolved says that everything below the node is there or on its way, so that waiting for its parent needs nothing more from the source.
func (n *node) resolved() bool {
	return n == nil || n.exists || (n.assigned && n.parent.resolved())
}

// layer is one diff ID and all the snapshots that it makes.
type layer struct {
	diffID string
	size   int64
	image  string // the reference of the first image that needs it, for progress
	nodes  []*node
}

// wanted are the layer's nodes that still have to be made.
func (l *layer) wanted() []*node {
	var out []*node
	for _, n := range l.nodes {
		if !n.exists && !n.assigned {
			out = append(out, n)
		}
	}
	return out
}

// blob is a piece for the content store.
type blob struct {
	desc   cruntime.Descriptor
	labels map[string]string // its references, for containerd's garbage collector
	data   []byte            // once read
}

// plan is what the images need, each thing once.
type plan struct {
	images []cruntime.Image
	layers map[string]*layer
	nodes  map[string]*node
	order  []*node // parents before children
	blobs  map[string]*blob
}

// newPlan lays out snapshots and blobs. It asks nobody.
func newPlan(images []cruntime.Image, snapshotter string) (*plan, error) {
	p := &plan{images: images, layers: map[string]*layer{}, nodes: map[string]*node{}, blobs: map[string]*blob{}}
	for _, img := range images {
		if err := img.Validate(); err != nil {
			return nil, err
		}
		top, err := p.addChain(img)
		if err != nil {
			return nil, err
		}
		p.addBlob(img.Target, nil)
		if img.Target.Digest != img.Manifest.Digest {
			p.addBlob(img.Target, map[string]string{"containerd.io/gc.ref.content.m.kubebundle": img.Manifest.Digest})
		}
		p.addBlob(img.Manifest, map[string]string{"containerd.io/gc.ref.content.config": img.Config.Digest})
		p.addBlob(img.Config, nil)
		if top != nil {
			p.addBlob(img.Config, map[string]string{"containerd.io/gc.ref.snapshot." + snapshotter: top.chain})
		}
	}
	return p, nil
}

func (p *plan) addChain(img cruntime.Image) (*node, error) {
	chains := make([]digest.Digest, len(img.DiffIDs))
	for i, d := range img.DiffIDs {
		chains[i] = digest.Digest(d)
	}
	var parent *node
	for i, chain := range identity.ChainIDs(chains) {
		l := p.layers[img.DiffIDs[i]]
		if l == nil {
			l = &layer{diffID: img.DiffIDs[i], size: img.Sizes[i], image: img.Ref}
			p.layers[l.diffID] = l
		}
		if l.size != img.Sizes[i] {
			return nil, fmt.Errorf("image %s: layer %s has %d bytes here and %d elsewhere: %w", img.Ref, l.diffID, img.Sizes[i], l.size, cruntime.ErrCorrupt)
		}
		n := p.nodes[chain.String()]
		if n == nil {
			n = &node{chain: chain.String(), parent: parent, layer: l, done: make(chan struct{})}
			p.nodes[n.chain] = n
			p.order = append(p.order, n)
			l.nodes = append(l.nodes, n)
		}
		parent = n
	}
	return parent, nil
}

func (p *plan) addBlob(d cruntime.Descriptor, labels map[string]string) {
	b := p.blobs[d.Digest]
	if b == nil {
		b = &blob{desc: d, labels: map[string]string{}}
		p.blobs[d.Digest] = b
	}
	for k, v := range labels {
		b.labels[k] = v
	}
}

// split says which of a layer's wanted nodes can be applied while the layer streams by, and which must wait because their parent, or its
// content, comes later. It marks them all as assigned. Two nodes of one layer, one on the other, cannot both take
// part in the stream: the upper one would hold up the buffers that the lower one needs.
func (l *layer) split() (now, later []*node) {
	wanted := l.wanted()
	for _, n := range wanted {
		if n.parent.resolved() {
			now = append(now, n)
		} else {
			later = append(later, n)
		}
	}
	for _, n := range wanted {
		n.assigned = true
	}
	return now, later
}

// bytes is the uncompressed size of the layers that have to be read.
func (p *plan) bytes() int64 {
	var sum int64
	for _, l := range p.layers {
		if len(l.wanted()) > 0 {
			sum += l.size
		}
	}
	return sum
}

// complete says that nothing more is needed from the source.
func (p *plan) complete() bool {
	for _, b := range p.blobs {
		if b.data == nil {
			return false
		}
	}
	for _, l := range p.layers {
		if len(l.wanted()) > 0 {
			return false
		}
	}
	return true
}

// lacking names one thing that the source did not give.
func (p *plan) lacking() string {
	for _, img := range p.images {
		for _, d := range []string{img.Target.Digest, img.Manifest.Digest, img.Config.Digest} {
			if p.blobs[d].data == nil {
				return fmt.Sprintf("blob %s of image %s", d, img.Ref)
			}
		}
	}
	for _, n := range p.order {
		if !n.exists && !n.assigned {
			return fmt.Sprintf("layer %s of image %s", n.layer.diffID, n.layer.image)
		}
	}
	return ""
}
