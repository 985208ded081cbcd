package hosts

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"strconv"
	"strings"
)

// Streams are what a command in a host reads and writes; nil discards, or is empty.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Exec runs a command in the host as root, with a plain environment, and waits for it. The error is an *Error whose Err
// is an *exec.ExitError when the command ran and ended badly.
func (h *Host) Exec(ctx context.Context, s Streams, args ...string) error {
	cmd, err := h.Command(ctx, args...)
	if err != nil {
		return err
	}
	var tail bytes.Buffer
	cmd.Stdin = s.In
	cmd.Stdout = writer(s.Out, &tail)
	cmd.Stderr = writer(s.Err, &tail)
	if err := cmd.Run(); err != nil {
		return &Error{Args: append([]string{h.Name + "#"}, args...), Output: tail.String(), Err: err}
	}
	return nil
}

// Command is the same, not started yet and with no streams. What it starts on the machine is nsenter, whose one child is the command.
func (h *Host) Command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	leader, err := h.Leader()
	if err != nil {
		return nil, err
	}
	// The command belongs to the host, so it goes into the host's groups and dies with them.
	script := `for g in $LAB_GROUPS; do echo $$ > "$g/cgroup.procs" || exit 126; done; exec nsenter "$@"`
	argv := append([]string{
		"-c", script, "sh", "-t", strconv.Itoa(leader), "-a", "-r", "-w", "--",
		"env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb",
	}, args...)
	cmd := exec.CommandContext(ctx, "sh", argv...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LAB_GROUPS=" + strings.Join(h.groups(), " ")}
	return cmd, nil
}

func writer(w io.Writer, tail *bytes.Buffer) io.Writer {
	if w == nil {
		return tail
	}
	return io.MultiWriter(w, tail)
}

// Output runs a command and returns its stdout.
func (h *Host) Output(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	err := h.Exec(ctx, Streams{Out: &out}, args...)
	return out.String(), err
}

// Run runs a command and discards what it says, unless it fails.
func (h *Host) Run(ctx context.Context, args ...string) error {
	return h.Exec(ctx, Streams{}, args...)
}

// ExitCode is the exit code of a command whose error this is: 0 for nil, -1 if it did not run.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}
