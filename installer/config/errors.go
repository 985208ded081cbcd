package config

import "errors"

// ErrUsage is wrapped by every error of this package: what the user gave is not usable, and nothing has been done. Exit code 2.
var ErrUsage = errors.New("usage")

type usageError struct{ err error }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

func (e *usageError) Error() string   { return e.err.Error() }
func (e *usageError) Unwrap() []error { return []error{e.err, ErrUsage} }
