package step

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Unit brings a systemd unit into a state.
type Unit struct {
	Name   string // kubelet.service
	Enable bool   // starts at boot
	Start  bool   // runs now
	// Files are files that the unit reads when it starts: a unit that has been running since before one of them changed is restarted.
	// Missing ones do not count.
	Files []string
	// Anew restarts it whatever its state: it has not seen its files as they are.
	Anew bool
}

func (s Unit) String() string {
	var what []string
	if s.Enable {
		what = append(what, "enable")
	}
	switch {
	case s.Start && len(s.Files) > 0:
		what = append(what, "(re)start")
	case s.Start:
		what = append(what, "start")
	}
	return strings.Join(what, " and ") + " " + s.Name
}

// Satisfied asks systemd.
func (s Unit) Satisfied(ctx context.Context, t *Target) (bool, error) {
	st, err := t.Host.UnitState(ctx, s.Name)
	if err != nil {
		return false, err
	}
	if s.Anew || !st.Exists || st.NeedReload || s.Enable && !st.Enabled || s.Start && !st.Active {
		return false, nil
	}
	if !s.Start {
		return true, nil
	}
	for _, f := range s.Files {
		fi, err := t.Host.Stat(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		if fi.ModTime().After(st.Since) {
			return false, nil
		}
	}
	return true, nil
}

// Apply reloads systemd, enables, and starts or restarts.
func (s Unit) Apply(ctx context.Context, t *Target) error {
	if err := t.Host.DaemonReload(ctx); err != nil {
		return err
	}
	if s.Enable {
		if err := t.Host.Enable(ctx, s.Name); err != nil {
			return err
		}
	}
	if !s.Start {
		return nil
	}
	// Restart starts what does not run, and also ends systemd's waiting between two attempts of a unit that keeps failing.
	return t.Host.Restart(ctx, s.Name)
}

// Before implements Undoer.
func (s Unit) Before(ctx context.Context, t *Target) ([]Record, error) {
	st, err := t.Host.UnitState(ctx, s.Name)
	if err != nil {
		return nil, err
	}
	return []Record{{Kind: KindUnit, Path: s.Name, Existed: st.Exists, Enabled: st.Enabled, Active: st.Active, Restarted: s.Start && len(s.Files) > 0}}, nil
}

// StopUnit stops a unit, and disables it if Disable.
type StopUnit struct {
	Name    string
	Disable bool
}

func (s StopUnit) String() string {
	if s.Disable {
		return "stop and disable " + s.Name
	}
	return "stop " + s.Name
}

// Satisfied if it does not run.
func (s StopUnit) Satisfied(ctx context.Context, t *Target) (bool, error) {
	st, err := t.Host.UnitState(ctx, s.Name)
	if err != nil {
		return false, err
	}
	// A unit between two attempts is not active but will be: only "dead" and "failed" are at rest.
	rest := !st.Exists || !st.Active && st.Sub != "auto-restart"
	return rest && (!s.Disable || !st.Enabled), nil
}

// Apply stops it.
func (s StopUnit) Apply(ctx context.Context, t *Target) error {
	if s.Disable {
		if err := t.Host.Disable(ctx, s.Name); err != nil {
			return err
		}
	}
	return t.Host.Stop(ctx, s.Name)
}

// Before implements Undoer.
func (s StopUnit) Before(ctx context.Context, t *Target) ([]Record, error) {
	st, err := t.Host.UnitState(ctx, s.Name)
	if err != nil {
		return nil, err
	}
	return []Record{{Kind: KindUnit, Path: s.Name, Existed: st.Exists, Enabled: st.Enabled, Active: st.Active}}, nil
}

var _ fmt.Stringer = Unit{}
