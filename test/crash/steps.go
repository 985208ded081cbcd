package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"kubebundle/installer"
	"kubebundle/test/lab/hosts"
)

// stepID is a step of a workflow on whatever host: what it says with the host's name and address and with sizes taken out, and
// the how manieth of those that say the same in its phase it is.
type stepID struct {
	Phase, Step string
	N           int
}

func (s stepID) String() string {
	if s.N > 1 {
		return fmt.Sprintf("%s: %s (%d)", s.Phase, s.Step, s.N)
	}
	return s.Phase + ": " + s.Step
}

// moment is where a run is killed.
type moment struct {
	step stepID
	at   string
}

const (
	before = "before"
	during = "during" // only of steps that take long: somewhere in it
	after  = "after"
)

func (m moment) String() string { return m.at + " " + m.step.String() }

// tokens are made by chance.
var tokens = regexp.MustCompile(`\bbootstrap token [a-z0-9]{6}\b`)

// sizes vary with what certificates, addresses and names are made of.
var sizes = regexp.MustCompile(`\b\d+(\.\d+)? [kMG]?B\b`)

// anywhere makes texts of different hosts comparable.
func anywhere(h *hosts.Host, text string) string {
	text = regexp.MustCompile(`\b`+regexp.QuoteMeta(h.Name)+`\b`).ReplaceAllString(text, "NODE")
	return strings.ReplaceAll(text, h.IP.String(), "ADDRESS")
}

func of(h *hosts.Host) func(text string) string {
	return func(text string) string { return anywhere(h, text) }
}

// events understands what one run says.
type events struct {
	anywhere func(text string) string // makes texts of different hosts comparable
	n        map[stepID]int
}

// step returns the step that a line is about and what is said of it, or false if it is about something else.
func (e *events) step(line []byte) (stepID, installer.Event, bool) {
	var ev installer.Event
	if err := json.Unmarshal(line, &ev); err != nil || ev.Step == "" {
		return stepID{}, ev, false
	}
	id := stepID{Phase: ev.Phase, Step: tokens.ReplaceAllString(sizes.ReplaceAllString(e.anywhere(ev.Step), "SIZE"), "bootstrap token ID")}
	if ev.State == installer.Running || ev.State == installer.Satisfied || ev.State == installer.Planned {
		if e.n == nil {
			e.n = map[stepID]int{}
		}
		e.n[id]++
	}
	n := e.n[id]
	id.N = n
	return id, ev, true
}

// known are the steps of a workflow, in order, and how long each took.
type known struct {
	steps []stepID
	took  map[stepID]time.Duration
}

// saidIn are the steps of which a run says something.
func saidIn(output string, what installer.EventState, anywhere func(text string) string) known {
	e := events{anywhere: anywhere}
	k := known{took: map[stepID]time.Duration{}}
	for line := range bytes.Lines([]byte(output)) {
		if id, ev, ok := e.step(line); ok && ev.State == what {
			k.steps, k.took[id] = append(k.steps, id), ev.Elapsed
		}
	}
	return k
}

// applied are the steps that an undisturbed run has applied.
func applied(h *hosts.Host, stderr string) known { return saidIn(stderr, installer.Done, of(h)) }

// planned are the steps that a dry run would apply.
func planned(h *hosts.Host, stdout string) known { return saidIn(stdout, installer.Planned, of(h)) }
