package installer_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer"
	"kubebundle/installer/host"
	"kubebundle/installer/phase"
	"kubebundle/installer/step"
)

func installed(t *testing.T) *host.Memory {
	t.Helper()
	m := stranger(t)
	if _, err := engine(t, m, nil).Run(t.Context(), workflow(), &phase.State{}); err != nil {
		t.Fatal(err)
	}
	return m
}

func journalText(t *testing.T, m *host.Memory) string {
	t.Helper()
	b, err := m.ReadFile(installer.JournalPath)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func writeJournal(t *testing.T, m *host.Memory, text string) {
	t.Helper()
	if err := m.WriteFile(installer.JournalPath, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTornLine cuts the journal after every byte of its last line.
func TestTornLine(t *testing.T) {
	m := installed(t)
	text := journalText(t, m)
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	head := strings.Join(lines[:len(lines)-1], "")
	for cut := len(head) + 1; cut < len(text); cut++ {
		writeJournal(t, m, text[:cut])
		j, err := installer.OpenJournal(m)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if _, _, ended := j.Workflow(); ended {
			t.Fatalf("cut at %d: the torn line counts", cut)
		}
	}
	// The next run that writes repairs it.
	if err := m.Remove("/etc/kubernetes/pki/ca.key"); err != nil {
		t.Fatal(err)
	}
	if _, err := engine(t, m, nil).Run(t.Context(), workflow(), &phase.State{}); err != nil {
		t.Fatal(err)
	}
	if got := journalText(t, m); !strings.HasPrefix(got, head) || !strings.HasSuffix(got, "\n") {
		t.Errorf("the repaired journal does not go on from its whole lines:\n%s", got)
	}
	if _, err := installer.OpenJournal(m); err != nil {
		t.Errorf("the repaired journal cannot be read: %v", err)
	}
}

func TestDamagedJournal(t *testing.T) {
	m := installed(t)
	text := journalText(t, m)
	lines := strings.SplitAfter(text, "\n")
	lines[3] = "\x00\x00\n"
	writeJournal(t, m, strings.Join(lines, ""))
	j, err := installer.OpenJournal(m)
	var je *installer.JournalError
	if !errors.As(err, &je) || je.Line != 4 {
		t.Fatalf("error %v", err)
	}
	if !strings.Contains(installer.Hint(err), "reset") {
		t.Errorf("hint %q", installer.Hint(err))
	}
	// Reset takes back what can be read, and sweeps the rest.
	if _, err := resetter(m, j).Run(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{installer.Dir, "/etc/kubernetes", "/var/lib/kubelet", "/etc/systemd/system/kubelet.service"} {
		if _, err := m.Lstat(p); err == nil {
			t.Errorf("%s is left", p)
		}
	}
}

func TestJournalTellsHowItWasFirst(t *testing.T) {
	j, err := installer.OpenJournal(installed(t))
	if err != nil {
		t.Fatal(err)
	}
	// A replaced file is described once, as it was before the first run.
	var about []step.Record
	for _, r := range j.Records() {
		if r.Path == "/etc/runtime/config.toml" {
			about = append(about, r)
		}
	}
	want := []step.Record{{Kind: step.KindFile, Path: "/etc/runtime/config.toml", Existed: true, Mode: 0o640, Backup: "/var/lib/kubebundle/backup/etc/runtime/config.toml"}}
	if d := cmp.Diff(want, about); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestLock(t *testing.T) {
	p := filepath.Join(t.TempDir(), "lock")
	l, err := installer.AcquireLock(p, "install init")
	if err != nil {
		t.Fatal(err)
	}
	var locked *installer.LockedError
	if _, err := installer.AcquireLock(p, "install join"); !errors.As(err, &locked) || !strings.Contains(locked.Holder, ": install init, since 2") {
		t.Fatalf("second lock: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(p); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	l, err = installer.AcquireLock(p, "install join")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"state":"begin"}` + "\n"))
	f.Add([]byte(`{"state":"intent","undo":[{"kind":"file","path":"/x"}]}` + "\n{"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := host.NewMemory()
		if err := m.WriteFile(installer.JournalPath, data, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := installer.OpenJournal(m)
		if whole := strings.Contains(string(data), "\n"); err == nil && j.Empty() == whole {
			t.Errorf("%q was read without an error, and the journal is empty: %t", data, j.Empty())
		}
	})
}
