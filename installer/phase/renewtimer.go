package phase

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
)

const (
	certsUnit      = "kubebundle-certs.service"
	certsTimer     = "kubebundle-certs.timer"
	certsUnitPath  = systemdDir + "/" + certsUnit
	certsTimerPath = systemdDir + "/" + certsTimer
	keptProgram    = "/var/lib/kubebundle/bin/install"
	renewWithin    = 720 * time.Hour // a month: time enough to see that it went wrong
)

// RenewTimer lets the node renew certificates by itself: a timer that every day renews what is about to end, with this program, of which the
// node keeps a copy. Days of nodes differ by up to half a day, so that several control planes do not start anew together.
type RenewTimer struct {
	RenewCerts

	Off bool
	// Program is where this program lies.
	Program string
}

// Name is ours.
func (RenewTimer) Name() string { return "renew-timer" }

// Plan refuses where the timer could only fail.
func (p RenewTimer) Plan(_ context.Context, _ *State, r host.Reader) ([]step.Step, error) {
	if p.Off {
		return []step.Step{
			step.StopUnit{Name: certsTimer, Disable: true},
			step.Remove{Path: certsTimerPath},
			step.Remove{Path: certsUnitPath},
			step.ForgetUnit{Name: certsTimer, File: certsTimerPath},
			step.Remove{Path: path.Dir(keptProgram), Recursive: true},
		}, nil
	}
	shortest, err := p.shortest(r)
	if err != nil {
		return nil, err
	}
	if p.Within == 0 {
		p.Within = min(renewWithin, shortest/3).Truncate(time.Hour)
	}
	if p.Within >= shortest || p.Within < time.Hour {
		return nil, fmt.Errorf("renew by a timer what ends within %s: the certificates live %s, so it would renew them at every look, or never in time", p.Within, shortest)
	}
	program := keptProgram
	var steps []step.Step
	if kept := path.Join(KeptBundle, "install"); exists(r, kept) {
		program = kept // it stays as long as the node
	} else {
		steps = append(steps, step.KeepProgram{From: p.Program, To: program})
	}
	return append(steps,
		step.File{Path: certsUnitPath, Mode: 0o644, Data: []byte(p.service(program))},
		step.File{Path: certsTimerPath, Mode: 0o644, Data: []byte(p.timer())},
		step.Unit{Name: certsTimer, Enable: true, Start: true, Files: []string{certsTimerPath}},
	), nil
}

// shortest is the shortest time that one of the named certificates was made to live. All of them must be there to be renewed.
func (p RenewTimer) shortest(r host.Reader) (time.Duration, error) {
	list, all, err := selectRenewable(p.Names)
	if err != nil {
		return 0, err
	}
	var errs []error
	shortest := time.Duration(0)
	for _, m := range list {
		e, found, err := readRenewable(r, p.CertDir, m, true)
		if err != nil {
			return 0, err
		}
		if e.Missing && all {
			continue
		}
		if e.Missing {
			errs = append(errs, fmt.Errorf("renew %s: %s is missing", m.Name, e.Path))
			continue
		}
		if _, err := readAuthority(r, p.CertDir, m.CA); err != nil {
			errs = append(errs, fmt.Errorf("renew %s: %w", m.Name, err))
			continue
		}
		certs, err := pki.ParseCertificates(found.cert)
		if err != nil {
			errs = append(errs, &MisfitError{Path: e.Path, Err: err})
			continue
		}
		if d := certs[0].NotAfter.Sub(certs[0].NotBefore); shortest == 0 || d < shortest {
			shortest = d
		}
	}
	if p.Validity > 0 && p.Validity < shortest {
		shortest = p.Validity
	}
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	if shortest == 0 {
		return 0, fmt.Errorf("renew by a timer: %s has no certificates: this host is no control plane node", p.CertDir)
	}
	return shortest, nil
}

func (p RenewTimer) service(program string) string {
	args := append([]string{program, "certs", "renew"}, p.Names...)
	args = append(args, "--within", hours(p.Within), "--cert-dir", p.CertDir)
	if p.Validity > 0 {
		args = append(args, "--cert-validity", hours(p.Validity))
	}
	return fmt.Sprintf(`# Written by kubebundle: install certs renew --timer; --timer=off takes it away.
[Unit]
Description=Renew certificates of this control plane that are about to end
After=network.target kubelet.service

[Service]
Type=oneshot
TimeoutStartSec=1h
ExecStart=%s
`, strings.Join(args, " "))
}

// hours writes a time as a flag takes it, without the zeros of String where it can.
func hours(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}

// timer looks every day; what ends within two days, every hour.
func (p RenewTimer) timer() string {
	when, spread := "daily", "12h"
	if p.Within < 48*time.Hour {
		when, spread = "hourly", "10min"
	}
	return fmt.Sprintf(`# Written by kubebundle: see %s.
[Unit]
Description=Look for certificates of this control plane that are about to end

[Timer]
OnCalendar=%s
RandomizedDelaySec=%s
Persistent=true

[Install]
WantedBy=timers.target
`, certsUnit, when, spread)
}
