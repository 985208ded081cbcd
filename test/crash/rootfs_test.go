package crash

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kubebundle/installer"
)

// imageArgs prepare an image of a control plane.
func imageArgs(tree string) []string {
	return []string{"init", "--rootfs", tree, "--node-name", "image1", "--apiserver-advertise-address", "10.9.8.7", "--pod-network-cidr", "10.244.0.0/16"}
}

// rootfs: an image is prepared for a machine that does not run. It needs no host, only install and a bundle, so it shows in seconds what the chains on hosts show in minutes.
func rootfs(t *testing.T, install, bundle string) {
	calm, victim := image(t), image(t)
	at := place{root: victim, anywhere: func(text string) string { return text }, install: func(ctx context.Context, args ...string) (*exec.Cmd, error) {
		return exec.CommandContext(ctx, install, append([]string{"--bundle", bundle}, args...)...), nil
	}}
	undisturbed, err := at.install(t.Context(), append(imageArgs(calm), "-o", "json")...)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	undisturbed.Stderr = &stderr
	if err := undisturbed.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	c := &chain{place: at, args: imageArgs(victim), tear: true}
	c.run(t, saidIn(stderr.String(), installer.Done, at.anywhere))
	same(t, "the image", tree(t, calm), tree(t, victim))
}

// image is a tree with what an image has at least.
func image(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"etc", "usr/bin", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tree describes every file of an image but the journal: that is compared by what reset would take back.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		name := "file " + strings.TrimPrefix(p, dir)
		switch {
		case strings.HasSuffix(p, installer.JournalPath):
		case fi.Mode().IsRegular():
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			if len(data) > 1<<20 {
				out[name] = fmt.Sprint(fi.Mode(), len(data))
				break
			}
			out[name] = fi.Mode().String() + "\n" + textShape(func(s string) string { return s }, string(data))
		case fi.Mode()&fs.ModeSymlink != 0:
			out[name], err = os.Readlink(p)
			return err
		default:
			out[name] = fi.Mode().String()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
