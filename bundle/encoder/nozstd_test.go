//go:build !cgo

package encoder

import (
	"errors"
	"testing"
)

func TestNoEncoder(t *testing.T) {
	var u *UnavailableError
	if _, err := New(Default); !errors.As(err, &u) || u.Hint() == "" {
		t.Errorf("New: %v", err)
	}
	if _, err := New("xz"); errors.As(err, &u) {
		t.Error("a wrong name is the user's mistake first")
	}
}
