package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"kubebundle/bundle/encoder"
)

// What a large bundle is made of: as many images as this, the ones that everybody packs included. Each of the others has
// a layer that it shares with nobody and that nothing can compress.
const (
	manyImages = 64
	extraBytes = 4 << 20
)

// buildMany builds a bundle of many images, to see whether memory grows with their number.
func (b *bench) buildMany(ctx context.Context, _ int) (s sample, err error) {
	dir, err := os.MkdirTemp(b.dir, "many-")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	argv := b.bundler("--compression", string(encoder.Fast), "--cache-dir", filepath.Join(dir, "cache"), "--output-dir", dir)
	for _, ref := range b.extra {
		argv = append(argv, "--image", ref)
	}
	s, _, err = command(ctx, argv...)
	return s, err
}

// makeExtra fills a registry of its own on loopback.
func (b *bench) makeExtra(ctx context.Context) (refs []string, err error) {
	dir, err := os.MkdirTemp(b.dir, "registry-")
	if err != nil {
		return nil, err
	}
	b.extraServer = httptest.NewServer(registry.New(
		registry.WithBlobHandler(registry.NewDiskBlobHandler(dir)), registry.Logger(log.New(io.Discard, "", 0))))
	host := strings.TrimPrefix(b.extraServer.URL, "http://")
	for i := len(b.refs); i < manyImages; i++ {
		ref := fmt.Sprintf("%s/extra/%02d:v1", host, i)
		tag, err := name.NewTag(ref, name.Insecure)
		if err != nil {
			return nil, err
		}
		img, err := random.Image(extraBytes, 1)
		if err != nil {
			return nil, err
		}
		config, err := img.ConfigFile()
		if err != nil {
			return nil, err
		}
		config = config.DeepCopy()
		config.OS, config.Architecture = "linux", b.arch
		if img, err = mutate.ConfigFile(img, config); err != nil {
			return nil, err
		}
		if err := remote.Write(tag, img, remote.WithContext(ctx)); err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}
