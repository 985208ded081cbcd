//go:build !cgo

package encoder

import (
	"io"

	"kubebundle/bundle"
)

const available = false

func version() string { return "" }

func newFrame(io.Writer, []parameter) (bundle.Frame, error) { return nil, &UnavailableError{} }
