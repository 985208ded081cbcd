package containerd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand"
	"testing"
	"testing/iotest"

	"golang.org/x/sync/errgroup"

	cruntime "kubebundle/runtime"
)

func noise(n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(b)
	return b
}

// All feeds see all bytes, whatever their pace, for layers smaller and larger than the stock of chunks.
func TestPumpFansOut(t *testing.T) {
	p := newPump()
	for _, size := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, chunks*chunkSize + 12345} {
		data := noise(size)
		g, ctx := errgroup.WithContext(t.Context())
		var feeds []*feed
		for i := range 3 {
			f := p.feed(ctx)
			feeds = append(feeds, f)
			g.Go(func() error {
				var got []byte
				var err error
				switch i {
				case 0: // io.WriterTo
					h := sha256.New()
					_, err = io.Copy(h, f)
					if want := sha256.Sum256(data); !bytes.Equal(h.Sum(nil), want[:]) {
						t.Error("wrong hash")
					}
					return err
				case 1: // small reads, then the rest at once
					got = make([]byte, min(10, size))
					if _, err = io.ReadFull(iotest.OneByteReader(f), got); err == nil {
						var rest bytes.Buffer
						_, err = io.Copy(&rest, f)
						got = append(got, rest.Bytes()...)
					}
				default:
					got, err = io.ReadAll(f)
				}
				if !bytes.Equal(got, data) {
					t.Errorf("feed %d: %d bytes differ from %d", i, len(got), len(data))
				}
				return err
			})
		}
		var read int64
		if err := p.run(ctx, iotest.HalfReader(bytes.NewReader(data)), int64(size), feeds, func(n int64) { read += n }); err != nil {
			t.Error(err)
		}
		if err := g.Wait(); err != nil || read != int64(size) {
			t.Errorf("%d of %d bytes, %v", read, size, err)
		}
		if len(p.free) != chunks {
			t.Errorf("%d of %d chunks came back", len(p.free), chunks)
		}
	}
}

// A feed must never see a clean end of content that was not complete.
func TestPumpErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		r    io.Reader
		want error
	}{
		"too short":         {bytes.NewReader(noise(99)), io.ErrUnexpectedEOF},
		"too long":          {bytes.NewReader(noise(101)), cruntime.ErrCorrupt},
		"broken":            {io.MultiReader(bytes.NewReader(noise(50)), iotest.ErrReader(broken)), broken},
		"broken at the end": {io.MultiReader(bytes.NewReader(noise(100)), iotest.ErrReader(broken)), broken},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPump()
			ctx, cancel := context.WithCancelCause(t.Context())
			f := p.feed(ctx)
			done := make(chan error, 1)
			go func() {
				_, err := io.Copy(io.Discard, f)
				done <- err
			}()
			err := p.run(ctx, tc.r, 100, []*feed{f}, func(int64) {})
			if !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			cancel(err)
			if got := <-done; !errors.Is(got, tc.want) {
				t.Errorf("the feed ended with %v", got)
			}
		})
	}
}
