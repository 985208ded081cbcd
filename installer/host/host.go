package host

import (
	"context"
	"io"
	"io/fs"
	"net"
	"time"
)

// Host is a machine: files, commands, systemd units. It is the only door of the installer to any of them.
// Implementations: Local (this machine), Memory (tests), Rooted (a directory tree that is not running),
// and decorators: Recording. Every path is absolute, as the host sees it.
type Host interface {
	Reader
	FS
	Runner
	Units
}

// Reader looks and changes nothing. A Plan sees no more than this.
type Reader interface {
	ReadFile(path string) ([]byte, error)
	Stat(path string) (fs.FileInfo, error)
	Lstat(path string) (fs.FileInfo, error)
	Readlink(path string) (string, error)
	ReadDir(path string) ([]fs.DirEntry, error)
	// Open opens a file for reading, for content too big for ReadFile.
	Open(path string) (io.ReadCloser, error)
	// LookPath finds an executable as a root shell of the host would.
	LookPath(name string) (string, error)
	Facts(ctx context.Context) (Facts, error)
	// UnitState tells what systemd knows about a unit.
	UnitState(ctx context.Context, unit string) (UnitState, error)
	// PortFree reports whether a TCP port can be bound on all addresses.
	PortFree(port int) (bool, error)
	// DiskFree gives the bytes available to root at the nearest existing parent of path.
	DiskFree(path string) (uint64, error)
}

// Facts are what a host says about itself.
type Facts struct {
	Hostname       string
	OS             string // linux
	Arch           string // of the host's own programs, by Go's name: amd64
	Kernel         string // 6.1.0-13-amd64
	CPUs           int
	MemoryBytes    uint64
	SwapDevices    []string // active ones
	CgroupVersion  int      // 1 or 2
	UID            int
	Systemd        bool
	ResolvedActive bool              // systemd-resolved runs
	Addresses      []net.IPNet       // global unicast addresses, in interface order
	Interfaces     map[string]string // the names of their interfaces, by address ("10.0.0.10": "eth0")
	DefaultRouteIP net.IP            // source address of the default route; nil where there is none
	Nameservers    []string          // from /etc/resolv.conf
	Modules        map[string]bool   // loaded or built in
}

// UnitState is the state of a systemd unit.
type UnitState struct {
	Exists  bool
	Enabled bool
	Active  bool
	Sub     string // running, dead, auto-restart, …
	// Since is when it became active, on the clock that file times are measured with; zero where it is not active.
	Since time.Time
	// NeedReload says that its files changed since systemd read them.
	NeedReload bool
}

// FS changes files. Every write is atomic: temporary name, fsync, rename.
type FS interface {
	// WriteFile writes a whole file with exactly this mode (no umask), owner root, and makes missing parents with 0755.
	WriteFile(path string, data []byte, mode fs.FileMode) error
	// Create is WriteFile for a stream: nothing is at path before Commit.
	Create(path string, mode fs.FileMode) (PendingFile, error)
	MkdirAll(path string, mode fs.FileMode) error
	Symlink(target, path string) error
	Chmod(path string, mode fs.FileMode) error
	// Rename moves a file or a directory with all below it to another name on the same file system, in one go. Something at that name
	// already is an error that is fs.ErrExist.
	Rename(from, to string) error
	// Remove removes a file or an empty directory; a missing one is no error.
	Remove(path string) error
	RemoveAll(path string) error
	Append(path string, line []byte, mode fs.FileMode) error // one write and fsync
}

// PendingFile is a file being written.
type PendingFile interface {
	io.Writer
	Commit() error
	Abort() error // no-op after Commit
}

// Command is a command to run. Secrets go through Stdin or files, never Args.
type Command struct {
	Name  string
	Args  []string
	Stdin []byte
	Env   []string // added to a minimal environment
}

// Runner runs commands.
type Runner interface {
	// Run gives the standard output. A failure is a *CommandError.
	Run(ctx context.Context, c Command) ([]byte, error)
	// Mounts lists mount points, Unmount removes one, with MNT_DETACH if detach.
	Mounts() ([]string, error)
	Unmount(path string, detach bool) error
}

// Units controls systemd.
type Units interface {
	DaemonReload(ctx context.Context) error
	Enable(ctx context.Context, unit string) error
	Disable(ctx context.Context, unit string) error
	Start(ctx context.Context, unit string) error
	Restart(ctx context.Context, unit string) error
	Stop(ctx context.Context, unit string) error
}
