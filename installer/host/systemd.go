package host

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The local units are driven with systemctl, not over D-Bus: the program and its properties are the same from systemd 219 (2015) to
// today, it works from a chroot-less rescue shell without a system bus, and a failing line can be pasted.

func systemdRuns() bool {
	fi, err := os.Lstat("/run/systemd/system") // sd_booted(3)
	return err == nil && fi.IsDir()
}

// UnitState implements Reader. Where systemd does not run, no unit exists.
func (l *Local) UnitState(ctx context.Context, unit string) (UnitState, error) {
	if !systemdRuns() {
		return UnitState{}, nil
	}
	out, err := l.Run(ctx, Command{Name: "systemctl", Args: []string{
		"show", "--no-pager", "-p",
		"LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,ActiveEnterTimestampMonotonic,ExecMainStartTimestampMonotonic", unit,
	}})
	if err != nil {
		return UnitState{}, err
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return UnitState{}, err
	}
	return parseUnitState(string(out), time.Now(), time.Duration(now.Nano())), nil
}

// parseUnitState reads the output of `systemctl show`. wall and mono are the same moment on two clocks: systemd tells times since boot.
func parseUnitState(out string, wall time.Time, mono time.Duration) UnitState {
	p := map[string]string{}
	for line := range strings.Lines(out) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		p[k] = v
	}
	st := UnitState{
		Exists:     p["LoadState"] != "" && p["LoadState"] != "not-found",
		Active:     p["ActiveState"] == "active" || p["ActiveState"] == "reloading",
		Sub:        p["SubState"],
		NeedReload: p["NeedDaemonReload"] == "yes",
	}
	switch p["UnitFileState"] {
	case "enabled", "enabled-runtime", "static", "generated", "alias", "indirect": // enabling could do no more
		st.Enabled = true
	}
	if !st.Active {
		return st
	}
	// A service read its files when its process started, which for Type=notify is before it became active.
	for _, key := range []string{"ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic"} {
		if us, err := strconv.ParseInt(p[key], 10, 64); err == nil && us > 0 {
			st.Since = wall.Add(time.Duration(us)*time.Microsecond - mono)
			break
		}
	}
	return st
}

func (l *Local) systemctl(ctx context.Context, args ...string) error {
	_, err := l.Run(ctx, Command{Name: "systemctl", Args: args})
	return err
}

// DaemonReload implements Units, as do the methods below.
func (l *Local) DaemonReload(ctx context.Context) error { return l.systemctl(ctx, "daemon-reload") }

// Enable implements Units.
func (l *Local) Enable(ctx context.Context, unit string) error {
	return l.systemctl(ctx, "enable", unit)
}

// Disable implements Units.
func (l *Local) Disable(ctx context.Context, unit string) error {
	return l.systemctl(ctx, "disable", unit)
}

// Start implements Units.
func (l *Local) Start(ctx context.Context, unit string) error { return l.systemctl(ctx, "start", unit) }

// Restart implements Units. A unit that failed too often too quickly is first forgiven, or systemd would refuse.
func (l *Local) Restart(ctx context.Context, unit string) error {
	if err := l.systemctl(ctx, "reset-failed", unit); err != nil && ctx.Err() != nil {
		return err // otherwise: the unit was not loaded yet, so there is nothing to forgive
	}
	return l.systemctl(ctx, "restart", unit)
}

// Stop implements Units. A unit that ended badly would be listed as failed even when its file is gone, so that is forgotten too.
func (l *Local) Stop(ctx context.Context, unit string) error {
	if err := l.systemctl(ctx, "stop", unit); err != nil {
		return err
	}
	if err := l.systemctl(ctx, "reset-failed", unit); err != nil && ctx.Err() != nil {
		return err // otherwise: it is not loaded any more
	}
	return nil
}
