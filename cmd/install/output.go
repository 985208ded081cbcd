package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"

	"kubebundle/installer"
)

// printJSON writes one result to standard output.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printTable writes rows to standard output in columns.
func (a *app) printTable(rows [][]string) error {
	w := tabwriter.NewWriter(a.out, 0, 4, 3, ' ', 0)
	for _, r := range rows {
		if _, err := fmt.Fprintln(w, strings.Join(r, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// say tells a person something. That nobody can hear it must not stop an installation.
func (a *app) say(format string, args ...any) { _, _ = fmt.Fprintf(a.err, format, args...) }

// listener gives what shows the events of a run: JSON lines, a terminal or a pipe, all on standard error.
func (a *app) listener() func(installer.Event) {
	if a.output == "json" {
		enc := json.NewEncoder(a.err)
		return func(ev installer.Event) {
			if ev.State != installer.Progress || ev.Step == "" {
				_ = enc.Encode(ev) // a closed standard error must not stop an installation
			}
		}
	}
	p := &printer{w: a.err, verbose: a.verbose > 0}
	if f, ok := a.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.tty = true
		p.width, _, _ = term.GetSize(int(f.Fd()))
	}
	return p.event
}

// printer shows one line per phase. On a terminal the line of the running phase changes in place; in a pipe it appears when it is final.
type printer struct {
	w       io.Writer
	tty     bool
	width   int
	verbose bool
	last    time.Time
	open    bool // an unfinished line stands on the terminal
}

// redraw is how often a line that counts may change.
const redraw = 100 * time.Millisecond

func (p *printer) event(ev installer.Event) {
	if ev.Step != "" {
		p.step(ev)
		return
	}
	switch ev.State {
	case installer.Running:
		p.status(ev.Phase, "")
	case installer.Progress:
		if p.tty {
			p.status(ev.Phase, ev.What)
		} else {
			p.line(" ", ev.Phase, ev.What)
		}
	case installer.Skipped:
		p.line("-", ev.Phase, "skipped")
	case installer.Failed:
		p.line("✗", ev.Phase, "failed after "+elapsed(ev.Elapsed))
	case installer.Done:
		p.line("✓", ev.Phase, phaseResult(ev))
	default:
	}
}

func phaseResult(ev installer.Event) string {
	switch {
	case ev.Steps == 0:
		return elapsed(ev.Elapsed)
	case ev.Changed == 0:
		return "nothing to do"
	case ev.Changed == ev.Steps:
		return fmt.Sprintf("%s, %s", plural(ev.Changed, "step"), elapsed(ev.Elapsed))
	default:
		return fmt.Sprintf("%d of %s, %s", ev.Changed, plural(ev.Steps, "step"), elapsed(ev.Elapsed))
	}
}

func (p *printer) step(ev installer.Event) {
	switch ev.State {
	case installer.Running:
		p.status(ev.Phase, ev.Step)
	case installer.Progress:
		if p.tty && time.Since(p.last) >= redraw {
			p.status(ev.Phase, progressText(ev))
		}
	case installer.Done:
		if p.verbose {
			p.line(" ", ev.Phase, fmt.Sprintf("%s (%s)", ev.Step, elapsed(ev.Elapsed)))
		}
	case installer.Satisfied:
		if p.verbose {
			p.line(" ", ev.Phase, ev.Step+" (is so already)")
		}
	default: // a failed step is in the error, a planned one is the result of a dry run
	}
}

// progressText shows bytes as such; a wait counts nanoseconds.
func progressText(ev installer.Event) string {
	switch {
	case ev.Total <= 0:
		return ev.Step
	case strings.HasPrefix(ev.Step, "wait "):
		return fmt.Sprintf("waiting for %s %s", ev.What, elapsed(time.Duration(ev.Done)))
	case ev.Total < 1000:
		return fmt.Sprintf("%s %d/%d", ev.What, ev.Done, ev.Total)
	default:
		return fmt.Sprintf("%3d%% of %s %s", 100*ev.Done/ev.Total, humanize.Bytes(uint64(ev.Total)), ev.What)
	}
}

func (p *printer) print(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format, args...) } // see say

func (p *printer) status(phase, text string) {
	if !p.tty {
		return
	}
	p.last = time.Now()
	line := fmt.Sprintf("… %-20s %s", phase, text)
	if p.width > 1 && len([]rune(line)) >= p.width {
		line = string([]rune(line)[:p.width-1])
	}
	p.open = true
	p.print("\r\x1b[K%s", line)
}

func (p *printer) line(mark, phase, text string) {
	if p.open {
		p.print("\r\x1b[K")
		p.open = false
	}
	if p.tty {
		p.print("%s %-20s %s\n", mark, phase, text)
		return
	}
	p.print("%s: %s\n", phase, text)
}

func elapsed(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// planPrinter gives what shows a dry run: the plan is the result, so it goes to standard output.
func (a *app) planPrinter() func(installer.Event) {
	if a.output == "json" {
		enc := json.NewEncoder(a.out)
		return func(ev installer.Event) {
			if ev.Step != "" || ev.State == installer.Skipped {
				_ = enc.Encode(ev)
			}
		}
	}
	p := &printer{w: a.out}
	return func(ev installer.Event) {
		switch {
		case ev.Step != "" && ev.State == installer.Planned:
			p.print("%-20s %s\n", ev.Phase, ev.Step)
		case ev.Step != "" && ev.State == installer.Satisfied && a.verbose > 0:
			p.print("%-20s %s (is so already)\n", ev.Phase, ev.Step)
		case ev.Step == "" && ev.State == installer.Progress:
			a.say("%s: %s\n", ev.Phase, ev.What)
		case ev.Step == "" && ev.State == installer.Skipped:
			p.print("%-20s skipped\n", ev.Phase)
		default:
		}
	}
}

// summary is the last line for people.
func (a *app) summary(workflow string, s installer.Summary, dryRun bool) {
	switch {
	case a.output == "json":
		_ = json.NewEncoder(a.err).Encode(map[string]any{"workflow": workflow, "steps": s.Steps, "changed": s.Changed, "elapsedNanoseconds": s.Elapsed})
	case dryRun:
		a.say("%s: %d of %s would be needed; nothing was changed\n", workflow, s.Changed, plural(s.Steps, "step"))
	case s.Changed == 0:
		a.say("%s: nothing to do: 0 of %s needed\n", workflow, plural(s.Steps, "step"))
	default:
		a.say("%s: done: %d of %s needed, %s\n", workflow, s.Changed, plural(s.Steps, "step"), elapsed(s.Elapsed))
	}
}
