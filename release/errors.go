package release

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnknownVersion is wrapped by every error that says a version is not in the catalog.
var ErrUnknownVersion = errors.New("unknown Kubernetes version")

// ErrUnknownArch is wrapped by every error that says a version was never published for an arch.
var ErrUnknownArch = errors.New("unknown architecture")

// ErrOption is wrapped by every error that says an option does not fit the version.
var ErrOption = errors.New("option not available")

// VersionError says which version is not known, and what is.
type VersionError struct {
	Version string // as asked for, with v
	Oldest  string // v1.10.0
	Newest  string // newest known patch of the newest known minor
	Reason  string // one clause
	Allow   bool   // Options.AllowUnknown would go on
}

func (e *VersionError) Error() string {
	s := fmt.Sprintf("%v %s: %s; known are %s to %s", ErrUnknownVersion, e.Version, e.Reason, e.Oldest, e.Newest)
	if e.Allow {
		s += " (--allow-unknown-version goes on with the rules of the nearest known version)"
	}
	return s
}

func (e *VersionError) Unwrap() error { return ErrUnknownVersion }

// ArchError says which architecture a version was never published for, and those that it was.
type ArchError struct {
	Version string
	Arch    Arch
	Has     []Arch
	Last    string // the last minor that had it: "v1.26"; "" if none did
}

func (e *ArchError) Error() string {
	has := make([]string, len(e.Has))
	for i, a := range e.Has {
		has[i] = string(a)
	}
	s := fmt.Sprintf("%v %q: Kubernetes %s was published for %s", ErrUnknownArch, string(e.Arch), e.Version, strings.Join(has, ", "))
	if e.Last != "" {
		s += fmt.Sprintf(" (%s was the last minor for %s)", e.Last, e.Arch)
	}
	return s
}

func (e *ArchError) Unwrap() error { return ErrUnknownArch }
