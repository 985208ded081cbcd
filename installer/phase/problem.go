package phase

import (
	"fmt"
	"slices"
	"strings"
)

// Level says how bad a problem is.
type Level string

// The levels: an error refuses the installation unless it is ignored by name, the others only tell.
const (
	LevelError   Level = "error"
	LevelWarning Level = "warning"
)

// Problem is one thing that preflight found.
type Problem struct {
	Check   string `json:"check"` // kubeadm's name of the check where it has one: "Swap", "Port-6443"
	Level   Level  `json:"level"`
	Message string `json:"message"`
	// Fix are shell commands, one per line, that take the problem away now; "" where no command can.
	Fix string `json:"fix,omitempty"`
	// Persist are shell commands that keep it away after a reboot: what the site's own configuration should hold.
	Persist string `json:"persist,omitempty"`
	// Advice is what to do where no command can.
	Advice string `json:"advice,omitempty"`
	// Ignored says that it is an error which the user chose to ignore.
	Ignored bool `json:"ignored,omitempty"`
}

func (p Problem) String() string {
	out := fmt.Sprintf("[%s] %s", p.Check, p.Message)
	if p.Advice != "" {
		out += "; " + p.Advice
	}
	return out
}

// PreflightError is a host that cannot take the installation as it is. Problems holds everything that was found, warnings too.
type PreflightError struct {
	Problems []Problem
}

// Errors are the problems that refuse.
func (e *PreflightError) Errors() []Problem { return refusing(e.Problems) }

// refusing are the errors that nobody ignores.
func refusing(in []Problem) []Problem {
	var out []Problem
	for _, p := range in {
		if p.Level == LevelError && !p.Ignored {
			out = append(out, p)
		}
	}
	return out
}

func (e *PreflightError) Error() string {
	errs := e.Errors()
	noun := "problems"
	if len(errs) == 1 {
		noun = "problem"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "preflight: %d %s", len(errs), noun)
	for _, p := range errs {
		b.WriteString("\n  " + p.String())
	}
	return b.String()
}

// Hint is one block that can be pasted into a root shell.
func (e *PreflightError) Hint() string { return Remedy(e.Problems) }

// Remedy collects the commands that fix problems, warnings too, into one block to paste into a root shell; "" where there is none.
// Commands that more than one problem names stand there once.
func Remedy(problems []Problem) string {
	var fix, persist []string
	add := func(to *[]string, lines string) {
		for line := range strings.SplitSeq(lines, "\n") {
			if line != "" && !slices.Contains(*to, line) {
				*to = append(*to, line)
			}
		}
	}
	for _, p := range problems {
		add(&fix, p.Fix)
		add(&persist, p.Persist)
	}
	var b strings.Builder
	if len(fix) > 0 {
		b.WriteString("# what fixes it now (paste into a root shell):\n" + strings.Join(fix, "\n"))
	}
	if len(persist) > 0 {
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		b.WriteString("# what keeps it so after a reboot:\n" + strings.Join(persist, "\n"))
	}
	return b.String()
}

// applyIgnores marks the errors that are in the list (lower case, "all" for all) as ignored.
func applyIgnores(problems []Problem, ignore []string) {
	for i, p := range problems {
		if p.Level != LevelError {
			continue
		}
		problems[i].Ignored = slices.ContainsFunc(ignore, func(s string) bool {
			return strings.EqualFold(s, "all") || strings.EqualFold(s, p.Check)
		})
	}
}
