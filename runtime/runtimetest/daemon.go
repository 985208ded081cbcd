package runtimetest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Integration ends the test unless integration tests were asked for (KUBEBUNDLE_INTEGRATION=1, as root).
func Integration(tb testing.TB) {
	tb.Helper()
	if os.Getenv("KUBEBUNDLE_INTEGRATION") != "1" {
		tb.Skip("needs root and daemons: set KUBEBUNDLE_INTEGRATION=1")
	}
	if os.Geteuid() != 0 {
		tb.Fatal("integration tests of container runtimes need root")
	}
}

// Binaries lists daemons to test: the paths in the environment variable (colon-separated), else name from PATH.
func Binaries(tb testing.TB, env, name string) []string {
	tb.Helper()
	if v := os.Getenv(env); v != "" {
		return filepath.SplitList(v)
	}
	p, err := exec.LookPath(name)
	if err != nil {
		tb.Fatalf("%s not found: set %s, or install it (apt-get install %s)", name, env, map[string]string{"containerd": "containerd", "dockerd": "docker.io"}[name])
	}
	return []string{p}
}

// Daemon is a private daemon with all its data in Dir.
type Daemon struct {
	Dir    string
	Socket string // a path
	Config string // containerd's configuration file

	tb   testing.TB
	argv []string
	env  []string
	cmd  *exec.Cmd
	log  lockedBuffer
	done chan struct{}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.b.String()
	return s[max(0, len(s)-4000):]
}

// StartContainerd starts binary with CRI and the given extra lines of configuration, and stops it with the test.
func StartContainerd(tb testing.TB, binary, extra string) *Daemon {
	tb.Helper()
	d := newDaemon(tb)
	d.Socket = filepath.Join(d.Dir, "c.sock")
	d.Config = filepath.Join(d.Dir, "config.toml")
	// restrict_oom_score_adj: machines without CAP_SYS_RESOURCE. Version 2 is understood by all of 1.6 to 2.x.
	cfg := fmt.Sprintf(`version = 2
root = %q
state = %q
[grpc]
  address = %q
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = %q
%s`, d.Dir+"/root", d.Dir+"/state", d.Socket, d.Dir+"/cni", extra)
	if err := os.WriteFile(d.Config, []byte(cfg), 0o600); err != nil {
		tb.Fatal(err)
	}
	d.argv = []string{binary, "--config", d.Config}
	// Its shim stands beside it.
	d.env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	d.Start()
	return d
}

// StartDocker starts a dockerd that leaves the machine's network alone, and stops it with the test.
func StartDocker(tb testing.TB, binary string) *Daemon {
	tb.Helper()
	d := newDaemon(tb)
	d.Socket = filepath.Join(d.Dir, "d.sock")
	d.argv = []string{
		binary, "--data-root", d.Dir + "/root", "--exec-root", d.Dir + "/exec", "--pidfile", d.Dir + "/pid", "-H", "unix://" + d.Socket,
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=overlay2", "--config-file", d.Dir + "/daemon.json",
	}
	if err := os.WriteFile(d.Dir+"/daemon.json", []byte("{}"), 0o600); err != nil {
		tb.Fatal(err)
	}
	d.env = os.Environ()
	d.Start()
	return d
}

func newDaemon(tb testing.TB) *Daemon {
	tb.Helper()
	// Not tb.TempDir: a socket's path must be short.
	dir, err := os.MkdirTemp("", "kbrt") //nolint:usetesting // the name of a socket in it must stay short
	if err != nil {
		tb.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		tb.Fatal(err)
	}
	if st.Type == unix.OVERLAYFS_SUPER_MAGIC {
		tb.Fatalf("%s lies on an overlay, where no overlay can be made: set TMPDIR to a folder on a real file system", dir)
	}
	d := &Daemon{Dir: dir, tb: tb}
	tb.Cleanup(func() {
		d.Close()
		if tb.Failed() {
			tb.Logf("the daemon said: %s", d.log.tail())
		}
	})
	return d
}

// CPU is the processor time that the daemon and its finished children have used.
func (d *Daemon) CPU() time.Duration {
	d.tb.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		d.tb.Fatal(err)
	}
	// Fields 14 to 17 of proc(5): utime, stime, cutime, cstime, in hundredths of a second; 2 is a name in parentheses.
	var ticks int64
	for _, f := range strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))[11:15] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			d.tb.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// Start starts the daemon and waits until it listens.
func (d *Daemon) Start() {
	d.tb.Helper()
	d.cmd = exec.CommandContext(context.Background(), d.argv[0], d.argv[1:]...) // ended by Stop
	d.cmd.Env, d.cmd.Stdout, d.cmd.Stderr = d.env, &d.log, &d.log
	// A test binary that is killed takes its daemon along.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		d.tb.Fatal(err)
	}
	d.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // how it ended is told by its log
		close(done)
	}(d.cmd, d.done)
	deadline := time.After(60 * time.Second)
	var dialer net.Dialer
	for {
		if c, err := dialer.DialContext(context.Background(), "unix", d.Socket); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-d.done:
			d.tb.Fatalf("%s ended: %s", d.argv[0], d.log.tail())
		case <-deadline:
			d.tb.Fatalf("%s does not listen on %s: %s", d.argv[0], d.Socket, d.log.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop ends the daemon as systemd does.
func (d *Daemon) Stop() { d.end(syscall.SIGTERM) }

// Kill ends it without a word.
func (d *Daemon) Kill() { d.end(syscall.SIGKILL) }

func (d *Daemon) end(sig syscall.Signal) {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Signal(sig) // it may be gone already
	select {
	case <-d.done:
	case <-time.After(20 * time.Second):
		_ = d.cmd.Process.Kill()
		<-d.done
	}
	d.cmd = nil
}

// Close stops it and removes its data. The end of the test does the same.
func (d *Daemon) Close() {
	d.Stop()
	d.unmount()
	if err := os.RemoveAll(d.Dir); err != nil {
		d.tb.Error(err)
	}
}

// Restart stops and starts it.
func (d *Daemon) Restart() {
	d.Stop()
	d.Start()
}

// unmount takes away what a daemon that was killed left mounted.
func (d *Daemon) unmount() {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	lines := strings.Split(string(b), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if f := strings.Fields(lines[i]); len(f) > 1 && strings.HasPrefix(f[1], d.Dir+"/") {
			_ = unix.Unmount(f[1], unix.MNT_DETACH)
		}
	}
}
