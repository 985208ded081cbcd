package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// daemon is a containerd of its own, with all its data in a folder that goes away with it.
type daemon struct {
	dir    string
	socket string
	cmd    *exec.Cmd
	log    bytes.Buffer
	done   chan error
}

// startDaemon starts binary with CRI, as a node has it, and waits until it answers.
func startDaemon(ctx context.Context, dir, binary string) (*daemon, error) {
	d := &daemon{socket: filepath.Join(dir, "c.sock"), dir: dir, done: make(chan error, 1)}
	conf := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\n[grpc]\n  address = %q\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\n  conf_dir = %q\n",
		dir+"/root", dir+"/state", d.socket, dir+"/cni")
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(conf), 0o600); err != nil {
		return nil, err
	}
	d.cmd = exec.Command(binary, "--config", filepath.Join(dir, "config.toml"))
	d.cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { d.done <- d.cmd.Wait() }()
	for deadline := time.After(time.Minute); ; {
		if c, err := (&net.Dialer{}).DialContext(ctx, "unix", d.socket); err == nil {
			return d, c.Close()
		}
		select {
		case err := <-d.done:
			return nil, fmt.Errorf("%s ended: %w\n%s", binary, err, d.log.Bytes())
		case <-deadline:
			return nil, errors.Join(fmt.Errorf("%s does not listen on %s", binary, d.socket), d.stop())
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), d.stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the daemon and removes its data.
func (d *daemon) stop() error {
	err := d.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-d.done: //nolint:errcheck // it was asked to end
	case <-time.After(20 * time.Second):
		err = errors.Join(err, d.cmd.Process.Kill())
		<-d.done //nolint:errcheck // it was killed
	}
	mounts, merr := mountinfo.GetMounts(mountinfo.PrefixFilter(d.dir))
	for i := len(mounts) - 1; i >= 0; i-- {
		if strings.HasPrefix(mounts[i].Mountpoint, d.dir+"/") {
			merr = errors.Join(merr, unix.Unmount(mounts[i].Mountpoint, unix.MNT_DETACH))
		}
	}
	return errors.Join(err, merr, os.RemoveAll(d.dir))
}
