package phase

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// applyAll applies steps of any kind; all of them can be made in memory.
func applyAll(t *testing.T, m *host.Memory, steps []step.Step) {
	t.Helper()
	for _, st := range steps {
		if err := st.Apply(t.Context(), &step.Target{Host: m}); err != nil {
			t.Fatalf("%s: %v", st, err)
		}
		if ok, err := st.Satisfied(t.Context(), &step.Target{Host: m}); err != nil || !ok {
			t.Errorf("%s: not satisfied after it was applied (%v)", st, err)
		}
	}
}

func timer(t *testing.T, m *host.Memory, p RenewTimer) ([]step.Step, error) {
	t.Helper()
	p.Names, p.CertDir, p.Program = []string{"all"}, testPKI, filepath.Join(t.TempDir(), "install")
	if err := os.WriteFile(p.Program, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	return p.Plan(t.Context(), &State{Now: testNow()}, m)
}

func TestRenewTimer(t *testing.T) {
	m := initialised(t)
	before := m.Snapshot()
	steps, err := timer(t, m, RenewTimer{})
	if err != nil {
		t.Fatal(err)
	}
	applyAll(t, m, steps)
	service, err := m.ReadFile(certsUnitPath)
	if err != nil || !strings.Contains(string(service), "ExecStart=/var/lib/kubebundle/bin/install certs renew all --within 720h --cert-dir /etc/kubernetes/pki\n") {
		t.Errorf("%v\n%s", err, service)
	}
	when, err := m.ReadFile(certsTimerPath)
	if err != nil || !strings.Contains(string(when), "OnCalendar=daily\n") || !strings.Contains(string(when), "Persistent=true\n") {
		t.Errorf("%v\n%s", err, when)
	}
	if st := m.Units()[certsTimer]; !st.Enabled || !st.Active {
		t.Errorf("the timer is %+v", st)
	}
	if got, err := m.ReadFile(keptProgram); err != nil || string(got) != "program" {
		t.Errorf("kept %q, %v", got, err)
	}
	off, err := timer(t, m, RenewTimer{Off: true})
	if err != nil {
		t.Fatal(err)
	}
	applyAll(t, m, off)
	if st := m.Units()[certsTimer]; st.Enabled || st.Active {
		t.Errorf("the timer is %+v", st)
	}
	for p := range m.Snapshot() {
		if _, known := before[p]; !known && strings.Contains(p, "certs") {
			t.Errorf("%s is left behind", p)
		}
	}
}

// A Docker node keeps its whole bundle, and the program in it.
func TestRenewTimerUsesTheKeptBundle(t *testing.T) {
	m := initialised(t)
	if err := m.WriteFile(KeptBundle+"/install", []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	steps, err := timer(t, m, RenewTimer{RenewCerts: RenewCerts{Validity: 2160 * time.Hour, Within: 240 * time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	applyAll(t, m, steps)
	service, err := m.ReadFile(certsUnitPath)
	if err != nil || !strings.Contains(string(service), "ExecStart="+KeptBundle+"/install certs renew all --within 240h --cert-dir /etc/kubernetes/pki --cert-validity 2160h\n") {
		t.Errorf("%v\n%s", err, service)
	}
	if exists(m, keptProgram) {
		t.Error("the program is kept twice")
	}
}

// What lives two days is looked at every hour, and what ends within a third of that is renewed.
func TestRenewTimerOfShortLives(t *testing.T) {
	m := initialised(t)
	renew(t, m, testNow(), RenewCerts{Names: []string{"all"}, Validity: 48 * time.Hour}, everything)
	steps, err := timer(t, m, RenewTimer{})
	if err != nil {
		t.Fatal(err)
	}
	applyAll(t, m, steps)
	for file, want := range map[string]string{certsUnitPath: "--within 16h ", certsTimerPath: "OnCalendar=hourly\n"} {
		if got, err := m.ReadFile(file); err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%v, no %q in\n%s", err, want, got)
		}
	}
}

func TestRenewTimerRefuses(t *testing.T) {
	external := initialised(t)
	if err := external.Remove(testPKI + "/ca.key"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		m    *host.Memory
		p    RenewTimer
		want string
	}{
		"a CA elsewhere":       {external, RenewTimer{}, "ca.key is not on this host"},
		"no certificates":      {host.NewMemory(), RenewTimer{}, "no control plane node"},
		"longer than they are": {initialised(t), RenewTimer{RenewCerts: RenewCerts{Within: 9000 * time.Hour}}, "it would renew them at every look"},
		"too short a life":     {initialised(t), RenewTimer{RenewCerts: RenewCerts{Validity: time.Hour}}, "or never in time"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := timer(t, c.m, c.p); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// Whoever chose how long certificates live chose it for their successors.
func TestRenewKeepsTheLife(t *testing.T) {
	m := initialised(t)
	const life = 1000 * time.Hour
	renew(t, m, testNow(), RenewCerts{Names: []string{"all"}, Validity: life}, everything)
	later := testNow().Add(900 * time.Hour)
	renew(t, m, later, RenewCerts{Names: []string{"all"}}, everything)
	for _, name := range RenewableNames() {
		if c := certificate(t, m, name); c.NotAfter.Sub(c.NotBefore) != life || !c.NotAfter.After(later) {
			t.Errorf("%s lives %s, until %s", name, c.NotAfter.Sub(c.NotBefore), c.NotAfter)
		}
	}
}
