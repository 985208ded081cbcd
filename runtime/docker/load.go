package docker

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	cruntime "kubebundle/runtime"
)

const maxBlob = 16 << 20 // of an index, manifest or config, which are held in memory

// Load implements cruntime.Runtime.
func (r *Runtime) Load(ctx context.Context, images []cruntime.Image, src cruntime.Source, progress func(cruntime.Event)) error {
	missing, err := r.Missing(ctx, images)
	if err != nil {
		return err
	}
	if missing, err = r.retag(ctx, missing); err != nil || len(missing) == 0 {
		return err
	}
	a := newArchive(missing, progress)
	pr, pw := io.Pipe()
	made := make(chan error, 1)
	go func() {
		err := a.write(pw, src)
		// What ends the body ends the request: Docker sees a broken archive and drops it.
		pw.CloseWithError(err)
		made <- err
	}()
	loadErr := r.post(ctx, pr)
	// Docker may answer before it read everything, with an error.
	_ = pr.CloseWithError(context.Cause(ctx)) // never fails
	madeErr := <-made
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("import images: %w", context.Cause(ctx))
	case madeErr != nil && !errors.Is(madeErr, io.ErrClosedPipe):
		return fmt.Errorf("import images: %w", madeErr)
	case loadErr != nil:
		return fmt.Errorf("import images: docker load: %w", loadErr)
	}
	still, err := r.Missing(ctx, missing)
	if err != nil {
		return err
	}
	if len(still) > 0 {
		return fmt.Errorf("import images: docker accepted %s and does not have it; its log says why (journalctl -u docker)", still[0].Ref)
	}
	return nil
}

// retag gives those images their names that Docker has under another, and returns the rest.
func (r *Runtime) retag(ctx context.Context, images []cruntime.Image) ([]cruntime.Image, error) {
	var rest []cruntime.Image
	for _, img := range images {
		got, err := r.inspect(ctx, img.Config.Digest)
		if err != nil {
			return nil, fmt.Errorf("look for image %s: %w", img.Ref, err)
		}
		if got.ID != img.Config.Digest {
			rest = append(rest, img)
			continue
		}
		name, err := tag(img)
		if err != nil {
			return nil, err
		}
		i := strings.LastIndexByte(name, ':')
		q := url.Values{"repo": {name[:i]}, "tag": {name[i+1:]}}
		resp, err := r.do(ctx, http.MethodPost, "/images/"+img.Config.Digest+"/tag?"+q.Encode(), nil)
		if err != nil {
			return nil, fmt.Errorf("tag image %s: %w", img.Ref, err)
		}
		if err := resp.Body.Close(); err != nil {
			return nil, fmt.Errorf("tag image %s: %w", img.Ref, err)
		}
	}
	return rest, nil
}

// post streams the archive and reads Docker's report, in which errors travel under status 200.
func (r *Runtime) post(ctx context.Context, archive io.Reader) error {
	resp, err := r.do(ctx, http.MethodPost, "/images/load?quiet=1", archive)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var m struct{ Error string }
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read docker's answer: %w", err)
		}
		if m.Error != "" {
			return errors.New(m.Error)
		}
	}
}

// archive is one docker-archive in the making.
type archive struct {
	images   []cruntime.Image
	blobs    map[string]*blob
	layers   map[string]*layer
	progress func(cruntime.Event)
	event    cruntime.Event
}

type blob struct {
	desc   cruntime.Descriptor
	config bool // goes into the archive
	data   []byte
}

type layer struct {
	size  int64
	image string
	done  bool
}

func newArchive(images []cruntime.Image, progress func(cruntime.Event)) *archive {
	a := &archive{images: images, blobs: map[string]*blob{}, layers: map[string]*layer{}, progress: progress}
	for _, img := range images {
		for _, d := range []cruntime.Descriptor{img.Target, img.Manifest} {
			a.blobs[d.Digest] = &blob{desc: d}
		}
		a.blobs[img.Config.Digest] = &blob{desc: img.Config, config: true}
		for i, d := range img.DiffIDs {
			if a.layers[d] == nil {
				a.layers[d] = &layer{size: img.Sizes[i], image: img.Ref}
				a.event.Total += img.Sizes[i]
			}
		}
	}
	return a
}

func configName(digest string) string { return strings.TrimPrefix(digest, "sha256:") + ".json" }

func layerName(diffID string) string { return strings.TrimPrefix(diffID, "sha256:") + "/layer.tar" }

