package host

import (
	"fmt"
	"strings"
)

// String is the command as a line that can be pasted into a shell. Standard input is not shown.
func (c Command) String() string {
	words := make([]string, 0, len(c.Env)+1+len(c.Args))
	for _, e := range c.Env {
		k, v, _ := strings.Cut(e, "=")
		words = append(words, k+"="+shellQuote(v))
	}
	words = append(words, shellQuote(c.Name))
	for _, a := range c.Args {
		words = append(words, shellQuote(a))
	}
	return strings.Join(words, " ")
}

const shellSafe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_"

func shellQuote(s string) string {
	if s != "" && strings.Trim(s, shellSafe) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// CommandError is a failed command: a line that can be pasted, and what it printed.
type CommandError struct {
	Command Command
	Output  []byte // standard output and error, the last kilobytes
	Err     error
}

func (e *CommandError) Error() string {
	out := strings.TrimSpace(string(e.Output))
	if out == "" {
		return fmt.Sprintf("run %s: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("run %s: %v: %s", e.Command, e.Err, out)
}

// Unwrap gives the cause: usually an *exec.ExitError.
func (e *CommandError) Unwrap() error { return e.Err }
