package step_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func satisfied(t *testing.T, s step.Step, tg *step.Target, want bool) {
	t.Helper()
	got, err := s.Satisfied(t.Context(), tg)
	if err != nil || got != want {
		t.Errorf("%s: satisfied %v, %v; want %v", s, got, err, want)
	}
}

// applyAndUndo applies a step as the engine does and undoes its records; it gives the tree between.
func applyAndUndo(t *testing.T, m *host.Memory, s step.Step) map[string]string {
	t.Helper()
	tg := &step.Target{Host: m}
	before := m.Snapshot()
	satisfied(t, s, tg, false)
	recs, err := s.(step.Undoer).Before(t.Context(), tg)
	ok(t, err)
	for _, r := range recs {
		ok(t, r.Keep(tg))
	}
	ok(t, s.Apply(t.Context(), tg))
	satisfied(t, s, tg, true)
	ok(t, s.Apply(t.Context(), tg)) // again
	satisfied(t, s, tg, true)
	between := m.Snapshot()
	for i := len(recs) - 1; i >= 0; i-- {
		ok(t, recs[i].Undo(t.Context(), tg))
	}
	for i := len(recs) - 1; i >= 0; i-- { // reset may be run again
		ok(t, recs[i].Undo(t.Context(), tg))
	}
	ok(t, m.RemoveAll("/var/lib/kubebundle"))
	if d := cmp.Diff(before, m.Snapshot()); d != "" {
		t.Errorf("%s: undo does not lead back (-before +after):\n%s", s, d)
	}
	return between
}

func TestFile(t *testing.T) {
	s := step.File{Path: "/etc/kubernetes/pki/ca.key", Mode: 0o600, Data: []byte(strings.Repeat("k", 1675)), Secret: true}
	if got, want := s.String(), "write /etc/kubernetes/pki/ca.key 0600 1.7 kB"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	applyAndUndo(t, host.NewMemory(), s)

	m := host.NewMemory()
	ok(t, m.WriteFile(s.Path, []byte("theirs"), 0o640))
	applyAndUndo(t, m, s)

	m = host.NewMemory()
	ok(t, m.MkdirAll("/etc/kubernetes/pki", 0o700))
	ok(t, m.Symlink("/somewhere/else", s.Path))
	between := applyAndUndo(t, m, s)
	if !strings.HasPrefix(between[s.Path], "file 0600") {
		t.Errorf("the link was not replaced: %q", between[s.Path])
	}

	// The mode alone counts too.
	m = host.NewMemory()
	ok(t, m.WriteFile(s.Path, s.Data, 0o644))
	applyAndUndo(t, m, s)

	m = host.NewMemory()
	ok(t, m.MkdirAll(s.Path, 0o755))
	if _, err := s.Before(t.Context(), &step.Target{Host: m}); err == nil {
		t.Error("a directory would be replaced by a file")
	}
}

func TestDir(t *testing.T) {
	applyAndUndo(t, host.NewMemory(), step.Dir{Path: "/var/lib/etcd", Mode: 0o700})
	m := host.NewMemory()
	ok(t, m.MkdirAll("/var/lib/etcd", 0o755))
	applyAndUndo(t, m, step.Dir{Path: "/var/lib/etcd", Mode: 0o700}) // its mode comes back
}

// TestDirOwn says what becomes of content that the cluster put into a directory.
func TestDirOwn(t *testing.T) {
	for name, c := range map[string]struct {
		before    string // a file that is there before, "/" for the directory alone, "" for nothing
		own       bool
		wantTheir bool
		wantDir   bool
	}{
		"own, new":                 {"", true, false, false},
		"own, empty before":        {"/", true, false, true},
		"own, strangers in it":     {"/d/theirs", true, true, true},
		"not own, new":             {"", false, true, true},
		"not own, strangers in it": {"/d/theirs", false, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := host.NewMemory()
			tg := &step.Target{Host: m}
			switch c.before {
			case "":
			case "/":
				ok(t, m.MkdirAll("/d", 0o755))
			default:
				ok(t, m.WriteFile(c.before, nil, 0o600))
			}
			s := step.Dir{Path: "/d", Mode: 0o755, Own: c.own}
			recs, err := s.Before(t.Context(), tg)
			ok(t, err)
			ok(t, s.Apply(t.Context(), tg))
			ok(t, m.WriteFile("/d/cluster/data", nil, 0o600))
			for i := len(recs) - 1; i >= 0; i-- {
				ok(t, recs[i].Undo(t.Context(), tg))
			}
			_, err = m.Stat("/d")
			if (err == nil) != c.wantDir {
				t.Errorf("directory: %v", err)
			}
			_, err = m.Stat("/d/cluster/data")
			if (err == nil) != c.wantTheir {
				t.Errorf("content: %v", err)
			}
		})
	}
}

