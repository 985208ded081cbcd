package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kubebundle/test/lab/hosts"
)

// sample is one run of one contender.
type sample struct {
	Wall    time.Duration
	CPU     time.Duration // user and system, of the command and of all that it waited for
	RSS     int64         // bytes, of the largest process
	Size    int64         // bytes, of the file that was made
	Content int64         // bytes, of what is in it without the installer, compressed
	Away    time.Duration // how long the API did not serve, all gaps together
	Back    time.Duration // from the first gap's begin to the last one's end
	Failed  int           // requests of a client that were not done, or were done and are lost
}

// command runs a command to its end and measures it. A command is killed with all its children when ctx ends.
func command(ctx context.Context, argv ...string) (sample, []byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, all bytes.Buffer
	cmd.Stdout, cmd.Stderr = &tee{&out, &all}, &all
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	unix.Sync() // what the last one left to write is not this one's burden
	start := time.Now()
	err := cmd.Run()
	s := sample{Wall: time.Since(start)}
	if err != nil {
		return s, out.Bytes(), &hosts.Error{Args: argv, Output: all.String(), Err: err}
	}
	s.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.RSS = u.Maxrss * 1024
	}
	return s, out.Bytes(), nil
}

type tee struct{ a, b *bytes.Buffer }

func (t *tee) Write(p []byte) (int, error) {
	t.a.Write(p)
	return t.b.Write(p)
}

// floorRSS is the least RSS that command can see: a child starts in its parent's memory, and the kernel counts that.
func floorRSS() (int64, error) {
	return statusBytes("/proc/self/status", "VmHWM:")
}

func statusBytes(path, field string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, field); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			return n * 1024, err
		}
	}
	return 0, fmt.Errorf("no %s in %s", field, path)
}

// processCPU is what a running process, with all children that it has waited for, has used so far.
func processCPU(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in parentheses and may hold anything.
	_, rest, ok := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if !ok || len(f) < 15 {
		return 0, errors.New("/proc/PID/stat is not as proc(5) says")
	}
	var ticks int64
	for _, v := range f[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil // USER_HZ is 100 on every architecture of Linux that is left
}
