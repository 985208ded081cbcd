package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// ErrNotRunning is wrapped by what a host that is only a directory tree cannot do.
var ErrNotRunning = errors.New("the host is not running")

// Rooted is a directory tree that is not running: an image being prepared, a mounted disk.
type Rooted struct {
	disk
	root  string
	facts Facts
}

var _ Host = (*Rooted)(nil)

// FactsOf says what a tree of files tells about the machine that it will be. What only a running machine knows (addresses, memory) is not
// in it.
func FactsOf(root string) (Facts, error) {
	fi, err := os.Stat(root)
	if err != nil {
		return Facts{}, err
	}
	if !fi.IsDir() {
		return Facts{}, fmt.Errorf("%s: not a directory", root)
	}
	r, err := NewRooted(root, Facts{})
	if err != nil {
		return Facts{}, err
	}
	f := Facts{OS: "linux", Arch: archOfPrograms(r.resolve, ""), CgroupVersion: 2, UID: os.Geteuid(), Systemd: true}
	if b, err := r.ReadFile("/etc/hostname"); err == nil {
		f.Hostname = strings.TrimSpace(string(b))
	}
	// systemd-resolved's users have its file as a link.
	if to, err := r.Readlink("/etc/resolv.conf"); err == nil {
		f.ResolvedActive = strings.Contains(to, "systemd/resolve")
	}
	return f, nil
}

// NewRooted opens the tree at root. Facts cannot be asked there, so the caller says what the machine will be.
func NewRooted(root string, f Facts) (*Rooted, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return nil, err
	}
	r := &Rooted{root: root, facts: f}
	r.disk = disk{follow: r.resolve, entry: r.resolveEntry}
	return r, nil
}

// resolve follows every link inside the root: a link to /lib means the root's /lib.
func (r *Rooted) resolve(p string) (string, error) {
	if err := checkPath(p); err != nil {
		return "", err
	}
	return securejoin.SecureJoin(r.root, p)
}

// resolveEntry follows all links but the last.
func (r *Rooted) resolveEntry(p string) (string, error) {
	if err := checkPath(p); err != nil {
		return "", err
	}
	if p == "/" {
		return r.root, nil
	}
	dir, err := securejoin.SecureJoin(r.root, path.Dir(p))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, path.Base(p)), nil
}

// LookPath implements Reader.
func (r *Rooted) LookPath(name string) (string, error) {
	for _, dir := range systemPath {
		p := dir + "/" + name
		if fi, err := r.Stat(p); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("program %s: %w", name, exec.ErrNotFound)
}

// Facts implements Reader.
func (r *Rooted) Facts(context.Context) (Facts, error) { return r.facts, nil }

// PortFree implements Reader: nothing listens.
func (r *Rooted) PortFree(int) (bool, error) { return true, nil }

// Run implements Runner: nothing can be run.
func (r *Rooted) Run(_ context.Context, c Command) ([]byte, error) {
	return nil, &CommandError{Command: c, Err: ErrNotRunning}
}

// Mounts implements Runner: nothing is mounted.
func (r *Rooted) Mounts() ([]string, error) { return nil, nil }

// Unmount implements Runner.
func (r *Rooted) Unmount(p string, _ bool) error {
	return fmt.Errorf("unmount %s: %w", p, ErrNotRunning)
}

const etcUnits = "/etc/systemd/system"

var unitDirs = []string{etcUnits, "/usr/lib/systemd/system", "/lib/systemd/system"}

// unitFile finds a unit's file.
func unitFile(r Reader, unit string) (string, bool) {
	for _, dir := range unitDirs {
		if fi, err := r.Stat(dir + "/" + unit); err == nil && fi.Mode().IsRegular() {
			return dir + "/" + unit, true
		}
	}
	return "", false
}

// UnitState implements Reader: a unit is enabled if a link wants it, and never active.
func (r *Rooted) UnitState(_ context.Context, unit string) (UnitState, error) {
	file, ok := unitFile(r, unit)
	if !ok {
		return UnitState{}, nil
	}
	st := UnitState{Exists: true, Sub: "dead"}
	links, err := r.enableLinks(file, unit)
	if err != nil {
		return st, err
	}
	st.Enabled = true // as systemd does with a unit that cannot be enabled ("static")
	for _, l := range links {
		if _, err := r.Lstat(l); err != nil {
			st.Enabled = false
		}
	}
	return st, nil
}

// enableLinks reads the [Install] section: the links that `systemctl enable` would make.
func (r *Rooted) enableLinks(file, unit string) ([]string, error) {
	b, err := r.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var links []string
	install := false
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			install = line == "[Install]"
			continue
		}
		key, val, ok := strings.Cut(line, "=")
		if !install || !ok {
			continue
		}
		for _, name := range strings.Fields(val) {
			switch strings.TrimSpace(key) {
			case "WantedBy":
				links = append(links, etcUnits+"/"+name+".wants/"+unit)
			case "RequiredBy":
				links = append(links, etcUnits+"/"+name+".requires/"+unit)
			case "Alias":
				links = append(links, etcUnits+"/"+name)
			}
		}
	}
	return links, nil
}

// Enable implements Units by making the links.
func (r *Rooted) Enable(_ context.Context, unit string) error {
	file, ok := unitFile(r, unit)
	if !ok {
		return fmt.Errorf("enable %s: %w", unit, fs.ErrNotExist)
	}
	links, err := r.enableLinks(file, unit)
	if err != nil {
		return err
	}
	for _, l := range links {
		if err := r.MkdirAll(path.Dir(l), 0o755); err != nil {
			return err
		}
		if err := r.Symlink(file, l); err != nil {
			return err
		}
	}
	return nil
}

// Disable implements Units by removing the links, and their folders when they are empty, as systemctl does.
func (r *Rooted) Disable(_ context.Context, unit string) error {
	file, ok := unitFile(r, unit)
	if !ok {
		return nil
	}
	links, err := r.enableLinks(file, unit)
	if err != nil {
		return err
	}
	for _, l := range links {
		if err := r.Remove(l); err != nil {
			return err
		}
		if left, err := r.ReadDir(path.Dir(l)); err == nil && len(left) == 0 {
			if err := r.Remove(path.Dir(l)); err != nil {
				return err
			}
		}
	}
	return nil
}

// DaemonReload implements Units: there is no daemon, so nothing has to be reloaded.
func (r *Rooted) DaemonReload(context.Context) error { return nil }

// Start implements Units: it is refused.
func (r *Rooted) Start(_ context.Context, unit string) error {
	return fmt.Errorf("start %s: %w", unit, ErrNotRunning)
}

// Restart implements Units: it is refused.
func (r *Rooted) Restart(_ context.Context, unit string) error {
	return fmt.Errorf("restart %s: %w", unit, ErrNotRunning)
}

// Stop implements Units: nothing runs.
func (r *Rooted) Stop(context.Context, string) error { return nil }
