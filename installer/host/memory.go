package host

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// Memory is a machine in memory, for tests. The exported fields say what it is like; set them before use.
type Memory struct {
	// FactsValue is what Facts gives.
	FactsValue Facts
	// BusyPorts are ports that something listens on.
	BusyPorts map[int]bool
	// Free is what DiskFree gives.
	Free uint64
	// OnRun answers commands; nil means that every command succeeds and prints nothing.
	OnRun func(c Command) ([]byte, error)
	// OnUnit is told about start, restart and stop of a unit, so that a test can let a "kubelet" write its files. It may call the host.
	OnUnit func(op, unit string) error

	mu       sync.Mutex
	nodes    map[string]*node
	units    map[string]*UnitState
	loaded   map[string]bool // units that came with a file, and go with it
	mounts   []string
	commands []Command
	unitLog  []string
	now      time.Time
}

var _ Host = (*Memory)(nil)

// NewMemory makes a machine with the folders that every host has, 4 CPUs, 8 GiB of memory and one address, 10.0.0.10.
func NewMemory() *Memory {
	m := &Memory{
		FactsValue: Facts{
			Hostname: "node1", OS: "linux", Arch: "amd64", Kernel: "6.1.0", CPUs: 4, MemoryBytes: 8 << 30, CgroupVersion: 2, Systemd: true,
			Addresses: testAddresses(), Modules: map[string]bool{"overlay": true, "br_netfilter": true},
		},
		BusyPorts: map[int]bool{},
		Free:      100 << 30,
		nodes:     map[string]*node{"/": {mode: dirMode | 0o755}},
		units:     map[string]*UnitState{},
		now:       time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	for _, d := range []string{"/etc/systemd/system", "/usr/bin", "/usr/sbin", "/usr/lib/systemd/system", "/var/lib", "/run", "/tmp", "/root", "/opt"} {
		if err := m.MkdirAll(d, 0o755); err != nil {
			panic(err) // cannot happen: the tree is empty
		}
	}
	return m
}

// AddUnit gives the machine a unit in a state, as a package of the distribution would.
func (m *Memory) AddUnit(name string, st UnitState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	st.Exists = true
	m.units[name] = &st
}

// AddProgram puts an executable into /usr/bin.
func (m *Memory) AddProgram(names ...string) error {
	for _, n := range names {
		if err := m.WriteFile("/usr/bin/"+n, []byte("#!"), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// AddMount gives the machine a mount point.
func (m *Memory) AddMount(p string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mounts = append(m.mounts, p)
}

// Commands lists the commands that ran, as lines.
func (m *Memory) Commands() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, c := range m.commands {
		out = append(out, c.String())
	}
	return out
}

// UnitLog lists what was done to units, as "start kubelet.service".
func (m *Memory) UnitLog() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.unitLog)
}

// Units lists the units' states.
func (m *Memory) Units() map[string]UnitState {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]UnitState{}
	for k, v := range m.units {
		out[k] = *v
	}
	return out
}

// LookPath implements Reader.
func (m *Memory) LookPath(name string) (string, error) {
	for _, dir := range systemPath {
		p := dir + "/" + name
		if fi, err := m.Stat(p); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("program %s: %w", name, exec.ErrNotFound)
}

// Facts implements Reader.
func (m *Memory) Facts(context.Context) (Facts, error) {
	f := m.FactsValue
	f.Modules = maps.Clone(f.Modules)
	return f, nil
}

// PortFree implements Reader.
func (m *Memory) PortFree(port int) (bool, error) { return !m.BusyPorts[port], nil }

// DiskFree implements Reader.
func (m *Memory) DiskFree(string) (uint64, error) { return m.Free, nil }

// Run implements Runner.
func (m *Memory) Run(ctx context.Context, c Command) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, &CommandError{Command: c, Err: err}
	}
	m.mu.Lock()
	m.commands = append(m.commands, c)
	m.mu.Unlock()
	if m.OnRun == nil {
		return nil, nil
	}
	out, err := m.OnRun(c)
	if err != nil {
		return out, &CommandError{Command: c, Output: out, Err: err}
	}
	return out, nil
}

// Mounts implements Runner.
func (m *Memory) Mounts() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mounts), nil
}

// Unmount implements Runner.
func (m *Memory) Unmount(p string, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mounts = slices.DeleteFunc(m.mounts, func(s string) bool { return s == p })
	return nil
}

// UnitState implements Reader. A unit exists if AddUnit made it or its file is there.
func (m *Memory) UnitState(_ context.Context, unit string) (UnitState, error) {
	_, hasFile := unitFile(m, unit)
	m.mu.Lock()
	defer m.mu.Unlock()
	st, known := m.units[unit]
	if !known {
		return UnitState{Exists: hasFile, NeedReload: hasFile}, nil
	}
	return *st, nil
}

// DaemonReload implements Units.
func (m *Memory) DaemonReload(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unitLog = append(m.unitLog, "daemon-reload")
	if m.loaded == nil {
		m.loaded = map[string]bool{}
	}
	here := map[string]bool{}
	for name, n := range m.nodes {
		for _, dir := range unitDirs {
			unit, ok := strings.CutPrefix(name, dir+"/")
			if !ok || strings.Contains(unit, "/") || !n.mode.IsRegular() {
				continue
			}
			here[unit] = true
			if m.units[unit] == nil {
				m.units[unit], m.loaded[unit] = &UnitState{Exists: true, Sub: "dead"}, true
			}
		}
	}
	for unit := range m.loaded {
		if !here[unit] && !m.units[unit].Active {
			delete(m.units, unit)
			delete(m.loaded, unit)
		}
	}
	return nil
}

func (m *Memory) unitOp(op, unit string, change func(st *UnitState)) error {
	_, hasFile := unitFile(m, unit)
	m.mu.Lock()
	st := m.units[unit]
	if st == nil && hasFile {
		st = &UnitState{Exists: true, Sub: "dead"}
		m.units[unit] = st
	}
	if st == nil {
		m.mu.Unlock()
		return fmt.Errorf("%s %s: unit not found", op, unit)
	}
	m.unitLog = append(m.unitLog, op+" "+unit)
	change(st)
	m.mu.Unlock()
	if m.OnUnit == nil || op == "enable" || op == "disable" {
		return nil
	}
	return m.OnUnit(op, unit)
}

// Enable implements Units.
func (m *Memory) Enable(_ context.Context, unit string) error {
	return m.unitOp("enable", unit, func(st *UnitState) { st.Enabled = true })
}

// Disable implements Units.
func (m *Memory) Disable(_ context.Context, unit string) error {
	return m.unitOp("disable", unit, func(st *UnitState) { st.Enabled = false })
}

// Start implements Units.
func (m *Memory) Start(_ context.Context, unit string) error {
	return m.unitOp("start", unit, m.run)
}

// Restart implements Units.
func (m *Memory) Restart(_ context.Context, unit string) error {
	return m.unitOp("restart", unit, m.run)
}

func (m *Memory) run(st *UnitState) {
	m.now = m.now.Add(time.Second)
	st.Active, st.Sub, st.Since = true, "running", m.now
}

// Stop implements Units.
func (m *Memory) Stop(_ context.Context, unit string) error {
	return m.unitOp("stop", unit, func(st *UnitState) { st.Active, st.Sub, st.Since = false, "dead", time.Time{} })
}
