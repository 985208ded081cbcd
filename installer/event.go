package installer

import "time"

// EventState says what happened to a step or a phase.
type EventState string

// The states of events. A phase is running, then done, skipped (by the user) or failed. A step is planned (dry run), deferred (until
// the machine runs), satisfied (its
// effect was there), running, done or failed.
const (
	Planned   EventState = "planned"
	Deferred  EventState = "deferred"
	Skipped   EventState = "skipped"
	Satisfied EventState = "satisfied"
	Running   EventState = "running"
	Progress  EventState = "progress"
	Done      EventState = "done"
	Failed    EventState = "failed"
)

// Event is one thing that happened. Its JSON form is what `-o json` prints, one per line.
type Event struct {
	Phase string     `json:"phase"`
	Step  string     `json:"step,omitempty"` // empty for an event of the phase itself
	State EventState `json:"state"`
	Error string     `json:"error,omitempty"`
	// Elapsed is set where something ended.
	Elapsed time.Duration `json:"elapsedNanoseconds,omitempty"`
	// Done, Total and What tell progress inside a running step: bytes, pieces or nanoseconds of waiting. In an
	// event of a phase, What alone tells what its plan waits for.
	Done  int64  `json:"done,omitempty"`
	Total int64  `json:"total,omitempty"`
	What  string `json:"what,omitempty"`
	// Changed and Steps are set where a phase ended: how many of its steps were needed.
	Changed int `json:"changed,omitempty"`
	Steps   int `json:"steps,omitempty"`
}

// Summary counts what a run did.
type Summary struct {
	Phases  int // that were run, not skipped
	Steps   int // that can change something
	Changed int // that were applied; in a dry run, that would be
	Elapsed time.Duration
	Later   []Deferral // what is left for when the machine runs
}

// Deferral is a step that only the running machine can take.
type Deferral struct {
	Phase string `json:"phase"`
	Step  string `json:"step"`
}
