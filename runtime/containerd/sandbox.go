package containerd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"
)

// DefaultConfig is the configuration file that containerd reads unless told otherwise.
const DefaultConfig = "/etc/containerd/config.toml"

// configuredSandbox finds out the sandbox image of a containerd 2.x, whose CRI does not tell it: the daemon's own program is asked what
// its configuration file, with its imports and its built-in defaults, comes to. "" if that cannot be found out. An edit
// of the file after the daemon started shows here before it counts.
func (r *Runtime) configuredSandbox(ctx context.Context) string {
	exe, config, err := r.process()
	if err != nil {
		r.log.Debug("containerd's process not found", "err", err)
		return ""
	}
	// Without a configuration file `config dump` gives the defaults.
	out, err := exec.CommandContext(ctx, exe, "--config", config, "config", "dump").Output()
	if err != nil {
		r.log.Debug("containerd does not show its configuration", "exe", exe, "config", config, "err", err)
		return ""
	}
	return sandboxOf(out)
}

// ConfigFile is the configuration file that the daemon was started with.
func (r *Runtime) ConfigFile() (string, error) {
	_, config, err := r.process()
	return config, err
}

// process looks up the daemon behind the socket: its program and its configuration file.
func (r *Runtime) process() (exe, config string, err error) {
	pid, err := peer(r.socket)
	if err != nil {
		return "", "", fmt.Errorf("find the process behind %s: %w", r.socket, err)
	}
	proc := fmt.Sprintf("/proc/%d", pid)
	// The link also leads into another mount namespace, and to a program that was replaced since.
	exe = proc + "/exe"
	args, err := os.ReadFile(proc + "/cmdline")
	if err != nil {
		return "", "", fmt.Errorf("find the process behind %s: %w", r.socket, err)
	}
	config = configFlag(strings.Split(strings.TrimRight(string(args), "\x00"), "\x00"))
	if !filepath.IsAbs(config) {
		cwd, err := os.Readlink(proc + "/cwd")
		if err != nil {
			return "", "", fmt.Errorf("find the process behind %s: %w", r.socket, err)
		}
		config = filepath.Join(cwd, config)
	}
	return exe, config, nil
}

// configFlag finds --config in a command line, as containerd's flag package understands it.
func configFlag(args []string) string {
	for i, a := range args {
		name, value, has := strings.Cut(a, "=")
		if name != "-c" && name != "--config" && name != "-config" && name != "--c" {
			continue
		}
		if has {
			return value
		}
		if i+1 < len(args) {
			return args[i+1]
		}
	}
	return DefaultConfig
}

// peer is the process that listens on a socket.
func peer(path string) (int, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return 0, err
	}
	defer c.Close() //nolint:errcheck // only opened to ask
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var inner error
	err = raw.Control(func(fd uintptr) {
		cred, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, inner); err != nil {
		return 0, err
	}
	// Under socket activation that is systemd, and in another PID namespace 0.
	if cred.Pid <= 1 {
		return 0, fmt.Errorf("it is process %d", cred.Pid)
	}
	return int(cred.Pid), nil
}

// sandboxOf reads the sandbox image out of a configuration of any version.
func sandboxOf(config []byte) string {
	var c struct {
		Plugins map[string]map[string]any `toml:"plugins"`
	}
	if err := toml.Unmarshal(config, &c); err != nil {
		return ""
	}
	if pinned, ok := c.Plugins[imagesPlugin]["pinned_images"].(map[string]any); ok {
		if s, ok := pinned["sandbox"].(string); ok {
			return s
		}
	}
	s, _ := c.Plugins[criPlugin]["sandbox_image"].(string)
	return s
}
