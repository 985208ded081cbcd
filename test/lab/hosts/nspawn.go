package hosts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	bootTimeout = 3 * time.Minute
	stopTimeout = 90 * time.Second
	// systemd as PID 1 powers off on SIGRTMIN+4.
	sigPoweroff = syscall.Signal(34 + 4)
)

// Start boots the host and returns when its systemd has finished starting and its address is up.
func (h *Host) Start(ctx context.Context) error {
	if h.running() {
		return fmt.Errorf("host %s is running", h.Name)
	}
	if err := h.lab.ensureNetwork(ctx); err != nil {
		return fmt.Errorf("hosts' network: %w", err)
	}
	if err := errors.Join(h.unplug(ctx), h.makeGroups()); err != nil {
		return err
	}
	console, err := os.OpenFile(h.ConsoleLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()

	args := []string{
		"--quiet", "--register=no", "-D", h.Root(), "-M", h.machine(), "--network-bridge=" + h.lab.Net.Bridge, "--boot",
		"--capability=all", "--system-call-filter=add_key keyctl bpf @keyring @module", "--bind=/dev/kmsg",
		"--resolv-conf=off", "--timezone=off", "--link-journal=no", "--notify-ready=yes",
	}
	if !h.lab.Machine.Systemd {
		args = append(args, "--keep-unit") // there is no systemd to ask for a scope
	}
	// The shell puts itself, and so everything below, into the host's groups before nspawn looks where it is.
	script := `for g in $LAB_GROUPS; do echo $$ > "$g/cgroup.procs" || exit 1; done; unset LAB_GROUPS; exec systemd-nspawn "$@"`
	cmd := exec.Command("sh", append([]string{"-c", script, "sh"}, args...)...) // outlives this process
	cmd.Env = append(os.Environ(), "SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes", "LAB_GROUPS="+strings.Join(h.groups(), " "))
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C at the lab's terminal is not a power cut
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start host %s: %w", h.Name, err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	h.PID = cmd.Process.Pid
	if err := h.save(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	if err := h.awaitBoot(ctx, done); err != nil {
		tail, _ := os.ReadFile(h.ConsoleLog()) // only decorates the error
		return fmt.Errorf("boot host %s: %w\nconsole: %s", h.Name, err, lastBytes(tail, 1500))
	}
	h.lab.Log.Info("host is up", "host", h.Name, "ip", h.IP, "runtime", h.Runtime)
	return nil
}

func (h *Host) awaitBoot(ctx context.Context, done <-chan error) error {
	for {
		// degraded is good enough: a unit that fails here says nothing about the installer.
		out, err := h.Output(ctx, "systemctl", "is-system-running")
		if s := strings.TrimSpace(out); s == "running" || s == "degraded" {
			addr, err := h.Output(ctx, "ip", "-o", "-4", "addr", "show", "dev", "host0")
			if err == nil && strings.Contains(addr, h.IP.String()+"/") {
				return nil
			}
		}
		select {
		case werr := <-done:
			return fmt.Errorf("systemd-nspawn ended: %w", werr)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// running says whether the nspawn process is this host's and alive.
func (h *Host) running() bool {
	if h.PID == 0 {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", h.PID))
	if err != nil || len(b) == 0 {
		return false
	}
	return strings.Contains(string(b), h.Root()+"\x00") // the number may be another process's by now
}

// Leader is the host's init, seen from the machine.
func (h *Host) Leader() (int, error) {
	if !h.running() {
		return 0, fmt.Errorf("host %s is off (on again: lab reboot %s)", h.Name, h.Name)
	}
	for _, outer := range append(children(h.PID), h.PID) {
		for _, pid := range append(children(outer), outer) {
			if isInit(pid) {
				return pid, nil
			}
		}
	}
	return 0, fmt.Errorf("host %s has no init yet", h.Name)
}

func children(pid int) []int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var out []int
	for _, t := range tasks {
		b, _ := os.ReadFile(t) // it may have gone
		for f := range strings.FieldsSeq(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// isInit says whether a process is number 1 of a process namespace below ours.
func isInit(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(v)
			return len(f) > 1 && f[len(f)-1] == "1"
		}
	}
	return false
}

// Kill is a power cut: nothing in the host gets a chance to write anything.
func (h *Host) Kill(ctx context.Context) error {
	if h.running() {
		if leader, err := h.Leader(); err == nil {
			syscall.Kill(leader, syscall.SIGKILL) //nolint:errcheck // the kernel ends everything below with it
		}
		syscall.Kill(h.PID, syscall.SIGKILL) //nolint:errcheck // may have ended with its child
	}
	return h.gone(ctx, 20*time.Second)
}

// Stop shuts the host down as its power button would, and pulls the plug if that takes too long.
func (h *Host) Stop(ctx context.Context) error {
	leader, err := h.Leader()
	if err != nil {
		return h.Kill(ctx)
	}
	if err := syscall.Kill(leader, sigPoweroff); err != nil {
		return fmt.Errorf("stop host %s: %w", h.Name, err)
	}
	if err := h.gone(ctx, stopTimeout); err != nil {
		h.lab.Log.Warn("host does not shut down, cutting its power", "host", h.Name)
		return h.Kill(ctx)
	}
	return nil
}

// gone waits until nspawn has ended, then clears up what it leaves behind.
func (h *Host) gone(ctx context.Context, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for h.running() && !zombie(h.PID) {
		if time.Now().After(deadline) {
			return fmt.Errorf("host %s does not end", h.Name)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	h.PID = 0
	if err := h.killMembers(); err != nil {
		return err
	}
	if err := h.unplug(ctx); err != nil {
		return err
	}
	os.Remove(filepath.Join("/run/systemd/nspawn/propagate", h.machine())) //nolint:errcheck // a killed nspawn leaves it, empty
	return errors.Join(h.removeGroups(), h.save())
}

// unplug takes the host's network cable away. The kernel would do it too, when it takes the host's namespace apart, but on a
// busy machine that is minutes after the last process ended, and a host that is started before finds its cable's name taken.
func (h *Host) unplug(ctx context.Context) error {
	cable := "vb-" + h.machine()
	if _, err := os.Stat("/sys/class/net/" + cable); err != nil {
		return nil //nolint:nilerr // there is none
	}
	_, err := run(ctx, "ip", "link", "del", cable)
	if _, gone := os.Stat("/sys/class/net/" + cable); gone != nil {
		return nil //nolint:nilerr // the kernel was quicker
	}
	return err
}

// machine is the host's name for nspawn, distinct between labs.
func (h *Host) machine() string { return h.lab.Net.Bridge + "-" + h.Name }

// zombie says whether a process has ended but was not waited for: it is so when the lab process that started it lives on
// elsewhere in its code.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	s := string(b)
	i := strings.LastIndexByte(s, ')')
	return i >= 0 && strings.HasPrefix(s[i+1:], " Z")
}

// Reboot shuts the host down, or starts it if it is off, and waits until it is up again.
func (h *Host) Reboot(ctx context.Context) error {
	if h.running() {
		if err := h.Stop(ctx); err != nil {
			return err
		}
	}
	return h.Start(ctx)
}

func lastBytes(b []byte, n int) string {
	if len(b) > n {
		b = b[len(b)-n:]
	}
	return string(b)
}
