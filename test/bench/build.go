package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kubebundle/bundle"
	"kubebundle/bundle/encoder"
	"kubebundle/test/lab/upstream"
)

// build is the first part: who makes the better file of the same content.
func (b *bench) build(ctx context.Context) error {
	list := []contender{b.opponent(crane, craneRecipe), b.opponent(skopeo, skopeoRecipe)}
	for _, c := range encoder.Compressions() {
		name := ourDefault
		if c != encoder.Default {
			name += " --compression " + string(c)
		}
		run := func(ctx context.Context, _ int) (sample, error) { return b.buildBundle(ctx, c, c == encoder.Default) }
		most := 0
		if c == encoder.Best {
			most = 1 // minutes, nearly all of them in one thread of the encoder
		}
		list = append(list, contender{name: name, most: most, run: run})
	}
	base, err := b.makeBase(ctx)
	if err != nil {
		return fmt.Errorf("the base of the delta: %w", err)
	}
	list = append(list, contender{name: ourDelta, run: func(ctx context.Context, _ int) (sample, error) { return b.buildDelta(ctx, base) }})
	if b.extra, err = b.makeExtra(ctx); err != nil {
		return err
	}
	list = append(list, contender{name: ourMany, run: b.buildMany})
	return contest(ctx, b.log, b.runs, list, b.results)
}

// buildBundle builds a bundle with an empty cache. One that is kept is what the other parts use.
func (b *bench) buildBundle(ctx context.Context, c encoder.Compression, keep bool) (s sample, err error) {
	dir, err := os.MkdirTemp(b.dir, "bundler-")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	argv := b.bundler("--compression", string(c), "--cache-dir", filepath.Join(dir, "cache"), "--output-dir", dir)
	if s, _, err = command(ctx, argv...); err != nil {
		return s, err
	}
	made := filepath.Join(dir, b.folder()+".tar.gz")
	bu, err := bundle.OpenPath(made)
	if err != nil {
		return s, err
	}
	if err := b.sameContent(bu.Contract()); err != nil {
		return s, err
	}
	if s.Size, s.Content, err = sizes(made); err != nil {
		return s, err
	}
	if keep {
		return s, os.Rename(made, b.bundleFile())
	}
	return s, nil
}

// sizes are those of a bundle's file and of the payload in it, in bytes.
func sizes(path string) (file, payload int64, err error) {
	fi, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	bu, err := bundle.OpenPath(path)
	if err != nil {
		return 0, 0, err
	}
	return fi.Size(), bu.Contract().Payload.Size, nil
}

func (b *bench) folder() string { return "k8s-" + b.version + "-linux-" + b.arch }

func (b *bench) bundleFile() string { return filepath.Join(b.dir, b.folder()+".tar.gz") }

// bundler is the command line of a build.
func (b *bench) bundler(more ...string) []string {
	argv := append([]string{b.product.Bundler, "build", "--version", b.version, "--arch", b.arch, "--installer", b.product.Installer}, b.server.Flags()...)
	for _, m := range b.env.Manifests {
		argv = append(argv, "--manifest", m)
	}
	return append(argv, more...)
}

// plannedRefs asks bundler what it would pack, which is what the opponents get.
func (b *bench) plannedRefs(ctx context.Context) ([]string, error) {
	_, out, err := command(ctx, b.bundler("--dry-run", "-o", "json")...)
	if err != nil {
		return nil, err
	}
	var plans []struct {
		Images []struct {
			Ref string `json:"ref"`
		} `json:"images"`
	}
	if err := json.Unmarshal(out, &plans); err != nil {
		return nil, fmt.Errorf("read bundler's plan: %w", err)
	}
	var refs []string
	for _, p := range plans {
		for _, i := range p.Images {
			refs = append(refs, i.Ref)
		}
	}
	return refs, nil
}

// sameContent makes sure that nobody packs less than the others.
func (b *bench) sameContent(c *bundle.Contract) error {
	var refs []string
	for _, i := range c.Images {
		refs = append(refs, i.Ref)
	}
	if !slices.Equal(slices.Sorted(slices.Values(refs)), slices.Sorted(slices.Values(b.refs))) {
		return fmt.Errorf("the bundle holds %s, and the opponents pack %s", strings.Join(refs, " "), strings.Join(b.refs, " "))
	}
	for _, want := range []string{"bin/kubelet", "bin/kubectl", "bin/crictl", "cni/bridge"} {
		if !slices.ContainsFunc(c.Files, func(f bundle.File) bool { return f.Path == want }) {
			return fmt.Errorf("the bundle lacks %s, which the opponents pack", want)
		}
	}
	return nil
}

// only is a release with some of its images.
func only(u *upstream.Upstream, refs []string) *upstream.Upstream {
	v := *u
	v.Images = nil
	for _, i := range u.Images {
		if slices.Contains(refs, i.Ref()) {
			v.Images = append(v.Images, i)
		}
	}
	return &v
}
