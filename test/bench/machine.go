package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is where the numbers come from, and who was compared.
type machine struct {
	facts    [][2]string
	versions [][2]string
	floor    int64 // bytes, see floorRSS
	// Of which state of the project the numbers are, and how busy the machine was when the run began and ended.
	commit, before, after string
}

// inspect notes what a reader needs to judge the numbers. It knows no host name and no address.
func (b *bench) inspect(ctx context.Context) (*machine, error) {
	m := &machine{}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, err
	}
	mem, err := statusBytes("/proc/meminfo", "MemTotal:")
	if err != nil {
		return nil, err
	}
	fs, err := b.output(ctx, "stat", "-f", "-c", "%T", b.dir)
	if err != nil {
		return nil, err
	}
	load, err := loadAverage()
	if err != nil {
		return nil, err
	}
	m.facts = [][2]string{
		{"processor", fmt.Sprintf("%d × %s", runtime.NumCPU(), cpuModel())},
		{"memory", fmt.Sprintf("%.0f GB", float64(mem)/1e9)},
		{"kernel", unix.ByteSliceToString(uts.Release[:])},
		{"file system", fs},
		{"gunzip of the daemon", gunzip()},
	}
	m.before = load
	ours, err := b.output(ctx, "git", "-C", b.env.Builder.Module, "describe", "--always", "--dirty", "--tags")
	if err != nil {
		return nil, err
	}
	m.commit = ours
	m.versions = append(m.versions, [2]string{"kubebundle built by", runtime.Version()}, [2]string{"Kubernetes, kubeadm", b.version})
	for _, v := range [][]string{
		{"crane", b.crane, "version"},
		{"skopeo", "skopeo", "--version"},
		{"zstd", "zstd", "--version"},
		{"tar", "tar", "--version"},
		{"containerd and ctr", b.containerd, "--version"},
	} {
		out, err := b.output(ctx, v[1:]...)
		if err != nil {
			return nil, err
		}
		first, _, _ := strings.Cut(out, "\n")
		m.versions = append(m.versions, [2]string{v[0], strings.Trim(first, " *")})
	}
	return m, nil
}

// finish notes what is known at the end.
func (m *machine) finish() error {
	load, err := loadAverage()
	if err != nil {
		return err
	}
	m.after = load
	m.floor, err = floorRSS()
	return err
}

func (b *bench) output(ctx context.Context, argv ...string) (string, error) {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
	if err != nil {
		return "", fmt.Errorf("run %s: %w", filepath.Base(argv[0]), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// loadAverage is of the last minute: who reads the numbers wants to know whether the machine was quiet.
func loadAverage() (string, error) {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first, nil
}

// gunzip is what containerd takes to unpack gzip: the first of these programs that it finds.
func gunzip() string {
	for _, p := range []string{"igzip", "unpigz"} {
		if _, err := exec.LookPath(p); err == nil {
			return p
		}
	}
	return "its own, in Go"
}

// cpuModel is what /proc/cpuinfo calls the processor; not every architecture says.
func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				return strings.TrimSpace(v)
			}
		}
	}
	return runtime.GOARCH
}
