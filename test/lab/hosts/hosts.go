package hosts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"sort"

	"kubebundle/test/lab/cache"
)

// Lab is the set of hosts below one folder. Every method may be called from another process than the one that made the
// hosts: what there is stands in files and in the kernel.
type Lab struct {
	Dir      string // the lab's folder
	Machine  Machine
	Net      Net
	Log      *slog.Logger
	Binaries func(ctx context.Context, rt Runtime) (string, error) // see Trees
	// Environment is what the services of new hosts have in their environment beside systemd's own, as NAME=VALUE.
	Environment []string
}

// Host is one host.
type Host struct {
	Name    string     `json:"name"`
	IP      netip.Addr `json:"ip"`
	Runtime Runtime    `json:"runtime"`
	// PID is the systemd-nspawn process that holds the host, 0 while it is off.
	PID int `json:"pid"`

	lab *Lab
}

// New opens the lab in dir. A nil log discards.
func New(dir string, log *slog.Logger) (*Lab, error) {
	m, err := Inspect()
	if err != nil {
		return nil, err
	}
	net, err := newNet(os.Getenv(EnvID))
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Lab{Dir: dir, Machine: m, Net: net, Log: log}, nil
}

// hostsDir is per lab; trees and programs below Dir are for all.
func (l *Lab) hostsDir() string { return filepath.Join(l.Dir, "hosts-"+l.Net.Bridge) }

func (l *Lab) hostDir(name string) string { return filepath.Join(l.hostsDir(), name) }

// Root is the host's root tree as the machine sees it. Copying into it is the sneaker-net.
func (h *Host) Root() string { return filepath.Join(h.lab.hostDir(h.Name), "root") }

// ConsoleLog is where the host's console goes.
func (h *Host) ConsoleLog() string { return filepath.Join(h.lab.hostDir(h.Name), "console.log") }

// The name of the cable's end on the bridge, vb-kb0-NAME, must fit into the kernel's 15 characters.
var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,7}$`)

// Create makes a host and boots it. It fails if there is one with that name.
func (l *Lab) Create(ctx context.Context, name string, rt Runtime) (*Host, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("host name %q: want at most 8 of a-z, 0-9 and -, a letter first", name)
	}
	if err := l.raiseInotify(); err != nil {
		return nil, err
	}
	tree, err := Trees{Dir: filepath.Join(l.Dir, "trees"), Binaries: l.Binaries}.Tree(ctx, rt)
	if err != nil {
		return nil, fmt.Errorf("root tree for %s: %w", rt, err)
	}
	h, err := l.reserve(name, rt)
	if err != nil {
		return nil, err
	}
	l.Log.Info("copy root tree", "host", name, "runtime", rt)
	if _, err := run(ctx, "cp", "-a", "--reflink=auto", tree, h.Root()); err != nil {
		return nil, err
	}
	if err := h.configure(ctx); err != nil {
		return nil, fmt.Errorf("configure host %s: %w", name, err)
	}
	return h, h.Start(ctx)
}

// reserve gives the host a folder and an address.
func (l *Lab) reserve(name string, rt Runtime) (*Host, error) {
	if err := os.MkdirAll(l.hostsDir(), 0o755); err != nil {
		return nil, err
	}
	unlock, err := cache.Lock(filepath.Join(l.Dir, ".hosts.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	all, err := l.List()
	if err != nil {
		return nil, err
	}
	used := map[netip.Addr]bool{}
	for _, h := range all {
		if h.Name == name {
			return nil, fmt.Errorf("host %s is there already (away with all: lab down)", name)
		}
		used[h.IP] = true
	}
	ip := l.Net.firstHost()
	for used[ip] {
		ip = ip.Next()
	}
	if !l.Net.Prefix.Contains(ip.Next()) {
		return nil, fmt.Errorf("no address left in %s", l.Net.Prefix)
	}
	if err := os.RemoveAll(l.hostDir(name)); err != nil { // of a run that was killed before it wrote host.json
		return nil, err
	}
	if err := os.Mkdir(l.hostDir(name), 0o755); err != nil {
		return nil, err
	}
	h := &Host{Name: name, IP: ip, Runtime: rt, lab: l}
	return h, h.save()
}

func (h *Host) save() error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	path := filepath.Join(h.lab.hostDir(h.Name), "host.json")
	if err := os.WriteFile(path+".part", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// List returns the hosts there are, by name.
func (l *Lab) List() ([]*Host, error) {
	entries, err := os.ReadDir(l.hostsDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []*Host
	for _, e := range entries {
		h, err := l.Host(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// Host finds a host by name.
func (l *Lab) Host(name string) (*Host, error) {
	b, err := os.ReadFile(filepath.Join(l.hostDir(name), "host.json"))
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	h := &Host{lab: l}
	if err := json.Unmarshal(b, h); err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	return h, nil
}

// Gateway is the machine's address on the hosts' network.
func (h *Host) Gateway() netip.Addr { return h.lab.Net.Gateway }
