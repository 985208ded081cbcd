package crash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// slot is the room that the pipe has: one packet, whatever its size up to this.
const slot = 4096

// held is a running command whose every message on standard error needs leave. It is written into a pipe of one slot that is kept full, so the
// command waits in write(2), and what it is about to say is read from its memory.
type held struct {
	cmd    *exec.Cmd
	nested bool   // what runs is not the command but its one child
	pipe   int    // the end to read from
	name   string // of the pipe, as /proc shows it
	pid    int    // of what runs, 0 as long as that is not known
	ended  chan struct{}
	err    error // of the command, when it has ended
	line   []byte
	said   bytes.Buffer
}

// hold starts a command. nested says that it is a wrapper with one child, which is meant (nsenter in a lab's host).
func hold(cmd *exec.Cmd, nested bool) (*held, error) {
	var p [2]int
	// Packets: what is written at once takes the slot, however short.
	if err := unix.Pipe2(p[:], unix.O_DIRECT|unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make a pipe of packets: %w", err)
	}
	w := os.NewFile(uintptr(p[1]), "stderr")
	defer w.Close() // the command has its own
	h := &held{cmd: cmd, nested: nested, pipe: p[0], ended: make(chan struct{})}
	if n, err := unix.FcntlInt(uintptr(p[0]), unix.F_SETPIPE_SZ, slot); err != nil || n != slot {
		return nil, errors.Join(fmt.Errorf("make a pipe of one slot: it has %d bytes, %w", n, err), unix.Close(p[0]))
	}
	if _, err := unix.Write(p[1], []byte{'\n'}); err != nil {
		return nil, errors.Join(err, unix.Close(p[0]))
	}
	if h.name, _ = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", p[0])); h.name == "" {
		return nil, errors.Join(errors.New("/proc does not name a pipe"), unix.Close(p[0]))
	}
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, unix.Close(p[0]))
	}
	go func() {
		h.err = cmd.Wait()
		close(h.ended)
	}()
	return h, nil
}

// next waits until the command is about to say something and returns it, or false if it has ended.
func (h *held) next() ([]byte, bool, error) {
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 2*time.Millisecond) {
		select {
		case <-h.ended:
			return nil, false, h.close()
		default:
		}
		if err := h.find(); err != nil {
			return nil, false, err
		}
		line, err := h.waiting()
		if line != nil || err != nil {
			h.line = line
			return line, true, err
		}
		time.Sleep(pause)
	}
}

// pass lets the command say what next returned, and go on.
func (h *held) pass() error {
	if err := h.take(); err != nil { // the message before this one
		return err
	}
	// A long one comes in several packets, all but the last of which have to go before it goes on.
	for left := len(h.line) - slot; left > 0; left -= slot {
		if err := h.await(); err != nil {
			return err
		}
		if err := h.take(); err != nil {
			return err
		}
	}
	return h.await()
}

// kill ends what runs with SIGKILL, where it is, and waits for its end.
func (h *held) kill() error {
	if h.pid == 0 {
		return errors.New("kill: what runs is not known")
	}
	if err := unix.Kill(h.pid, unix.SIGKILL); err != nil {
		return fmt.Errorf("kill process %d: %w", h.pid, err)
	}
	<-h.ended
	return h.close()
}

func (h *held) close() error {
	if h.pipe < 0 {
		return nil
	}
	err := h.take() // the last message is still in the pipe
	if errors.Is(err, errEmpty) {
		err = nil
	}
	err = errors.Join(err, unix.Close(h.pipe))
	h.pipe = -1
	return err
}

var errEmpty = errors.New("the pipe is empty")

// take reads the packet in the pipe.
func (h *held) take() error {
	if n, err := h.full(); err != nil || n == 0 {
		return errors.Join(errEmpty, err)
	}
	b := make([]byte, slot)
	n, err := unix.Read(h.pipe, b)
	if err != nil {
		return fmt.Errorf("read the pipe: %w", err)
	}
	h.said.Write(b[:n])
	return nil
}

// full is how many bytes are in the pipe.
func (h *held) full() (int, error) {
	return unix.IoctlGetInt(h.pipe, unix.TIOCINQ)
}

// await waits until a packet is in the pipe.
func (h *held) await() error {
	for range 100_000 {
		if n, err := h.full(); err != nil || n > 0 {
			return err
		}
		time.Sleep(50 * time.Microsecond)
	}
	return errors.New("a message that was let through did not come")
}

// find learns the process that is meant.
func (h *held) find() error {
	if h.pid != 0 {
		return nil
	}
	if !h.nested {
		h.pid = h.cmd.Process.Pid
		return nil
	}
	parent := strconv.Itoa(h.cmd.Process.Pid)
	b, err := os.ReadFile("/proc/" + parent + "/task/" + parent + "/children")
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	exe, err := os.Readlink("/proc/" + parent + "/exe")
	if err != nil || filepath.Base(exe) != "nsenter" {
		return nil // not yet
	}
	if f := strings.Fields(string(b)); len(f) == 1 {
		h.pid, err = strconv.Atoi(f[0])
		return err
	}
	return nil
}

// waiting is the message in whose write(2) a thread waits, nil if none does.
func (h *held) waiting() ([]byte, error) {
	if h.pid == 0 {
		return nil, nil
	}
	if n, err := h.full(); err != nil || n == 0 {
		return nil, err // then nobody waits
	}
	dir := fmt.Sprintf("/proc/%d/", h.pid)
	threads, err := os.ReadDir(dir + "task")
	if err != nil {
		return nil, nil //nolint:nilerr // it is about to end
	}
	for _, t := range threads {
		b, err := os.ReadFile(dir + "task/" + t.Name() + "/syscall")
		if err != nil {
			continue
		}
		var nr, fd, at, n uint64
		if _, err := fmt.Sscanf(string(b), "%d 0x%x 0x%x 0x%x", &nr, &fd, &at, &n); err != nil || nr != unix.SYS_WRITE || n == 0 {
			continue
		}
		if to, err := os.Readlink(fmt.Sprintf("%sfd/%d", dir, fd)); err != nil || to != h.name {
			continue
		}
		mem, err := os.Open(dir + "mem")
		if err != nil {
			return nil, err
		}
		line := make([]byte, n)
		_, err = mem.ReadAt(line, int64(at))
		return line, errors.Join(err, mem.Close())
	}
	return nil, nil
}