func TestLinkAndRemove(t *testing.T) {
	applyAndUndo(t, host.NewMemory(), step.Link{Path: "/opt/x/link", Target: "../y"})
	m := host.NewMemory()
	ok(t, m.Symlink("old", "/opt/link"))
	applyAndUndo(t, m, step.Link{Path: "/opt/link", Target: "new"})
	m = host.NewMemory()
	ok(t, m.WriteFile("/opt/link", []byte("a file"), 0o600))
	applyAndUndo(t, m, step.Link{Path: "/opt/link", Target: "new"})
	m = host.NewMemory()
	ok(t, m.WriteFile("/etc/old.conf", []byte("theirs"), 0o604))
	applyAndUndo(t, m, step.Remove{Path: "/etc/old.conf", Why: "obsolete"})
	satisfied(t, step.Remove{Path: "/nothing"}, &step.Target{Host: m}, true)
}

func TestUnit(t *testing.T) {
	m := host.NewMemory()
	tg := &step.Target{Host: m}
	ok(t, m.WriteFile("/etc/systemd/system/kubelet.service", []byte("[Service]\n"), 0o644))
	ok(t, m.WriteFile("/var/lib/kubelet/config.yaml", []byte("a"), 0o644))
	s := step.Unit{Name: "kubelet.service", Enable: true, Start: true, Files: []string{"/var/lib/kubelet/config.yaml", "/missing"}}
	if s.String() != "enable and (re)start kubelet.service" {
		t.Errorf("%q", s)
	}
	satisfied(t, s, tg, false)
	recs, err := s.Before(t.Context(), tg)
	ok(t, err)
	ok(t, s.Apply(t.Context(), tg))
	satisfied(t, s, tg, true)

	// A file that it reads has changed since it started.
	ok(t, m.WriteFile("/var/lib/kubelet/config.yaml", []byte("b"), 0o644))
	satisfied(t, s, tg, false)
	ok(t, s.Apply(t.Context(), tg))
	satisfied(t, s, tg, true)

	ok(t, recs[0].Undo(t.Context(), tg))
	if st := m.Units()["kubelet.service"]; st.Active || st.Enabled {
		t.Errorf("after undo: %+v", st)
	}

	stop := step.StopUnit{Name: "kubelet.service"}
	satisfied(t, stop, tg, true)
	m.AddUnit("kubelet.service", host.UnitState{Sub: "auto-restart"})
	satisfied(t, stop, tg, false) // it will be back in a moment
	ok(t, stop.Apply(t.Context(), tg))
	satisfied(t, stop, tg, true)

	// What ran before runs after undo.
	m.AddUnit("containerd.service", host.UnitState{Enabled: true, Active: true})
	stop = step.StopUnit{Name: "containerd.service", Disable: true}
	recs, err = stop.Before(t.Context(), tg)
	ok(t, err)
	ok(t, stop.Apply(t.Context(), tg))
	ok(t, recs[0].Undo(t.Context(), tg))
	if st := m.Units()["containerd.service"]; !st.Active || !st.Enabled {
		t.Errorf("after undo: %+v", st)
	}
}

func TestExec(t *testing.T) {
	m := host.NewMemory()
	tg := &step.Target{Host: m}
	loaded := false
	m.OnRun = func(host.Command) ([]byte, error) { loaded = true; return nil, nil }
	s := step.Exec{
		What: "load kernel module br_netfilter", Command: host.Command{Name: "modprobe", Args: []string{"br_netfilter"}},
		Done: func(context.Context, host.Reader) (bool, error) { return loaded, nil },
	}
	if s.String() != "load kernel module br_netfilter: modprobe br_netfilter" {
		t.Errorf("%q", s)
	}
	satisfied(t, s, tg, false)
	ok(t, s.Apply(t.Context(), tg))
	satisfied(t, s, tg, true)
	m.OnRun = func(host.Command) ([]byte, error) { return []byte("not permitted"), errors.New("exit status 1") }
	var ce *host.CommandError
	if err := s.Apply(t.Context(), tg); !errors.As(err, &ce) || !strings.Contains(err.Error(), "not permitted") {
		t.Errorf("error %v", err)
	}
}

func TestUndoOfTheUnknown(t *testing.T) {
	tg := &step.Target{Host: host.NewMemory()}
	if err := (step.Record{Kind: "future", Path: "/x"}).Undo(t.Context(), tg); err == nil {
		t.Error("an unknown kind of record was undone")
	}
	err := step.Record{Kind: step.KindFile, Path: "/x", Existed: true, Backup: "/gone"}.Undo(t.Context(), tg)
	if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/gone is gone") {
		t.Errorf("error %v", err)
	}
	// Somebody has put a directory where our file was: it is not ours to remove.
	ok(t, tg.Host.WriteFile("/x/theirs", nil, 0o600))
	if err := (step.Record{Kind: step.KindFile, Path: "/x"}).Undo(t.Context(), tg); err == nil {
		t.Error("a directory was removed in place of a file")
	}
}
