package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kubebundle/bundle/encoder"
)

// importing is the second part: who brings the images into a daemon sooner. Every run has a daemon of its own whose store is empty,
// ends with a sync of the file systems, and counts the daemon's work. Then the same command runs once more.
func (b *bench) importing(ctx context.Context) error {
	dir, err := b.extracted(ctx)
	if err != nil {
		return err
	}
	archive := filepath.Join(b.dir, "images.tar")
	if err := b.writeArchive(archive); err != nil {
		return err
	}
	ctr := filepath.Join(filepath.Dir(b.containerd), "ctr")
	ours := func(d *daemon) []string {
		return []string{filepath.Join(dir, "install"), "images", "load", "--cri-socket", "unix://" + d.socket}
	}
	theirs := func(d *daemon) []string {
		return []string{ctr, "-a", d.socket, "-n", "k8s.io", "images", "import", archive}
	}
	return contest(ctx, b.log, b.runs, []contender{
		{name: ourLoad, run: func(ctx context.Context, _ int) (sample, error) {
			return b.importOnce(ctx, ours, ourLoadAgain, b.indexes)
		}},
		{name: ctrImport, run: func(ctx context.Context, _ int) (sample, error) {
			return b.importOnce(ctx, theirs, ctrAgain, b.manifests)
		}},
	}, b.results)
}

// importOnce imports into a fresh daemon, looks whether all images are there under the right digests, and imports again, for the
// contender of that name.
func (b *bench) importOnce(ctx context.Context, argv func(*daemon) []string, again string, digests map[string]string) (s sample, err error) {
	dir, err := os.MkdirTemp(b.dir, "d")
	if err != nil {
		return s, err
	}
	d, err := startDaemon(ctx, dir, b.containerd)
	if err != nil {
		return s, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\nthe daemon said: %s", err, tail(d.log.Bytes(), 2000))
		}
		err = errors.Join(err, d.stop())
	}()
	if s, err = d.timed(ctx, argv(d)); err != nil {
		return s, err
	}
	if err := d.holds(ctx, filepath.Join(filepath.Dir(b.containerd), "ctr"), digests); err != nil {
		return s, err
	}
	second, err := d.timed(ctx, argv(d))
	b.results[again] = append(b.results[again], second)
	return s, err
}

// timed runs a client of the daemon and a sync, and adds what the daemon has used.
func (d *daemon) timed(ctx context.Context, argv []string) (sample, error) {
	before, err := processCPU(d.cmd.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	s, _, err := command(ctx, argv...)
	if err != nil {
		return s, err
	}
	start := time.Now()
	unix.Sync()
	s.Wall += time.Since(start)
	after, err := processCPU(d.cmd.Process.Pid)
	s.CPU += after - before
	return s, err
}

// holds says whether the daemon has all images under the digests that the registry has them under.
func (d *daemon) holds(ctx context.Context, ctr string, digests map[string]string) error {
	out, err := exec.CommandContext(ctx, ctr, "-a", d.socket, "-n", "k8s.io", "images", "ls").Output()
	if err != nil {
		return err
	}
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 2 {
			found[f[0]] = f[2] // REF TYPE DIGEST
		}
	}
	for ref, want := range digests {
		if found[ref] != want {
			return fmt.Errorf("the daemon has %s as %q, and the registry as %s", ref, found[ref], want)
		}
	}
	return nil
}

// extracted is the bundle as a person unpacks it. It is built if the first part did not.
func (b *bench) extracted(ctx context.Context) (string, error) {
	dir := filepath.Join(b.dir, b.folder())
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := b.needBundle(ctx, encoder.Default); err != nil {
		return "", err
	}
	_, _, err := command(ctx, "tar", "-xzf", b.bundleFile(), "-C", b.dir)
	return dir, err
}

// writeArchive writes the opponents' archive: an OCI archive with layers as the registry has them.
func (b *bench) writeArchive(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(b.env.Upstream.Archive(f, b.arch, b.refs...), f.Close())
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }
