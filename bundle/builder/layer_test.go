package builder_test

import (
	"context"
	"io"
	"testing"

	"kubebundle/bundle/builder"
	"kubebundle/imagestore"
)

// wrongStore changes what the store guesses, and counts how often layers are opened.
type wrongStore struct {
	*imagestore.Store
	change func(n int64) int64
	opened map[string]int
}

func (s *wrongStore) GuessSize(ctx context.Context, l imagestore.Layer) (int64, error) {
	n, err := s.Store.GuessSize(ctx, l)
	return s.change(n), err
}

func (s *wrongStore) Open(ctx context.Context, l imagestore.Layer) (io.ReadCloser, error) {
	s.opened[l.DiffID]++
	return s.Store.Open(ctx, l)
}

// TestGuessedSizes proves that a guess changes how often a layer is unpacked, and nothing else.
func TestGuessedSizes(t *testing.T) {
	e := newEnv(t, "v1.34.4", "amd64")
	want, err := e.build(t)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(n int64) int64
		most   int // times that a layer is opened
	}{
		"right":              {func(n int64) int64 { return n }, 1},
		"unknown":            {func(int64) int64 { return 0 }, 2},
		"a block too long":   {func(n int64) int64 { return n + 512 }, 3},
		"a block too short":  {func(n int64) int64 { return n - 512 }, 3},
		"far too long":       {func(n int64) int64 { return n + 1<<30 }, 3},
		"a byte":             {func(int64) int64 { return 1 }, 3},
		"smaller than block": {func(n int64) int64 { return n - 1 }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := &wrongStore{Store: e.store, change: tc.change, opened: map[string]int{}}
			b := &builder.Builder{Store: s}
			p, err := b.Plan(t.Context(), e.req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := b.Build(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if got.SHA256 != want.SHA256 {
				t.Errorf("digest %s, want %s", got.SHA256, want.SHA256)
			}
			most := 0
			for _, n := range s.opened {
				most = max(most, n)
			}
			if most > tc.most || tc.most == 1 && most != 1 {
				t.Errorf("a layer was opened %d times, want %d at most", most, tc.most)
			}
		})
	}
}
