package installer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer"
	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/installer/phase"
	"kubebundle/installer/step"
)

// fake is a phase with fixed steps.
type fake struct {
	name  string
	steps []step.Step
	err   error
}

func (f fake) Name() string { return f.name }

func (f fake) Plan(context.Context, *phase.State, host.Reader) ([]step.Step, error) {
	return f.steps, f.err
}

const unitText = "[Service]\nExecStart=/usr/bin/demo\n[Install]\nWantedBy=multi-user.target\n"

// patient is a phase whose plan has to wait for something.
type patient struct{ fake }

func (p patient) Plan(ctx context.Context, s *phase.State, r host.Reader) ([]step.Step, error) {
	s.Progress("waiting for 10.0.0.1:6443")
	return p.fake.Plan(ctx, s, r)
}

func TestPlanTellsWhatItWaitsFor(t *testing.T) {
	var events []installer.Event
	e := engine(t, host.NewMemory(), func(ev installer.Event) { events = append(events, ev) })
	if _, err := e.Run(t.Context(), []phase.Phase{patient{fake{name: "discovery"}}}, &phase.State{}); err != nil {
		t.Fatal(err)
	}
	want := installer.Event{Phase: "discovery", State: installer.Progress, What: "waiting for 10.0.0.1:6443"}
	if !slices.Contains(events, want) {
		t.Errorf("no %+v in %+v", want, events)
	}
}

// workflow is a small installation with every kind of step that changes a host.
func workflow() []phase.Phase {
	return []phase.Phase{
		fake{name: "preflight"},
		fake{name: "certs", steps: []step.Step{
			step.Dir{Path: "/etc/kubernetes/pki", Mode: 0o755},
			step.File{Path: "/etc/kubernetes/pki/ca.key", Mode: 0o600, Data: []byte("-----secret-----"), Secret: true},
			step.File{Path: "/etc/runtime/config.toml", Mode: 0o644, Data: []byte("ours")}, // replaces a stranger's file
		}},
		fake{name: "etcd", steps: []step.Step{step.Dir{Path: "/var/lib/etcd", Mode: 0o700, Own: true}}},
		fake{name: "addon/dns", steps: []step.Step{step.Link{Path: "/etc/demo/link", Target: "/etc/kubernetes"}}},
		fake{name: "kubelet-start", steps: []step.Step{
			step.File{Path: "/etc/systemd/system/kubelet.service", Mode: 0o644, Data: []byte(unitText)},
			step.File{Path: "/etc/kubernetes/bootstrap-kubelet.conf", Mode: 0o600, Data: []byte("token")},
			step.Unit{Name: "kubelet.service", Enable: true, Start: true, Files: []string{"/etc/systemd/system/kubelet.service", "/etc/runtime/config.toml"}},
			step.Unit{Name: "containerd.service", Start: true, Files: []string{"/etc/runtime/config.toml"}},
			step.Remove{Path: "/etc/old.conf", Why: "not used any more"}, // removes a stranger's file
		}},
	}
}

