package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"kubebundle/bundle"
	"kubebundle/bundle/trust"
	"kubebundle/imagestore"
	"kubebundle/release"
)

// The exit codes of all verbs. 3 and 5 belong to `install`.
const (
	exitOK      = 0
	exitError   = 1
	exitUsage   = 2
	exitCorrupt = 4
	exitSignal  = 130
)

const exitCodes = `Exit codes:
  0    done
  1    error; no output was written
  2    the command line is wrong: unknown flag, version, architecture or option
  4    the bundle is damaged, incomplete, of an unknown format or not trusted, or a delta's base is another
  130  ended by a signal; no output was written`

// usageError is a command line that cannot be understood.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }
func (e *usageError) Hint() string  { return e.hint }

// usageHint makes a usageError that leads to the command's help.
func usageHint(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...), hint: "see `" + cmd.CommandPath() + " --help`"}
}

// exitCode is the one place that says what an error means to the shell. signalled tells that the context ended by a signal.
func exitCode(err error, signalled bool) int {
	var (
		corrupt *bundle.CorruptError
		missing *bundle.MissingImages
		base    *bundle.BaseError
		trusted *trust.Error
		usage   *usageError
	)
	switch {
	case err == nil:
		return exitOK
	case signalled && errors.Is(err, context.Canceled):
		return exitSignal
	case errors.As(err, &corrupt), errors.As(err, &missing), errors.As(err, &base), errors.As(err, &trusted):
		return exitCorrupt
	case errors.As(err, &usage), errors.Is(err, release.ErrUnknownVersion), errors.Is(err, release.ErrUnknownArch), errors.Is(err, release.ErrOption):
		return exitUsage
	}
	return exitError
}

// report tells a person what went wrong and what to do.
func (a *app) report(err error, code int) {
	if errors.Is(err, errDiffer) {
		return // what differs was printed
	}
	text := strings.TrimSpace(err.Error())
	if code == exitSignal {
		text = "ended by a signal; no output was written"
	}
	fmt.Fprintf(a.err, "error: %s\n", text)
	if h := hint(err); h != "" {
		for line := range strings.Lines(h) {
			fmt.Fprintf(a.err, "hint: %s\n", strings.TrimRight(line, "\n"))
		}
	}
}

// hint finds what the user can do: what the error itself says, or what follows from its kind.
func hint(err error) string {
	var hinter interface{ Hint() string }
	if errors.As(err, &hinter) {
		return hinter.Hint()
	}
	switch {
	case errors.Is(err, context.Canceled):
		return "what was downloaded stays in the cache; the same command goes on from there"
	case errors.Is(err, imagestore.ErrUnreachable):
		return "is there a network, a proxy (HTTPS_PROXY) or a mirror (--registry-mirror FROM=TO, --binary-mirror URL)?\n" +
			"what was downloaded stays in the cache; the same command goes on from there"
	case errors.Is(err, imagestore.ErrDigest):
		return "a mirror or a proxy on the way gives other content than was published; nothing of it was kept"
	case errors.Is(err, imagestore.ErrNoChecksum):
		return "publish one of them beside the file, copied from where the file comes from; a download that nothing proves is never packed"
	case errors.Is(err, imagestore.ErrPlatform):
		return "build for an architecture that the image has, or name another tag or image; a mirror may hold one architecture of several"
	case errors.Is(err, imagestore.ErrNotFound):
		return "check the version, the image names and what the mirror holds; `bundler images list` names what is asked for"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return "make room, or use another place: --output-dir DIR, --cache-dir DIR"
	}
	return ""
}
