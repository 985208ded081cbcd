package encoder

import (
	"fmt"
	"io"
	"slices"

	"kubebundle/bundle"
)

// Compression chooses how much time the encoder takes.
type Compression string

// The compressions.
const (
	Fast    Compression = "fast"
	Default Compression = "default"
	Best    Compression = "best"
)

// Compressions lists the valid values, fastest first.
func Compressions() []Compression { return []Compression{Fast, Default, Best} }

// Encoder is a libzstd with the parameters of a Compression.
type Encoder struct{ compression Compression }

// New gives the encoder of a compression; "" is Default.
func New(c Compression) (*Encoder, error) {
	if c == "" {
		c = Default
	}
	if !slices.Contains(Compressions(), c) {
		return nil, fmt.Errorf("unknown compression %q (known: %v)", c, Compressions())
	}
	if !available {
		return nil, &UnavailableError{}
	}
	return &Encoder{compression: c}, nil
}

// Name says what encodes: "libzstd 1.5.7 default". Equal names mean equal bytes for equal inputs.
func (e *Encoder) Name() string { return "libzstd " + version() + " " + string(e.compression) }

// Encode starts a frame.
func (e *Encoder) Encode(w io.Writer) (bundle.Frame, error) {
	return newFrame(w, parameters(e.compression))
}

var _ bundle.Encoder = (*Encoder)(nil)

// UnavailableError says that the program was built without cgo.
type UnavailableError struct{}

func (*UnavailableError) Error() string {
	return "this program has no zstd encoder, because it was built without cgo"
}

// Hint says how to build one that has it.
func (*UnavailableError) Hint() string {
	return "build it with `make build` on a machine with a C compiler (Debian: apt-get install gcc libc6-dev)"
}
