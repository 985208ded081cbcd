package bundletest

import (
	"io"

	"github.com/klauspost/compress/zstd"

	"kubebundle/bundle"
)

// Encoder is a bundle.Encoder in Go, quick and with a window as long as the real one's, so that tests need no C compiler.
type Encoder struct{}

// Name says that no bundler wrote this.
func (Encoder) Name() string { return "test" }

// Encode starts a frame.
func (Encoder) Encode(w io.Writer) (bundle.Frame, error) {
	z, err := zstd.NewWriter(w, zstd.WithWindowSize(bundle.MaxWindow), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return frame{z}, nil
}

type frame struct{ *zstd.Encoder }

func (f frame) Abort() { f.Reset(nil) }
