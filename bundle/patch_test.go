package bundle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// program makes something like a program: stretches of random bytes with addresses in them, which change when anything moves.
func program(seed uint64, functions int, grown map[int]int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	starts := make([]int, functions)
	var code [][]byte
	at := 0
	for i := range functions {
		b := make([]byte, 64+r.IntN(400))
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		b = append(b, bytes.Repeat([]byte{0x90}, grown[i])...)
		starts[i] = at
		at += len(b)
		code = append(code, b)
	}
	for i, b := range code {
		for at := 20; at+4 < len(b); at += 40 {
			to := r.IntN(functions)
			binary.LittleEndian.PutUint32(b[at:], uint32(starts[to]-starts[i]-at))
		}
	}
	return bytes.Join(code, nil)
}

func TestPatch(t *testing.T) {
	old := program(1, 4000, nil)
	for name, tc := range map[string]struct {
		old, data []byte
		most      int // bytes of the patch
	}{
		"same":          {old, old, 100},
		"grown":         {old, program(1, 4000, map[int]int{7: 16, 1000: 48, 3000: 16}), len(old) / 5},
		"shorter":       {old, old[:len(old)/2], 100},
		"in front":      {old, append([]byte("new words in front"), old...), 200},
		"turned round":  {old, append(bytes.Clone(old[len(old)/2:]), old[:len(old)/2]...), 200},
		"nothing alike": {old, program(2, 100, nil), 1 << 20},
		"from nothing":  {nil, []byte("all new"), 100},
		"to nothing":    {old, nil, 8},
		"tiny":          {[]byte("a"), []byte("b"), 100},
		"zeros":         {make([]byte, 9<<20), make([]byte, 10<<20), 200},
		"many blocks":   {bytes.Repeat(old, 12), bytes.Repeat(old, 12), 400},
	} {
		t.Run(name, func(t *testing.T) {
			p := makePatch(tc.old, tc.data)
			if !bytes.Equal(p, makePatch(tc.old, tc.data)) {
				t.Error("two patches of the same differ")
			}
			if len(p) > tc.most {
				t.Errorf("the patch has %d bytes, want at most %d", len(p), tc.most)
			}
			got, err := applyPatch(tc.old, p, int64(len(tc.data)))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, tc.data) {
				t.Error("the patch yields something else")
			}
			if _, err := applyPatch(tc.old, p[:len(p)-1], int64(len(tc.data))); !errors.Is(err, errPatch) {
				t.Errorf("cut off: %v", err)
			}
			if _, err := applyPatch(tc.old, append(bytes.Clone(p), 0), int64(len(tc.data))); !errors.Is(err, errPatch) {
				t.Errorf("continued: %v", err)
			}
			if _, err := applyPatch(tc.old, p, int64(len(tc.data))+1); !errors.Is(err, errPatch) {
				t.Errorf("for a larger file: %v", err)
			}
		})
	}
}

// BenchmarkPatch makes a patch between two programs, packs it and applies it: OLD and NEW name them, or they are made up.
func BenchmarkPatch(b *testing.B) {
	old, data := program(1, 40_000, nil), program(1, 40_000, map[int]int{7: 16, 1000: 48, 30_000: 16})
	for env, to := range map[string]*[]byte{"OLD": &old, "NEW": &data} {
		if path := os.Getenv(env); path != "" {
			var err error
			if *to, err = os.ReadFile(path); err != nil {
				b.Fatal(err)
			}
		}
	}
	patch := makePatch(old, data)
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("make", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			makePatch(old, data)
		}
		alone := len(enc.EncodeAll(data, nil))
		b.ReportMetric(float64(len(enc.EncodeAll(patch, nil)))/float64(alone), "of-the-program-alone")
	})
	b.Run("apply", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if got, err := applyPatch(old, patch, int64(len(data))); err != nil || !bytes.Equal(got, data) {
				b.Fatalf("yields something else: %v", err)
			}
		}
	})
}

// FuzzPatch proves that no patch makes the reader panic, give more than it was asked for, or hold more than a block.
func FuzzPatch(f *testing.F) {
	old := program(1, 40, nil)
	f.Add(makePatch(old, program(1, 40, map[int]int{7: 16})), 12000)
	f.Add(makePatch(old, old), len(old))
	f.Add(makePatch(nil, []byte("new")), 3)
	f.Add([]byte(patchMagic+"\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00\x00\x00\x00"), 9)
	f.Add([]byte(patchMagic+"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), 9) // no number of 64 bits
	f.Fuzz(func(t *testing.T, patch []byte, size int) {
		if size < 0 || size > 1<<24 {
			return
		}
		r := newPatchReader(old, bytes.NewReader(patch), int64(size))
		n, err := io.Copy(io.Discard, onlyReader{r})
		if n > int64(size) || err == nil && n != int64(size) {
			t.Errorf("%d bytes instead of %d, %v", n, size, err)
		}
		if err != nil && !errors.Is(err, errPatch) {
			t.Errorf("unexpected: %v", err)
		}
		if cap(r.raw) > maxStreams || cap(r.space) > patchBlock {
			t.Errorf("holds %d and %d bytes", cap(r.raw), cap(r.space))
		}
	})
}
