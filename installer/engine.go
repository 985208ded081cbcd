package installer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kubebundle/bundle"
	"kubebundle/installer/phase"
	"kubebundle/installer/step"
)

// Engine runs a workflow on a node. Make one for each run.
type Engine struct {
	Workflow string // "init", "join": named in the journal and in errors
	Version  string // of Kubernetes, for the journal
	Target   *step.Target
	Journal  *Journal
	// Events is told what happens, in order; nil means nobody listens.
	Events func(Event)
	// Skip are names of phases to leave out; a name takes its children with it ("addon" is also "addon/coredns"). They are not even
	// planned: later phases read from the host what they need.
	Skip []string
	// Only, if not empty, are the only phases to run.
	Only []string

	// Offline says that the target does not run: files are written and units enabled, and the rest is left for later (Summary.Later).
	Offline bool

	began   bool // the journal knows about this run
	changed bool // something was applied
}

// Run plans and applies the phases. An error after the first change is a *PartialError.
func (e *Engine) Run(ctx context.Context, phases []phase.Phase, s *phase.State) (Summary, error) {
	var sum Summary
	start := time.Now()
	err := e.each(ctx, phases, s, &sum, e.applyStep)
	sum.Elapsed = time.Since(start)
	if err != nil {
		return sum, err
	}
	if e.began {
		if err := e.Journal.write(Line{State: LineEnd}); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// DryRun plans all phases and tells which steps would be applied (Planned) and which not (Satisfied). It changes nothing.
func (e *Engine) DryRun(ctx context.Context, phases []phase.Phase, s *phase.State) (Summary, error) {
	var sum Summary
	start := time.Now()
	e.Target = dryTarget(e.Target, &sum)
	s.DryRun = true
	err := e.each(ctx, phases, s, &sum, e.planStep)
	sum.Elapsed = time.Since(start)
	return sum, err
}

// CheckNames refuses names that are no phase of the workflow.
func CheckNames(phases []phase.Phase, names []string) error {
	known := phase.Names(phases)
	var errs []error
	for _, n := range names {
		if !slices.ContainsFunc(known, func(k string) bool { return phase.Skipped([]string{n}, k) }) {
			errs = append(errs, &UnknownPhaseError{Name: n, Known: known})
		}
	}
	return errors.Join(errs...)
}

type stepFunc func(ctx context.Context, p string, st step.Step) (changed bool, err error)

// each is the loop that every mode shares.
func (e *Engine) each(ctx context.Context, phases []phase.Phase, s *phase.State, sum *Summary, do stepFunc) error {
	if err := CheckNames(phases, slices.Concat(e.Skip, e.Only)); err != nil {
		return err
	}
	s.Only = e.Only
	for _, p := range phases {
		if err := ctx.Err(); err != nil {
			return e.partial(p.Name(), "", err)
		}
		if phase.Skipped(e.Skip, p.Name()) || !phase.Chosen(e.Only, p.Name()) {
			e.emit(Event{Phase: p.Name(), State: Skipped})
			continue
		}
		if err := e.onePhase(ctx, p, s, sum, do); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) onePhase(ctx context.Context, p phase.Phase, s *phase.State, sum *Summary, do stepFunc) error {
	start := time.Now()
	e.emit(Event{Phase: p.Name(), State: Running})
	before := *sum
	fail := func(st step.Step, err error) error {
		name := ""
		if st != nil {
			name = st.String()
			e.emit(Event{Phase: p.Name(), Step: name, State: Failed, Error: err.Error()})
		}
		e.emit(Event{Phase: p.Name(), State: Failed, Error: err.Error(), Elapsed: time.Since(start)})
		return e.partial(p.Name(), name, err)
	}
	s.Progress = func(text string) { e.emit(Event{Phase: p.Name(), State: Progress, What: text}) }
	steps, err := e.plan(ctx, p, s, sum)
	if err != nil {
		return fail(nil, err)
	}
	sum.Phases++
	for _, st := range steps {
		if err := ctx.Err(); err != nil {
			return fail(st, err)
		}
		changed, err := do(ctx, p.Name(), st)
		if err != nil {
			return fail(st, err)
		}
		if _, inert := st.(step.Inert); inert {
			continue
		}
		sum.Steps++
		if changed {
			sum.Changed++
		}
	}
	e.emit(Event{Phase: p.Name(), State: Done, Elapsed: time.Since(start), Changed: sum.Changed - before.Changed, Steps: sum.Steps - before.Steps})
	return nil
}

// plan asks a phase for its steps. For a machine that does not run, they are those that can be taken now: up to the first that cannot,
// since what follows it in the phase counts on it.
func (e *Engine) plan(ctx context.Context, p phase.Phase, s *phase.State, sum *Summary) ([]step.Step, error) {
	if !e.Offline {
		return p.Plan(ctx, s, e.Target.Host)
	}
	steps, err := phase.PlanOffline(ctx, p, s, e.Target.Host)
	if err != nil {
		return nil, err
	}
	deferStep := func(what string) {
		sum.Later = append(sum.Later, Deferral{p.Name(), what})
		e.emit(Event{Phase: p.Name(), Step: what, State: Deferred})
	}
	var now []step.Step
	stopped := false
	for _, st := range steps {
		portable, ok := st.(step.Portable)
		if stopped = stopped || !ok; stopped {
			deferStep(st.String())
			continue
		}
		part, rest := portable.Offline()
		if part != nil {
			now = append(now, part)
		}
		if rest != "" {
			deferStep(rest)
		}
	}
	return now, nil
}

// planStep is what a dry run does with a step.
func (e *Engine) planStep(ctx context.Context, p string, st step.Step) (bool, error) {
	ok, err := st.Satisfied(ctx, e.Target)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	// A step that cannot look yet (no API server, no runtime) is one that would have to act.
	if err != nil && !errors.Is(err, errDryRun) {
		e.log("a dry run cannot tell", st, err)
	}
	if ok && err == nil {
		e.emit(Event{Phase: p, Step: st.String(), State: Satisfied})
		return false, nil
	}
	e.emit(Event{Phase: p, Step: st.String(), State: Planned})
	return true, nil
}

func (e *Engine) log(msg string, st step.Step, err error) {
	if e.Target.Log != nil {
		e.Target.Log.Debug(msg, "step", st.String(), "err", err)
	}
}

// applyStep is what a run does with a step.
func (e *Engine) applyStep(ctx context.Context, p string, st step.Step) (bool, error) {
	ok, err := st.Satisfied(ctx, e.Target)
	if err != nil {
		return false, err
	}
	if ok {
		e.emit(Event{Phase: p, Step: st.String(), State: Satisfied})
		return false, e.adopt(ctx, p, st)
	}
	_, inert := st.(step.Inert)
	if !inert {
		if err := e.intend(ctx, p, st); err != nil {
			return false, err
		}
	}
	start := time.Now()
	name := st.String()
	e.emit(Event{Phase: p, Step: name, State: Running})
	t := *e.Target
	t.Progress = func(done, total int64, what string) {
		e.emit(Event{Phase: p, Step: name, State: Progress, Done: done, Total: total, What: what})
	}
	if !inert {
		e.changed = true
	}
	if err := st.Apply(ctx, &t); err != nil {
		if inert {
			return false, err
		}
		return false, errors.Join(err, e.Journal.write(Line{Phase: p, Step: name, State: LineFailed}))
	}
	if !inert {
		if err := e.Journal.write(Line{Phase: p, Step: name, State: LineDone}); err != nil {
			return false, err
		}
	}
	e.emit(Event{Phase: p, Step: name, State: Done, Elapsed: time.Since(start)})
	return !inert, nil
}

// intend keeps what the step will replace, then writes down that it is about to be applied.
func (e *Engine) intend(ctx context.Context, p string, st step.Step) error {
	var recs []step.Record
	if u, ok := st.(step.Undoer); ok {
		all, err := u.Before(ctx, e.Target)
		if err != nil {
			return err
		}
		if err := e.begin(ctx); err != nil { // first: it claims folders that the step may be about to make
			return err
		}
		recs = e.Journal.fresh(all)
	}
	if err := e.begin(ctx); err != nil {
		return err
	}
	for _, r := range recs {
		if err := r.Keep(e.Target); err != nil {
			return err
		}
	}
	return e.Journal.write(Line{Phase: p, Step: st.String(), State: LineIntent, Undo: recs})
}

// adopt writes down a directory that was there but whose content will be the cluster's.
func (e *Engine) adopt(ctx context.Context, p string, st step.Step) error {
	a, ok := st.(step.Adopter)
	if !ok {
		return nil
	}
	all, err := a.Adopts(ctx, e.Target)
	if err != nil {
		return err
	}
	if len(e.Journal.fresh(all)) == 0 {
		return nil
	}
	if err := e.begin(ctx); err != nil {
		return err
	}
	recs := e.Journal.fresh(all) // again: begin may have claimed it
	if len(recs) == 0 {
		return nil
	}
	return e.Journal.write(Line{Phase: p, Step: st.String(), State: LineDone, Undo: recs})
}

// begin opens this run in the journal, once, before its first change: a run that changes nothing leaves no line.
func (e *Engine) begin(ctx context.Context) error {
	if e.began {
		return nil
	}
	recs, err := claims(ctx, e.Target)
	if err != nil {
		return err
	}
	if err := e.Journal.write(Line{Workflow: e.Workflow, Version: e.Version, Bundle: placeOf(e.Target.Bundle), State: LineBegin, Undo: e.Journal.fresh(recs)}); err != nil {
		return err
	}
	e.began = true
	return nil
}

// placeOf is where a bundle is, "" if that cannot be told.
func placeOf(b *bundle.Bundle) string {
	if b == nil {
		return ""
	}
	at, err := filepath.Abs(b.Path())
	if err != nil {
		return ""
	}
	return at
}

// partial says that the node is half-way, if it is.
func (e *Engine) partial(p, st string, err error) error {
	if !e.changed {
		var refused *phase.PreflightError
		if errors.As(err, &refused) {
			return err // says by itself where it comes from
		}
		if st != "" {
			return fmt.Errorf("phase %s: %s: %w", p, strings.TrimSpace(st), err)
		}
		return fmt.Errorf("phase %s: %w", p, err)
	}
	return &PartialError{Workflow: e.Workflow, Phase: p, Step: st, Err: err}
}

func (e *Engine) emit(ev Event) {
	if e.Events != nil {
		e.Events(ev)
	}
}
