package imagestore

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// membersOf packs data as a gzip file of several members.
func membersOf(t *testing.T, parts ...[]byte) v1.Layer {
	t.Helper()
	var file bytes.Buffer
	for _, p := range parts {
		w := gzip.NewWriter(&file)
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestGuessSize(t *testing.T) {
	reg := newRegistry(t)
	text := entry{name: "etc/x", content: strings.Repeat("compress me ", 1000)}
	plain := tarOf(t, text)
	whole := int64(len(plain))
	for name, tc := range map[string]struct {
		layer v1.Layer
		want  int64
	}{
		"gzip":       {layerOf(t, compression.GZip, text), whole},
		"zstd":       {layerOf(t, compression.ZStd, text), 0},
		"plain":      {layerOf(t, compression.None, text), 0},
		"estargz":    {membersOf(t, plain, nil), 0},
		"odd member": {membersOf(t, plain[:700], plain[700:]), 0},
		"cut in two": {membersOf(t, plain[:1024], plain[1024:]), whole - 1024}, // nobody can see that
	} {
		t.Run(name, func(t *testing.T) {
			ref := reg.push(t, strings.ReplaceAll(name, " ", "-")+":1", imageOf(t, "amd64", v1.Config{}, tc.layer))
			s := newStore(t, Options{})
			l := resolve(t, s, ref, linuxAMD64).Layers[0]
			got, err := s.GuessSize(t.Context(), l) // without Fetch
			if err != nil || got != tc.want {
				t.Errorf("%d, %v, want %d", got, err, tc.want)
			}
			if _, err := readLayer(t, s, l); err != nil {
				t.Errorf("read: %v", err)
			}
		})
	}
	s := newStore(t, Options{})
	unknown := Layer{Blob: Descriptor{Digest: digestPrefix + strings.Repeat("2", 64)}}
	if n, err := s.GuessSize(t.Context(), unknown); err == nil {
		t.Errorf("a blob that nobody has: %d", n)
	}
}
