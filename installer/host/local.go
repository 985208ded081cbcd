package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Local is this machine.
type Local struct{ disk }

// NewLocal opens this machine.
func NewLocal() *Local {
	same := func(p string) (string, error) { return p, checkPath(p) }
	return &Local{disk{follow: same, entry: same}}
}

var _ Host = (*Local)(nil)

// systemPath is where a root shell finds programs; hosts differ in which of these a service or sudo gets.
var systemPath = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// LookPath implements Reader: $PATH first, then the system's folders.
func (l *Local) LookPath(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil && filepath.IsAbs(p) {
		return p, nil
	}
	for _, dir := range systemPath {
		p := dir + "/" + name
		if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("program %s: %w", name, exec.ErrNotFound)
}

// outputLimit bounds what a CommandError carries.
const outputLimit = 4 << 10

// Run implements Runner.
func (l *Local) Run(ctx context.Context, c Command) ([]byte, error) {
	prog, err := l.LookPath(c.Name)
	if err != nil {
		return nil, &CommandError{Command: c, Err: err}
	}
	cmd := exec.CommandContext(ctx, prog, c.Args...)
	cmd.Env = append([]string{"PATH=" + joinPath(), "HOME=/root", "LANG=C", "LC_ALL=C"}, c.Env...)
	cmd.Dir = "/"
	if c.Stdin != nil {
		cmd.Stdin = bytes.NewReader(c.Stdin)
	}
	var stdout bytes.Buffer
	var both tail
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&stdout, &both), &both
	cmd.WaitDelay = 5 * time.Second // a child that kept the pipe must not hold us
	err = cmd.Run()
	if err == nil {
		return stdout.Bytes(), nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return stdout.Bytes(), &CommandError{Command: c, Output: both.buf, Err: err}
}

// tail keeps everything that a command prints on both streams; os/exec writes them from two goroutines.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - outputLimit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func joinPath() string {
	out := os.Getenv("PATH")
	for _, d := range systemPath {
		if out != "" {
			out += ":"
		}
		out += d
	}
	return out
}

// Mounts implements Runner.
func (l *Local) Mounts() ([]string, error) {
	infos, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	out := make([]string, 0, len(infos))
	for _, m := range infos {
		out = append(out, m.Mountpoint)
	}
	return out, nil
}

// Unmount implements Runner.
func (l *Local) Unmount(p string, detach bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if detach {
		flags |= unix.MNT_DETACH
	}
	if err := unix.Unmount(p, flags); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", p, err)
	}
	return nil
}

// PortFree implements Reader.
func (l *Local) PortFree(port int) (bool, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", net.JoinHostPort("", strconv.Itoa(port)))
	if errors.Is(err, unix.EADDRINUSE) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("port %d: %w", port, err)
	}
	return true, ln.Close()
}
