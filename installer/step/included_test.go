package step_test

import (
	"io/fs"
	"testing"

	"kubebundle/bundle/bundletest"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// TestIncluded: included files arrive with their permissions, and reset leaves the host as it was.
func TestIncluded(t *testing.T) {
	mk := bundletest.Small()
	mk.File("include/etc/kubernetes/audit.yaml", 0o640, []byte("rules: none\n"))
	mk.File("include/etc/motd", 0o644, []byte("welcome\n"))
	b := open(t, mk.WriteDir(t, t.TempDir()))
	m := host.NewMemory()
	ok(t, m.WriteFile("/etc/motd", []byte("the site's own\n"), 0o600))
	before := m.Snapshot()
	tg := &step.Target{Host: m, Bundle: b}
	s := step.NewIncluded(b.Contract())
	if got, want := s.String(), "install 2 included files 20 B: /etc/kubernetes/audit.yaml, /etc/motd"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := step.NewBinaries(b.Contract()).String(), "install 2 programs and units 66 kB"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	recs, err := s.Before(t.Context(), tg)
	ok(t, err)
	for _, r := range recs {
		ok(t, r.Keep(tg))
	}
	satisfied(t, s, tg, false)
	ok(t, s.Apply(t.Context(), tg))
	satisfied(t, s, tg, true)
	for p, want := range map[string]struct {
		text string
		mode fs.FileMode
	}{"/etc/kubernetes/audit.yaml": {"rules: none\n", 0o640}, "/etc/motd": {"welcome\n", 0o644}} {
		got, err := m.ReadFile(p)
		ok(t, err)
		fi, err := m.Stat(p)
		ok(t, err)
		if string(got) != want.text || fi.Mode().Perm() != want.mode {
			t.Errorf("%s: %q %o", p, got, fi.Mode().Perm())
		}
	}
	// A file that somebody has changed is not what the bundle brings.
	ok(t, m.WriteFile("/etc/motd", []byte("Welcome\n"), 0o644))
	satisfied(t, s, tg, false)
	for i := len(recs) - 1; i >= 0; i-- {
		ok(t, recs[i].Undo(t.Context(), tg))
	}
	ok(t, m.RemoveAll(step.BackupDir))
	after := m.Snapshot()
	for p, text := range before {
		if after[p] != text {
			t.Errorf("after undo, %s is %q, was %q", p, after[p], text)
		}
	}
	if _, err := m.Stat("/etc/kubernetes"); err == nil {
		t.Error("/etc/kubernetes is left")
	}
}
