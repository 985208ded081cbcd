package main

import (
	"context"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"kubebundle/bundle"
)

// archError says that the bundle, or this program, is for other machines than this one. A foreign program starts all the same where an emulator is
// registered with the kernel, or on a processor that also runs its 32-bit predecessor's programs.
type archError struct{ what, arch, host string }

func (e *archError) Error() string {
	return fmt.Sprintf("%s is for %s and this host is %s", e.what, e.arch, e.host)
}

func (e *archError) Hint() string { return "use the bundle that was built with --arch " + e.host }

// anyHost marks commands that neither change nor ask the host that they run on: they may look at a bundle for other machines.
var anyHost = map[string]string{"anyHost": ""}

// checkProgram refuses to act on a host of another architecture, before anything else.
func (a *app) checkProgram(c *cobra.Command) error {
	if _, ok := c.Annotations["anyHost"]; ok || isBuiltIn(c) {
		return nil
	}
	f, err := a.host.Facts(c.Context())
	if err != nil {
		return err
	}
	if f.Arch != runtime.GOARCH {
		return &archError{what: "this program", arch: runtime.GOARCH, host: f.Arch}
	}
	return nil
}

// isBuiltIn says whether a command is one of cobra's own: help and completion.
func isBuiltIn(c *cobra.Command) bool {
	for ; c != nil; c = c.Parent() {
		switch c.Name() {
		case "help", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd:
			return true
		}
	}
	return false
}

// openOwnBundle opens the bundle, and refuses one for other machines.
func (a *app) openOwnBundle(ctx context.Context) (*bundle.Bundle, error) {
	b, _, err := a.openBundle(ctx)
	if err != nil {
		return nil, err
	}
	f, err := a.host.Facts(ctx)
	if err != nil {
		return nil, err
	}
	if arch := b.Contract().Arch; arch != f.Arch {
		return nil, &archError{what: "the bundle", arch: arch, host: f.Arch}
	}
	return b, nil
}
