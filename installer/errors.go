package installer

import (
	"errors"
	"fmt"
	"strings"
)

// PartialError says that a workflow stopped after it had begun to change the node. Running it again goes on from there.
type PartialError struct {
	Workflow string // init, join, reset
	Phase    string
	Step     string // "" if the phase could not be planned
	Err      error
}

func (e *PartialError) Error() string {
	if e.Step == "" {
		return fmt.Sprintf("%s: phase %s: %v", e.Workflow, e.Phase, e.Err)
	}
	return fmt.Sprintf("%s: phase %s: %s: %v", e.Workflow, e.Phase, e.Step, e.Err)
}

// Unwrap gives the cause.
func (e *PartialError) Unwrap() error { return e.Err }

// Hint adds how to go on to what the cause says.
func (e *PartialError) Hint() string {
	hint := "remove the cause and run the same command again: what is done is not done twice; or take all back with `install reset`"
	if e.Workflow == "reset" {
		hint = "remove the cause and run reset again"
	}
	if h := Hint(e.Err); h != "" {
		hint = h + "\n" + hint
	}
	return hint
}

// Hint finds what an error suggests to do, "" if it suggests nothing.
func Hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// UnknownPhaseError is about a name in --skip-phases or `phase` that is none of the workflow's.
type UnknownPhaseError struct {
	Name  string
	Known []string
}

func (e *UnknownPhaseError) Error() string {
	return fmt.Sprintf("phase %q: there is no such phase", e.Name)
}

// Hint lists the phases.
func (e *UnknownPhaseError) Hint() string { return "phases: " + strings.Join(e.Known, " ") }
