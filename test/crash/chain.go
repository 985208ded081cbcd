package crash

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kubebundle/installer"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// place is where install runs.
type place struct {
	install  func(ctx context.Context, args ...string) (*exec.Cmd, error)
	nested   bool   // see hold
	root     string // the tree that it changes, as the machine sees it
	anywhere func(text string) string
}

// on is a lab's host to which a bundle was carried.
func on(h *hosts.Host, b clusters.Bundle) place {
	return place{nested: true, root: h.Root(), anywhere: of(h), install: func(ctx context.Context, args ...string) (*exec.Cmd, error) {
		return h.Command(ctx, append([]string{"sh", "-c", `cd "/root/$0" && exec ./install "$@"`, b.Folder}, args...)...)
	}}
}

// chain runs one command at a place again and again, each run killed one moment further, until one comes to its end.
type chain struct {
	place
	args []string
	// tear has every third kill also tear the last line of the journal, as a crash does that comes while it is being written.
	tear bool
	// planned says that the steps are those of a dry run, in which no step finds what those before it have done.
	planned bool

	took  map[stepID]time.Duration
	hit   map[moment]bool
	there map[stepID]bool // was found done when no run had come to it: by another step
	torn  int
	runs  int
}

// long is from when on a step takes long enough to be killed in its midst as well.
const long = 200 * time.Millisecond

// start runs install on the host, held.
func (c *chain) start(t *testing.T, stdout *bytes.Buffer) *held {
	t.Helper()
	cmd, err := c.install(t.Context(), append(slices.Clone(c.args), "-o", "json")...)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = stdout
	cmd.WaitDelay = 5 * time.Second
	h, err := hold(cmd, c.nested)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// run is the whole chain; steps are those that it must be killed at. It returns what the last run said on standard output.
func (c *chain) run(t *testing.T, k known) string {
	t.Helper()
	c.took = k.took
	steps := k.steps
	c.hit, c.there = map[moment]bool{}, map[stepID]bool{}
	start := time.Now()
	for c.runs = 1; ; c.runs++ {
		var stdout bytes.Buffer
		h := c.start(t, &stdout)
		m, killed := c.untilNew(t, h)
		if killed {
			c.hit[m] = true
			c.tearJournal(t, m)
			t.Logf("run %d: killed %v", c.runs, m)
			if c.runs > 4*len(steps)+100 {
				t.Fatalf("%s does not come to its end: %d runs of %d steps", c.args[0], c.runs, len(steps))
			}
			continue
		}
		if h.err != nil {
			t.Fatalf("%s, run %d, with no kill: %v\n%s%s", strings.Join(c.args, " "), c.runs, h.err, stdout.String(), h.said.String())
		}
		for _, id := range steps {
			// A wait was over when the run came that was not killed before it.
			if c.there[id] && (c.planned || strings.HasPrefix(id.Step, "wait for ")) {
				continue
			}
			for _, at := range []string{before, after} {
				if !c.hit[moment{id, at}] {
					t.Errorf("%s was never killed %s %v", c.args[0], at, id)
				}
			}
		}
		t.Logf("MEASURED %s: killed at %d moments of %d steps, %d times with the journal's last line torn; %d runs took %v",
			c.args[0], len(c.hit), len(steps), c.torn, c.runs, time.Since(start).Round(time.Second))
		return stdout.String()
	}
}

// untilNew lets a run go on to the first moment at which none was killed, and kills it there; false if it ended before.
func (c *chain) untilNew(t *testing.T, h *held) (moment, bool) {
	t.Helper()
	e := events{anywhere: c.anywhere}
	for {
		line, ok, err := h.next()
		if err != nil {
			t.Fatalf("%s, run %d: %v", c.args[0], c.runs, err)
		}
		if !ok {
			return moment{}, false
		}
		wait := time.Duration(0)
		if id, ev, ok := e.step(line); ok {
			m := moment{step: id}
			switch ev.State {
			case installer.Running:
				m.at = before
				if took := c.took[id]; took >= long && c.hit[m] {
					m.at = during
					wait = took / 4
				}
			case installer.Done:
				m.at = after
			case installer.Satisfied:
				c.there[id] = c.there[id] || !c.hit[moment{id, before}]
				if c.hit[moment{id, during}] { // it had come further than was thought
					c.hit[moment{id, after}] = true
				}
			default:
			}
			if m.at != "" && !c.hit[m] {
				if m.at == during {
					if err := h.pass(); err != nil {
						t.Fatal(err)
					}
					time.Sleep(wait)
				}
				if err := h.kill(); err != nil {
					t.Fatal(err)
				}
				return m, true
			}
		}
		if err := h.pass(); err != nil {
			t.Fatalf("%s, run %d: %v", c.args[0], c.runs, err)
		}
	}
}

// tearJournal cuts the last line of the journal where it is the one about the moment, somewhere. A step whose intent is torn has not begun; one of which
// it is torn that it was done is there.
func (c *chain) tearJournal(t *testing.T, m moment) {
	t.Helper()
	if !c.tear || m.at == during || len(c.hit)%3 != 0 {
		return
	}
	file := filepath.Join(c.root, installer.JournalPath)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndexByte(bytes.TrimSuffix(data, []byte("\n")), '\n') + 1
	state := map[string]installer.LineState{before: installer.LineIntent, after: installer.LineDone}[m.at]
	if !bytes.Contains(data[at:], []byte(`"state":"`+string(state)+`"`)) {
		return // a step that only waits or prints is not in the journal
	}
	cut := at + 1 + rand.IntN(len(data)-at-1)
	if err := os.Truncate(file, int64(cut)); err != nil {
		t.Fatal(err)
	}
	c.torn++
}
