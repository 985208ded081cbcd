package bundle

import (
	"errors"
	"fmt"
)

// CorruptError says that a bundle is damaged, incomplete, of an unknown format or not what its contract says.
// Programs exit with code 4 when they meet one.
type CorruptError struct {
	Path string // the part that is wrong: "bundle.json", "payload.tar.zst", "layers/sha256/…"
	Why  string
	Err  error // the cause below, if there is one
}

func (e *CorruptError) Error() string {
	if e.Err == nil {
		return e.Path + ": " + e.Why
	}
	return e.Path + ": " + e.Why + ": " + e.Err.Error()
}

func (e *CorruptError) Unwrap() error { return e.Err }

// Hint says what the user can do about it.
func (e *CorruptError) Hint() string {
	var f *FormatError
	if errors.As(e.Err, &f) {
		return "use the programs of the kubebundle release that wrote it (the bundle carries its own `install`)"
	}
	return "copy the bundle again, and compare `sha256sum` of the file with the digest that `bundler build` printed"
}

// FormatError says that a bundle has a format number that this release does not read. It comes inside a CorruptError.
type FormatError struct{ Format int }

func (e *FormatError) Error() string {
	return fmt.Sprintf("format %d is unknown, this release reads formats %d and %d", e.Format, FormatVersion, FormatDelta)
}

func corrupt(path, why string, args ...any) *CorruptError {
	return &CorruptError{Path: path, Why: fmt.Sprintf(why, args...)}
}
