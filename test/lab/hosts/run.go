package hosts

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Error is a command that ended badly: enough to paste it, and what it said.
type Error struct {
	Args   []string
	Output string
	Err    error
}

func (e *Error) Error() string {
	out := strings.TrimSpace(e.Output)
	if len(out) > 2000 {
		out = "…" + out[len(out)-2000:]
	}
	return fmt.Sprintf("run %q: %v\n%s", strings.Join(e.Args, " "), e.Err, out)
}

func (e *Error) Unwrap() error { return e.Err }

// run runs a command of the machine and returns what it wrote to stdout.
func run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, all bytes.Buffer
	cmd.Stdout = &tee{&stdout, &all}
	cmd.Stderr = &all
	if err := cmd.Run(); err != nil {
		return stdout.String(), &Error{Args: append([]string{name}, args...), Output: all.String(), Err: err}
	}
	return stdout.String(), nil
}

type tee struct{ a, b *bytes.Buffer }

func (t *tee) Write(p []byte) (int, error) {
	t.a.Write(p)
	return t.b.Write(p)
}
