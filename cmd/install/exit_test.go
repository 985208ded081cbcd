package main

import (
	"fmt"
	"testing"

	"kubebundle/bundle"
	"kubebundle/installer"
)

// A bundle that cannot be trusted to be whole has one exit code, whether it comes to light before or after the first change.
func TestExitCodeOfBadBundle(t *testing.T) {
	for _, err := range []error{&bundle.CorruptError{}, &bundle.FormatError{}, &bundle.MissingImages{}} {
		if got := exitCode(fmt.Errorf("open: %w", err), false); got != exitCorrupt {
			t.Errorf("%T: exit code %d", err, got)
		}
		if got := exitCode(&installer.PartialError{Err: err}, false); got != exitCorrupt {
			t.Errorf("%T after changes: exit code %d", err, got)
		}
	}
}
