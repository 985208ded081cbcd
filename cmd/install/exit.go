package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"kubebundle/bundle"
	"kubebundle/bundle/trust"
	"kubebundle/installer"
	"kubebundle/installer/config"
	"kubebundle/installer/phase"
	"kubebundle/release"
)

// The exit codes of all verbs.
const (
	exitOK        = 0
	exitError     = 1
	exitUsage     = 2
	exitPreflight = 3
	exitCorrupt   = 4
	exitPartial   = 5
	exitSignal    = 130
)

const exitCodes = `Exit codes:
  0    done
  1    error; nothing was changed, or all was taken back
  2    the command line or the configuration file is wrong
  3    preflight refused the host; nothing was changed
  4    the bundle is damaged, incomplete or not trusted
  5    stopped half-way; running the same command again goes on
  130  ended by a signal`

// usageError is a command line that cannot be understood.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }
func (e *usageError) Hint() string  { return e.hint }

func usagef(hint, format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...), hint: hint}
}

// exitCode is the one place that says what an error means to the shell. signalled tells that the context ended by a signal.
func exitCode(err error, signalled bool) int {
	var (
		corrupt  *bundle.CorruptError
		format   *bundle.FormatError
		missing  *bundle.MissingImages
		base     *bundle.BaseError
		trusted  *trust.Error
		usage    *usageError
		unknown  *installer.UnknownPhaseError
		noSuch   *installer.UnknownArtefactError
		refused  *phase.PreflightError
		notRoot  *installer.NotRootError
		arch     *archError
		part     *installer.PartialError
		back     *installer.RolledBackError
		versions *release.UpgradeError
		pending  *phase.PendingError
		isSignal = signalled && errors.Is(err, context.Canceled)
	)
	switch {
	case err == nil:
		return exitOK
	case isSignal:
		return exitSignal
	case errors.As(err, &back): // whatever its cause: the node is what it was
		return exitError
	case errors.As(err, &corrupt), errors.As(err, &format), errors.As(err, &missing), errors.As(err, &base), errors.As(err, &trusted), errors.Is(err, errPinned):
		return exitCorrupt
	case errors.As(err, &usage), errors.As(err, &unknown), errors.As(err, &noSuch), errors.Is(err, config.ErrUsage):
		return exitUsage
	case errors.As(err, &part):
		return exitPartial
	case errors.As(err, &refused), errors.As(err, &notRoot), errors.As(err, &arch), errors.As(err, &versions), errors.As(err, &pending):
		return exitPreflight
	default:
		return exitError
	}
}

// report tells a person what went wrong and what to do.
func (a *app) report(err error, signalled bool) {
	text := strings.TrimSpace(err.Error())
	if signalled && errors.Is(err, context.Canceled) {
		text = "interrupted: " + strings.TrimSuffix(strings.TrimSuffix(text, context.Canceled.Error()), ": ")
	}
	if a.output == "json" {
		_ = json.NewEncoder(a.err).Encode(map[string]any{"error": text, "hint": installer.Hint(err), "exitCode": exitCode(err, signalled)}) // see say
		return
	}
	a.say("error: %s\n", text)
	if h := installer.Hint(err); h != "" {
		block := false // from a comment on, the rest is commands to paste: nothing may stand before them
		for line := range strings.Lines(h) {
			if block = block || strings.HasPrefix(line, "#"); block {
				a.say("%s\n", strings.TrimRight(line, "\n"))
				continue
			}
			a.say("hint: %s\n", strings.TrimRight(line, "\n"))
		}
	}
}
