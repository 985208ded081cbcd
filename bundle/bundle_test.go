package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/bundle"
	"kubebundle/bundle/bundletest"
)

func TestRoundTrip(t *testing.T) {
	m := bundletest.Small()
	archive := m.Write(t, t.TempDir())
	dir := bundletest.Unpack(t, archive, t.TempDir())
	for name, open := range map[string]func() (*bundle.Bundle, error){
		"archive": func() (*bundle.Bundle, error) { return bundle.OpenPath(archive) },
		"folder":  func() (*bundle.Bundle, error) { return bundle.OpenPath(dir) },
	} {
		t.Run(name, func(t *testing.T) {
			b, err := open()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&m.Contract, b.Contract()); diff != "" {
				t.Errorf("contract (-written +read):\n%s", diff)
			}
			if err := b.Verify(t.Context()); err != nil {
				t.Errorf("Verify: %v", err)
			}
			want := []string{
				"file cni/bridge", "file bin/kubelet", "file manifests/01-net.yml",
				"blob", "blob", "blob", "blob", "blob", "blob", "blob", "blob", "blob",
				"layer", "layer", "layer", "layer", "layer",
			}
			if diff := cmp.Diff(want, kinds(t, b)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func kinds(t *testing.T, b *bundle.Bundle) []string {
	t.Helper()
	p, err := b.Payload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close() //nolint:errcheck // only read
	var got []string
	for {
		e, err := p.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		s := string(e.Kind)
		if e.File != nil {
			s += " " + e.File.Path
		}
		got = append(got, s)
	}
}

func TestReadFilesAndFile(t *testing.T) {
	b, err := bundle.Open(bundletest.Small().WriteDir(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.ReadFiles(t.Context(), "manifests/01-net.yml", "cni/bridge")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"manifests/01-net.yml": []byte("kind: List\napiVersion: v1\nitems: []\n"), "cni/bridge": []byte("bridge program\n")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ReadFiles (-want +got):\n%s", diff)
	}
	if _, err := b.ReadFiles(t.Context(), "bin/absent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadFiles of an absent file: %v", err)
	}
	if f, ok := b.File("bin/kubelet"); !ok || f.Mode != 0o755 {
		t.Errorf("File(bin/kubelet) = %+v, %v", f, ok)
	}
	layer := b.Contract().Images[0].Layers[0].DiffID
	if _, ok := b.File("layers/sha256/" + strings.TrimPrefix(layer, "sha256:")); ok {
		t.Error("File found a layer")
	}
}

// TestOldTar unpacks with the system's tar and checks with its sha256sum, as a user does.
func TestOldTar(t *testing.T) {
	archive := bundletest.Small().Write(t, t.TempDir())
	dir := t.TempDir()
	var stderr bytes.Buffer
	c := exec.CommandContext(t.Context(), "tar", "-C", dir, "-xzf", archive)
	c.Stderr = &stderr
	if err := c.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("tar: %v\n%s", err, stderr.String())
	}
	top := filepath.Join(dir, "k8s-v1.34.4-linux-amd64")
	c = exec.CommandContext(t.Context(), "sha256sum", "-c", "SHA256SUMS")
	c.Dir = top
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("sha256sum -c: %v\n%s", err, out)
	}
	if st, err := os.Stat(filepath.Join(top, "install")); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("install: %v, %v", st, err)
	}
	b, err := bundle.Open(top)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSameBytes(t *testing.T) {
	var files [][]byte
	for range 2 {
		data, err := os.ReadFile(bundletest.Small().Write(t, t.TempDir()))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, data)
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two writes of one content differ")
	}
}

func TestCancelledPass(t *testing.T) {
	b, err := bundle.Open(bundletest.Small().WriteDir(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var c *bundle.CorruptError
	if err := b.Verify(ctx); !errors.Is(err, context.Canceled) || errors.As(err, &c) {
		t.Errorf("Verify under a cancelled context: %v", err)
	}
}

func TestVerifyComplete(t *testing.T) {
	c := &bundletest.Small().Contract
	ok := []bundle.Need{{Ref: "registry.k8s.io/pause:3.10.1", By: "the kubelet"}}
	if err := c.VerifyComplete(ok); err != nil {
		t.Error(err)
	}
	m := bundletest.New("amd64")
	m.Image("docker.io/library/nginx:latest", "", bundletest.Layer("a", "a"))
	if err := m.Contract.VerifyComplete([]bundle.Need{{Ref: "nginx", By: "a pod"}}); err != nil {
		t.Errorf("another spelling: %v", err)
	}
	err := c.VerifyComplete(append(ok, bundle.Need{Ref: "flannel/flannel:v0.26.7", By: "manifests/01-net.yml:7"}))
	var missing *bundle.MissingImages
	if !errors.As(err, &missing) || len(missing.Needs) != 1 || !strings.Contains(err.Error(), "manifests/01-net.yml:7") {
		t.Errorf("VerifyComplete = %v", err)
	}
}

func TestCheckPayload(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"whole":     func(b []byte) []byte { return b },
		"flipped":   func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut off":   func(b []byte) []byte { return b[:len(b)-1] },
		"continued": func(b []byte) []byte { return append(b, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := bundletest.Small().WriteDir(t, t.TempDir())
			b, err := bundle.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, bundle.PayloadName)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(data), 0o600); err != nil {
				t.Fatal(err)
			}
			err = b.CheckPayload(t.Context())
			var corrupt *bundle.CorruptError
			if name == "whole" {
				if err != nil {
					t.Fatalf("a whole payload: %v", err)
				}
			} else if !errors.As(err, &corrupt) || corrupt.Path != bundle.PayloadName {
				t.Fatalf("got %v, want a CorruptError about the payload", err)
			}
		})
	}
}
