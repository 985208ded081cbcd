package installer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// Dir is the installer's own folder on a node, JournalPath the journal in it.
const (
	Dir         = "/var/lib/kubebundle"
	JournalPath = Dir + "/journal"
)

// tending says by its name whether a workflow tends a node and does not make one.
func tending(workflow string) bool {
	return strings.HasPrefix(workflow, "certs ") || strings.HasPrefix(workflow, "etcd ")
}

// Line is one line of the journal.
type Line struct {
	Time     time.Time `json:"time"`
	Workflow string    `json:"workflow,omitempty"` // with begin: init, join
	Version  string    `json:"version,omitempty"`  // with begin: of Kubernetes
	Bundle   string    `json:"bundle,omitempty"`   // with begin: where it was, which is where the base of a delta may be
	Phase    string    `json:"phase,omitempty"`
	Step     string    `json:"step,omitempty"` // what Step.String said
	State    LineState `json:"state"`
	// Undo is with intent: what the step is about to change, as it was before the installer first changed it.
	Undo []step.Record `json:"undo,omitempty"`
}

// LineState says what a line tells.
type LineState string

// The states of lines: a run begins and ends; a step is about to be applied, was applied, or failed (the error is not kept: it may
// quote what a command printed).
const (
	LineBegin  LineState = "begin"
	LineIntent LineState = "intent"
	LineDone   LineState = "done"
	LineFailed LineState = "failed"
	LineEnd    LineState = "end"
)

// JournalError says which line of the journal cannot be read.
type JournalError struct {
	Line int // from 1
	Err  error
}

func (e *JournalError) Error() string {
	return fmt.Sprintf("read %s: line %d: %v", JournalPath, e.Line, e.Err)
}

// Unwrap gives the cause.
func (e *JournalError) Unwrap() error { return e.Err }

// Hint says how to go on.
func (e *JournalError) Hint() string {
	return "the journal was damaged after it was written; `install reset` takes back what can be read and sweeps the rest"
}

// Journal is what was done to a node, and where it is written down.
type Journal struct {
	h     host.Host
	lines []Line
	known map[string]bool // keys of records
	ready bool            // the folder is there and the file ends with a whole line
	torn  bool
	// damaged says that a line in the middle cannot be read, so that not everything is known.
	damaged bool
	now     func() time.Time
}

// OpenJournal reads the journal of a host; there may be none. It changes nothing. If lines are damaged, the rest is returned with an
// error that joins a *JournalError for each.
func OpenJournal(h host.Host) (*Journal, error) {
	j := &Journal{h: h, known: map[string]bool{}, now: time.Now}
	data, err := h.ReadFile(JournalPath)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return j, fmt.Errorf("read %s: %w", JournalPath, err)
	}
	var errs []error
	for n := 1; len(data) > 0; n++ {
		raw, rest, whole := bytes.Cut(data, []byte("\n"))
		data = rest
		if !whole { // the crash came while it was being written, so its step had not begun
			j.torn = true
			break
		}
		var l Line
		if err := json.Unmarshal(raw, &l); err != nil {
			j.damaged = true
			errs = append(errs, &JournalError{Line: n, Err: err})
			continue
		}
		j.remember(l)
	}
	return j, errors.Join(errs...)
}

func (j *Journal) remember(l Line) {
	j.lines = append(j.lines, l)
	for _, r := range l.Undo {
		j.known[r.Key()] = true
	}
}

// Empty reports whether the installer has never changed this host.
func (j *Journal) Empty() bool { return len(j.lines) == 0 }

// Workflow says what the last run was that made the node what it is ("init", "join"), which version it installed and whether it came to
// its end. Runs that only tend a node (a renewal of certificates, a restored snapshot) do not count.
func (j *Journal) Workflow() (name, version string, ended bool) {
	counts := false
	for _, l := range j.lines {
		switch l.State {
		case LineBegin:
			if counts = !tending(l.Workflow); counts {
				name, version, ended = l.Workflow, l.Version, false
			}
		case LineEnd:
			ended = ended || counts
		default:
		}
	}
	return name, version, ended
}

// Made reports whether the journal tells how this node was made. One that kubeadm made, and that an upgrade or a renewal tended, has a journal too: it
// does not know what was there before.
func (j *Journal) Made() bool {
	return slices.ContainsFunc(j.lines, func(l Line) bool { return l.State == LineBegin && (l.Workflow == "init" || l.Workflow == "join") })
}

// Bundles are the places of the bundles that this node was installed from, the last one first.
func (j *Journal) Bundles() []string {
	var out []string
	for _, l := range slices.Backward(j.lines) {
		if l.Bundle != "" && !slices.Contains(out, l.Bundle) {
			out = append(out, l.Bundle)
		}
	}
	return out
}

// Records are what is to be undone, in the order in which it was done.
func (j *Journal) Records() []step.Record {
	var out []step.Record
	for _, l := range j.lines {
		out = append(out, l.Undo...)
	}
	return out
}

// fresh drops records about what the journal already knows: only the first time tells how it was before the installer came.
func (j *Journal) fresh(recs []step.Record) []step.Record {
	var out []step.Record
	seen := map[string]bool{}
	for _, r := range recs {
		if r.Kind == step.KindImages || !j.known[r.Key()] && !seen[r.Key()] {
			seen[r.Key()] = true
			out = append(out, r)
		}
	}
	return out
}

// write appends a line and syncs it.
func (j *Journal) write(l Line) error {
	if err := j.prepare(); err != nil {
		return err
	}
	l.Time = j.now().UTC().Truncate(time.Millisecond)
	raw, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if err := j.h.Append(JournalPath, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	j.remember(l)
	return nil
}

// prepare makes the folder and cuts a torn last line off.
func (j *Journal) prepare() error {
	if j.ready {
		return nil
	}
	if err := j.h.MkdirAll(path.Dir(JournalPath), 0o700); err != nil {
		return err
	}
	if j.torn {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		for _, l := range j.lines {
			if err := enc.Encode(l); err != nil {
				return err
			}
		}
		if err := j.h.WriteFile(JournalPath, buf.Bytes(), 0o600); err != nil {
			return fmt.Errorf("repair journal: %w", err)
		}
	}
	j.ready = true
	return nil
}