// stranger is a host with files of its own. Its kubelet behaves like one: it fills folders that nobody else made.
func stranger(t *testing.T) *host.Memory {
	t.Helper()
	m := host.NewMemory()
	for p, text := range map[string]string{"/etc/runtime/config.toml": "theirs", "/etc/old.conf": "old", "/opt/cni/bin/theirs": "plugin"} {
		if err := m.WriteFile(p, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	m.AddUnit("containerd.service", host.UnitState{Enabled: true, Active: true, Sub: "running"})
	m.OnUnit = func(op, unit string) error {
		if unit != "kubelet.service" || op != "restart" {
			return nil
		}
		return errors.Join(
			m.WriteFile("/var/lib/kubelet/pki/kubelet.key", []byte("k"), 0o600),
			m.WriteFile("/var/lib/etcd/member/wal", []byte("w"), 0o600),
			m.WriteFile("/etc/cni/net.d/10-flannel.conflist", []byte("{}"), 0o644),
			m.WriteFile("/etc/kubernetes/kubelet.conf", []byte("rotated"), 0o600),
			m.WriteFile("/var/log/pods/x/0.log", []byte("log"), 0o600),
		)
	}
	return m
}

func engine(t *testing.T, h host.Host, events func(installer.Event)) *installer.Engine {
	t.Helper()
	j, err := installer.OpenJournal(h)
	if err != nil {
		t.Fatal(err)
	}
	return &installer.Engine{Workflow: "init", Version: "v1.34.4", Target: &step.Target{Host: h}, Journal: j, Events: events}
}

// withoutOurs drops the installer's own folder from a snapshot: its journal tells more after more runs.
func withoutOurs(s map[string]string) map[string]string {
	for p := range s {
		if p == installer.Dir || strings.HasPrefix(p, installer.Dir+"/") {
			delete(s, p)
		}
	}
	return s
}

func TestRunThenRunAgain(t *testing.T) {
	m := stranger(t)
	sum, err := engine(t, m, nil).Run(t.Context(), workflow(), &phase.State{})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Steps != 10 || sum.Changed != 10 || sum.Phases != 5 {
		t.Errorf("summary %+v", sum)
	}
	journal, err := m.ReadFile(installer.JournalPath)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(journal), "secret") {
		t.Errorf("the journal holds a secret:\n%s", journal)
	}
	if fi, err := m.Stat(installer.JournalPath); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("journal: %v %v", fi, err)
	}
	j, err := installer.OpenJournal(m)
	if err != nil {
		t.Fatal(err)
	}
	if name, version, ended := j.Workflow(); name != "init" || version != "v1.34.4" || !ended {
		t.Errorf("the journal tells of %s %s, ended: %v", name, version, ended)
	}

	rec := host.NewRecording(m)
	sum, err = engine(t, rec, nil).Run(t.Context(), workflow(), &phase.State{})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Changed != 0 || sum.Steps != 10 {
		t.Errorf("the second run needed something: %+v", sum)
	}
	if ops := rec.Ops(); len(ops) != 0 {
		t.Errorf("the second run changed the host: %q", ops)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	m := stranger(t)
	before := m.Snapshot()
	rec := host.NewRecording(m)
	var planned []string
	sum, err := engine(t, rec, func(ev installer.Event) {
		if ev.State == installer.Planned {
			planned = append(planned, ev.Step)
		}
	}).DryRun(t.Context(), workflow(), &phase.State{})
	if err != nil {
		t.Fatal(err)
	}
	if ops := rec.Ops(); len(ops) != 0 {
		t.Errorf("a dry run changed the host: %q", ops)
	}
	if d := cmp.Diff(before, m.Snapshot()); d != "" {
		t.Errorf("the host is another one (-before +after):\n%s", d)
	}
	if sum.Changed != 10 || len(planned) != 10 || planned[1] != "write /etc/kubernetes/pki/ca.key 0600 16 B" {
		t.Errorf("planned %d: %q", sum.Changed, planned)
	}
}

// TestCrashEverywhere kills the installer before each single change in turn; the same command again must reach the same host, and reset
// must lead back to where it began.
func TestCrashEverywhere(t *testing.T) {
	whole := stranger(t)
	rec := host.NewRecording(whole)
	if _, err := engine(t, rec, nil).Run(t.Context(), workflow(), &phase.State{}); err != nil {
		t.Fatal(err)
	}
	want := withoutOurs(whole.Snapshot())
	untouched := stranger(t).Snapshot()
	total := len(rec.Ops())
	if total < 30 {
		t.Fatalf("only %d changes: the workflow is too small to prove anything", total)
	}
	for n := range total {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			m := stranger(t)
			crashing := host.NewRecording(m)
			left := n
			crashing.Before = func(op string) error {
				if left == 0 {
					return fmt.Errorf("power cut before: %s", op)
				}
				left--
				return nil
			}
			if _, err := engine(t, crashing, nil).Run(t.Context(), workflow(), &phase.State{}); err == nil {
				t.Fatal("the crash went unnoticed")
			}
			crashed := m.Snapshot()
			if _, err := engine(t, m, nil).Run(t.Context(), workflow(), &phase.State{}); err != nil {
				t.Fatalf("second run: %v", err)
			}
			if d := cmp.Diff(want, withoutOurs(m.Snapshot())); d != "" {
				t.Errorf("the host is another one after a crash (-want +got):\n%s", d)
			}
			reset(t, m)
			if d := cmp.Diff(untouched, m.Snapshot()); d != "" {
				t.Errorf("reset did not lead back after crash and second run (-want +got):\n%s\nafter the crash: %v", d, crashed)
			}
			if st := m.Units()["containerd.service"]; !st.Active || !st.Enabled {
				t.Errorf("containerd is %+v", st)
			}

			m = stranger(t) // and reset without a second run
			crashing = host.NewRecording(m)
			left = n
			crashing.Before = func(op string) error {
				if left == 0 {
					return fmt.Errorf("power cut before: %s", op)
				}
				left--
				return nil
			}
			if _, err := engine(t, crashing, nil).Run(t.Context(), workflow(), &phase.State{}); err == nil {
				t.Fatal("the crash went unnoticed")
			}
			reset(t, m)
			if d := cmp.Diff(untouched, m.Snapshot()); d != "" {
				t.Errorf("reset did not lead back after the crash (-want +got):\n%s", d)
			}
		})
	}
}

