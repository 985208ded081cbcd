// Package badbundle: a bundle that was altered or cut off on the way is refused before anything of it is used, and
// the same command works with a good one.
package badbundle

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
)

// Test damages what lies on a host in several ways.
func Test(t *testing.T, s *suite.Suite) {
	h := s.BareHost(t, "bad1", s.Runtime)
	cfg, err := clusters.InitConfig(s.Lab.Machine, s.Version, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile(clusters.ConfigPath, []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := clusters.Forwarding(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(h.Root(), "root", s.Bundle.Folder)
	payload, contract := filepath.Join(folder, "payload.tar.zst"), filepath.Join(folder, "bundle.json")
	cases := []struct {
		name   string
		damage func() (undo func() error, err error)
	}{
		{"a byte of the payload", func() (func() error, error) { return flip(payload) }},
		{"the payload's end is missing", func() (func() error, error) { return truncate(payload) }},
		{"a byte of the contract", func() (func() error, error) { return replace(contract, `"sha256:`, `"sha256:0`) }},
		{"the contract names another format", func() (func() error, error) { return replace(contract, `"format": 1`, `"format": 9`) }},
	}
	for _, c := range cases {
		before, err := h.Snapshot(suite.Volatile...)
		if err != nil {
			t.Fatal(err)
		}
		undo, err := c.damage()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		r := s.Refused(t, h, 4, nil, clusters.InitArgs()...)
		if !strings.Contains(r.Stderr, "error: ") {
			t.Errorf("%s: init says nothing of use: %s", c.name, r.Stderr)
		}
		after, err := h.Snapshot(suite.Volatile...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := before.Diff(after); len(diff) > 0 {
			t.Errorf("%s: something was written:\n%s", c.name, strings.Join(diff, "\n"))
		}
		s.Refused(t, h, 4, nil, "verify")
		if err := undo(); err != nil {
			t.Fatal(err)
		}
	}
	s.MustInstall(t, h, "verify")
}

// flip changes one byte in the middle of a file; to undo it is to do it again.
func flip(path string) (func() error, error) {
	do := func() error {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		fi, err := f.Stat()
		if err != nil {
			return err
		}
		var b [1]byte
		if _, err := f.ReadAt(b[:], fi.Size()/2); err != nil {
			return err
		}
		b[0] ^= 1
		_, err = f.WriteAt(b[:], fi.Size()/2)
		return err
	}
	return do, do()
}

func truncate(path string) (func() error, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	undo := func() error { return os.WriteFile(path, raw, 0o644) }
	return undo, os.Truncate(path, int64(len(raw))*9/10)
}

func replace(path, from, to string) (func() error, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	text := strings.Replace(string(raw), from, to, 1)
	if text == string(raw) {
		return nil, os.ErrNotExist
	}
	undo := func() error { return os.WriteFile(path, raw, 0o644) }
	return undo, os.WriteFile(path, []byte(text), 0o644)
}
