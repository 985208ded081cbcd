package hosts

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

const (
	inotifyPath = "/proc/sys/fs/inotify/max_user_instances"
	// inotifyInstances is for two labs of three control planes at a time: all hosts are root's, and systemd, the runtime, the kubelet and every pod have
	// some. The kernel's default of 128 is used up by two hosts and a half, and then a kubelet ends with "too many open files".
	inotifyInstances = 1024
)

// raiseInotify raises the machine's limit. It stays: another lab may be at work.
func (l *Lab) raiseInotify() error {
	text, err := os.ReadFile(inotifyPath)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("read %s: %w", inotifyPath, err)
	}
	if n >= inotifyInstances {
		return nil
	}
	l.Log.Info("raise fs.inotify.max_user_instances", "from", n, "to", inotifyInstances)
	return os.WriteFile(inotifyPath, []byte(strconv.Itoa(inotifyInstances)+"\n"), 0o644)
}