// noPods is a runtime without pods.
type noPods struct{}

func (noPods) PodSandboxes(context.Context) ([]string, error)      { return nil, nil }
func (noPods) RemovePodSandbox(_ context.Context, id string) error { return errors.New("no pod " + id) }

func (noPods) EndPod(context.Context, string, string, time.Duration) error {
	return nil
}
func (noPods) Close() error                                { return nil }
func openNoPods(context.Context, string) (step.CRI, error) { return noPods{}, nil }
func resetter(h host.Host, j *installer.Journal) *installer.Reset {
	return &installer.Reset{Config: &config.Reset{Force: true}, Target: &step.Target{Host: h, CRI: openNoPods}, Journal: j}
}

func reset(t *testing.T, h host.Host) {
	t.Helper()
	j, err := installer.OpenJournal(h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resetter(h, j).Run(t.Context(), false); err != nil {
		t.Fatalf("reset: %v", err)
	}
}

func TestPartialError(t *testing.T) {
	m := stranger(t)
	boom := errors.New("boom")
	phases := append(workflow(), fake{name: "broken", err: boom})
	_, err := engine(t, m, nil).Run(t.Context(), phases, &phase.State{})
	var part *installer.PartialError
	if !errors.As(err, &part) || !errors.Is(err, boom) || part.Phase != "broken" {
		t.Fatalf("error %v", err)
	}
	if !strings.Contains(installer.Hint(err), "install reset") {
		t.Errorf("hint %q", installer.Hint(err))
	}
	// Nothing was changed: it is an ordinary error.
	_, err = engine(t, stranger(t), nil).Run(t.Context(), []phase.Phase{fake{name: "broken", err: boom}}, &phase.State{})
	if errors.As(err, &part) || !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
	// What preflight refuses keeps its own words and leaves no journal.
	m = stranger(t)
	refused := &phase.PreflightError{Problems: []phase.Problem{{Check: "Swap", Level: phase.LevelError, Message: "swap is on"}}}
	_, err = engine(t, m, nil).Run(t.Context(), []phase.Phase{fake{name: "preflight", err: refused}}, &phase.State{})
	if err == nil || err.Error() != refused.Error() {
		t.Errorf("error %v", err)
	}
	if _, err := m.Stat(installer.Dir); err == nil {
		t.Error("a refused run left a journal")
	}
}

func TestSkipAndOnly(t *testing.T) {
	run := func(skip, only []string) []string {
		m := stranger(t)
		var done []string
		e := engine(t, m, func(ev installer.Event) {
			if ev.Step == "" && ev.State == installer.Done {
				done = append(done, ev.Phase)
			}
		})
		e.Skip, e.Only = skip, only
		if _, err := e.Run(t.Context(), workflow(), &phase.State{}); err != nil {
			t.Fatal(err)
		}
		return done
	}
	if d := cmp.Diff([]string{"preflight", "certs", "etcd"}, run([]string{"addon", "kubelet-start"}, nil)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"etcd", "addon/dns"}, run(nil, []string{"addon/dns", "etcd"})); d != "" {
		t.Error(d)
	}
	e := engine(t, stranger(t), nil)
	e.Skip = []string{"cert"}
	var unknown *installer.UnknownPhaseError
	if _, err := e.Run(t.Context(), workflow(), &phase.State{}); !errors.As(err, &unknown) || unknown.Name != "cert" {
		t.Errorf("error %v", err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := stranger(t)
	e := engine(t, m, func(ev installer.Event) {
		if ev.Phase == "etcd" && ev.State == installer.Running {
			cancel()
		}
	})
	_, err := e.Run(ctx, workflow(), &phase.State{})
	var part *installer.PartialError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &part) {
		t.Errorf("error %v", err)
	}
	if _, err := m.Stat("/etc/systemd/system/kubelet.service"); err == nil {
		t.Error("work went on after the signal")
	}
}

func TestEvents(t *testing.T) {
	m := stranger(t)
	var got []string
	_, err := engine(t, m, func(ev installer.Event) {
		got = append(got, fmt.Sprintf("%s|%s|%s", ev.Phase, ev.Step, ev.State))
	}).Run(t.Context(), workflow()[2:3], &phase.State{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"etcd||running",
		"etcd|make directory /var/lib/etcd 0700|running",
		"etcd|make directory /var/lib/etcd 0700|done",
		"etcd||done",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
