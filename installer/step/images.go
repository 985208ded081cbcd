package step

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/dustin/go-humanize"

	"kubebundle/bundle"
	cruntime "kubebundle/runtime"
)

// Images loads images of the bundle into the container runtime.
type Images struct {
	List []bundle.Image
}

// NewImages takes all images of the contract, or those named by refs.
func NewImages(c *bundle.Contract, refs ...string) Images {
	if len(refs) == 0 {
		return Images{List: c.Images}
	}
	var s Images
	for _, img := range c.Images {
		if slices.Contains(refs, img.Ref) {
			s.List = append(s.List, img)
		}
	}
	return s
}

func (s Images) String() string {
	seen := map[string]int64{}
	for _, img := range s.List {
		for _, l := range img.Layers {
			seen[l.DiffID] = l.Size
		}
	}
	var size int64
	for _, n := range seen {
		size += n
	}
	return fmt.Sprintf("load %d images %s", len(s.List), humanize.Bytes(uint64(max(size, 0))))
}

// RuntimeImages describes images to a runtime.
func RuntimeImages(list []bundle.Image) []cruntime.Image {
	out := make([]cruntime.Image, 0, len(list))
	for _, img := range list {
		r := cruntime.Image{
			Ref:      img.Ref,
			Target:   cruntime.Descriptor(img.Target),
			Manifest: cruntime.Descriptor(img.Manifest),
			Config:   cruntime.Descriptor(img.Config),
		}
		for _, l := range img.Layers {
			r.DiffIDs = append(r.DiffIDs, l.DiffID)
			r.Sizes = append(r.Sizes, l.Size)
		}
		out = append(out, r)
	}
	return out
}

func (s Images) missing(ctx context.Context, t *Target) ([]cruntime.Image, error) {
	rt, err := t.Runtime(ctx)
	if err != nil {
		return nil, err
	}
	return rt.Missing(ctx, RuntimeImages(s.List))
}

// Satisfied if the runtime misses none.
func (s Images) Satisfied(ctx context.Context, t *Target) (bool, error) {
	m, err := s.missing(ctx, t)
	return err == nil && len(m) == 0, err
}

// Apply loads those that are missing in one pass over the payload.
func (s Images) Apply(ctx context.Context, t *Target) error {
	_, err := s.Load(ctx, t, true)
	return err
}

// Load loads all images, or only those that are missing, and gives their number.
func (s Images) Load(ctx context.Context, t *Target, onlyMissing bool) (int, error) {
	rt, err := t.Runtime(ctx)
	if err != nil {
		return 0, err
	}
	list := RuntimeImages(s.List)
	if onlyMissing {
		if list, err = rt.Missing(ctx, list); err != nil {
			return 0, err
		}
	}
	if len(list) == 0 {
		return 0, nil
	}
	if t.Bundle == nil {
		return 0, errors.New("load images: no bundle at hand")
	}
	p, err := t.Bundle.Payload(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = p.Close() }() // only read from
	return len(list), rt.Load(ctx, list, imageSource{p}, func(e cruntime.Event) { t.progress(e.Done, e.Total, e.Image) })
}

// Before implements Undoer. Reset takes images back only when asked to.
func (s Images) Before(ctx context.Context, t *Target) ([]Record, error) {
	m, err := s.missing(ctx, t)
	if err != nil || len(m) == 0 {
		return nil, err
	}
	r := Record{Kind: KindImages}
	for _, img := range m {
		r.Refs = append(r.Refs, img.Ref)
	}
	return []Record{r}, nil
}

// imageSource shows the payload's image content to a runtime.
type imageSource struct{ p *bundle.PayloadReader }

func (s imageSource) Next() (cruntime.Blob, io.Reader, error) {
	for {
		e, err := s.p.Next()
		if err != nil {
			return cruntime.Blob{}, nil, err
		}
		if e.Kind == bundle.KindBlob || e.Kind == bundle.KindLayer {
			return cruntime.Blob{Digest: e.Digest, Size: e.Size, Layer: e.Kind == bundle.KindLayer}, verified{s.p, e.Digest}, nil
		}
	}
}

// verified is an entry of the payload, whose reader has compared the digest with what it gave when it says that this was all.
type verified struct {
	io.Reader
	digest string
}

func (v verified) Verified() string { return v.digest }
