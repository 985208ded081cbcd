package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"kubebundle/bundle/encoder"
	"kubebundle/release"
	"kubebundle/test/lab/upstream"
)

// patchBefore is the version before one, which the lab must be able to build: the base of the delta.
func patchBefore(version string) (string, error) {
	v, err := release.Parse(version)
	if err != nil {
		return "", err
	}
	if v.Patch() == 0 {
		return "", fmt.Errorf("%s is the first of its minor: there is no patch before it to make a delta from", version)
	}
	return fmt.Sprintf("v%d.%d.%d", v.Major(), v.Minor(), v.Patch()-1), nil
}

// makeBase builds the bundle that a site has: of the patch before, by the same programs.
func (b *bench) makeBase(ctx context.Context) (path string, err error) {
	before, err := patchBefore(b.version)
	if err != nil {
		return "", err
	}
	u, err := upstream.Prepare(ctx, b.env.Builder, before)
	if err != nil {
		return "", err
	}
	server, err := upstream.Serve(ctx, nil, u)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	old := *b
	old.version, old.server = before, server
	path = filepath.Join(b.dir, "base.tar.gz")
	_, _, err = command(ctx, old.bundler("--cache-dir", filepath.Join(b.dir, "base-cache"), "--output-file", path)...)
	return path, errors.Join(err, os.RemoveAll(filepath.Join(b.dir, "base-cache")))
}

// buildDelta builds, with an empty cache, what the base lacks.
func (b *bench) buildDelta(ctx context.Context, base string) (s sample, err error) {
	dir, err := os.MkdirTemp(b.dir, "delta-")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	out := filepath.Join(dir, "delta.tar.gz")
	argv := b.bundler("--compression", string(encoder.Default), "--cache-dir", filepath.Join(dir, "cache"), "--output-file", out, "--base", base)
	if s, _, err = command(ctx, argv...); err != nil {
		return s, err
	}
	// What is small because it lacks something would be no merit.
	if _, _, err := command(ctx, b.product.Bundler, "verify", out, "--base", base); err != nil {
		return s, err
	}
	if s.Size, s.Content, err = sizes(out); err != nil {
		return s, err
	}
	return s, nil
}