// write makes the archive from the source. Every byte is hashed on its way, and the end that makes it an archive is written only if all agreed.
func (a *archive) write(w io.Writer, src cruntime.Source) error {
	tw := tar.NewWriter(w)
	for {
		what := a.lacking()
		if what == "" {
			break
		}
		b, rd, err := src.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("the source ended without %s: %w", what, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return err
		}
		if want := a.blobs[b.Digest]; want != nil && !b.Layer && want.data == nil {
			if err := want.read(b, rd); err != nil {
				return err
			}
			if want.config {
				if err := writeFile(tw, configName(b.Digest), want.data); err != nil {
					return err
				}
			}
		} else if l := a.layers[b.Digest]; l != nil && b.Layer && !l.done {
			if err := a.writeLayer(tw, b, l, rd); err != nil {
				return err
			}
		}
	}
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	var manifest []entry
	for _, img := range a.images {
		if err := img.CheckContent(a.blobs[img.Target.Digest].data, a.blobs[img.Manifest.Digest].data, a.blobs[img.Config.Digest].data); err != nil {
			return err
		}
		name, err := tag(img)
		if err != nil {
			return err
		}
		e := entry{Config: configName(img.Config.Digest), RepoTags: []string{name}}
		for _, d := range img.DiffIDs {
			e.Layers = append(e.Layers, layerName(d))
		}
		manifest = append(manifest, e)
	}
	m, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	if err := writeFile(tw, "manifest.json", m); err != nil {
		return err
	}
	return tw.Close()
}

// lacking names one thing that still has to come, "" if nothing has.
func (a *archive) lacking() string {
	for _, img := range a.images {
		for _, d := range []string{img.Target.Digest, img.Manifest.Digest, img.Config.Digest} {
			if a.blobs[d].data == nil {
				return fmt.Sprintf("blob %s of image %s", d, img.Ref)
			}
		}
		for _, d := range img.DiffIDs {
			if !a.layers[d].done {
				return fmt.Sprintf("layer %s of image %s", d, img.Ref)
			}
		}
	}
	return ""
}

func (want *blob) read(b cruntime.Blob, rd io.Reader) error {
	if b.Size != want.desc.Size || b.Size > maxBlob {
		return fmt.Errorf("blob %s: %d bytes instead of %d (at most %d): %w", b.Digest, b.Size, want.desc.Size, maxBlob, cruntime.ErrCorrupt)
	}
	data, err := io.ReadAll(io.LimitReader(rd, b.Size+1))
	if err != nil {
		return fmt.Errorf("read blob %s: %w", b.Digest, err)
	}
	sum := sha256.Sum256(data)
	if got := "sha256:" + hex.EncodeToString(sum[:]); int64(len(data)) != b.Size || got != b.Digest {
		return fmt.Errorf("blob %s: %d bytes with digest %s: %w", b.Digest, len(data), got, cruntime.ErrCorrupt)
	}
	want.data = data
	return nil
}

func (a *archive) writeLayer(tw *tar.Writer, b cruntime.Blob, l *layer, rd io.Reader) error {
	if b.Size != l.size {
		return fmt.Errorf("layer %s: %d bytes instead of %d: %w", b.Digest, b.Size, l.size, cruntime.ErrCorrupt)
	}
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: layerName(b.Digest), Mode: 0o644, Size: l.size}); err != nil {
		return err
	}
	h := sha256.New()
	a.event.Image = l.image
	n, err := io.CopyBuffer(io.MultiWriter(tw, h, counted(a.count)), struct{ io.Reader }{io.LimitReader(rd, l.size)}, make([]byte, 512<<10))
	if err != nil {
		return fmt.Errorf("read layer %s: %w", b.Digest, err)
	}
	// The reader's own verdict comes with its end.
	if extra, err := io.Copy(io.Discard, io.LimitReader(rd, 1)); err != nil {
		return fmt.Errorf("read layer %s: %w", b.Digest, err)
	} else if n+extra != l.size {
		return fmt.Errorf("layer %s: ends after %d of %d bytes: %w", b.Digest, n+extra, l.size, io.ErrUnexpectedEOF)
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != b.Digest {
		return fmt.Errorf("layer %s of image %s has digest %s: %w", b.Digest, l.image, got, cruntime.ErrCorrupt)
	}
	l.done = true
	return nil
}

func (a *archive) count(n int) {
	a.event.Done += int64(n)
	if a.progress != nil {
		a.progress(a.event)
	}
}

type counted func(n int)

func (c counted) Write(b []byte) (int, error) {
	c(len(b))
	return len(b), nil
}

func writeFile(tw *tar.Writer, name string, data []byte) error {
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := tw.Write(data)
	return err
}
