// Trees reads what no table lists out of Kubernetes' own source: which feature gates and which kubelet flags each minor knows.
//
//	go run ./test/trees
//
// It fetches one patch of every minor as a module, reads constants, maps of gates and calls that define flags from the syntax alone
// (nothing of them is built or run), and writes release/knobs.txt. Run it when a minor is added; docs/new-version.md says when.
//
// A flag or gate is listed for a minor when the patch that was read has it. Reading errs toward listing too much: a name that is wrongly
// listed reaches the kubelet, which complains itself; one that is wrongly missing would stop an installation that is right.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

const output = "release/knobs.txt"

// trees are the patches that are read, one of each minor: the last one whose module can be had.
func trees() []string {
	return []string{
		"1.10.13", "1.11.10", "1.12.10", "1.13.12", "1.14.10", "1.15.12", "1.16.15", "1.17.17", "1.18.20", "1.19.16", "1.20.15", "1.21.14",
		"1.22.17", "1.23.17", "1.24.17", "1.25.16", "1.26.15", "1.27.16", "1.28.15", "1.29.15", "1.30.14", "1.31.14", "1.32.13", "1.33.13",
		"1.34.10", "1.35.4", "1.36.3", "1.37.2",
	}
}

func main() {
	log.SetFlags(0)
	if err := run(context.Background()); err != nil {
		log.Fatal("trees: ", err)
	}
}

func run(ctx context.Context) error {
	all := table{}
	for _, v := range trees() {
		var minor, patch uint
		if _, err := fmt.Sscanf(v, "1.%d.%d", &minor, &patch); err != nil {
			return fmt.Errorf("version %s: %w", v, err)
		}
		t, err := readTree(ctx, minor, patch)
		if err != nil {
			return fmt.Errorf("read v%s: %w", v, err)
		}
		log.Printf("v%s: %d gates, %d of kubeadm, %d kubelet flags", v, len(t.gates), len(t.kubeadmGates), len(t.flags["kubelet"]))
		for name, lock := range t.gates {
			all.add("gate", name, minor, lock)
		}
		for name, lock := range t.kubeadmGates {
			all.add("kubeadm-gate", name, minor, lock)
		}
		for program, names := range t.flags {
			for name := range names {
				all.add(program, "--"+name, minor, "")
			}
		}
	}
	return os.WriteFile(output, all.encode(), 0o644)
}

// table is all knobs: in which minors each exists, and since which one it is locked.
type table map[string]*knob

type knob struct {
	minors []uint
	lock   string // "true" or "false"
	since  uint
}

func (t table) add(kind, name string, minor uint, lock string) {
	key := kind + " " + name
	k := t[key]
	if k == nil {
		k = &knob{}
		t[key] = k
	}
	k.minors = append(k.minors, minor)
	if lock != k.lock { // a lock is not opened again; should it be, the newest state counts from where it began
		k.lock, k.since = lock, minor
	}
}

func (t table) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Made by go run ./test/trees from the source of %s.\n# kind name minors [locked value@since]\n", strings.Join(trees(), " "))
	for _, key := range slices.Sorted(maps.Keys(t)) {
		k := t[key]
		b.WriteString(key + " " + spans(fillGap(k.minors)))
		if k.lock != "" {
			fmt.Fprintf(&b, " %s@%d", k.lock, k.since)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// fillGap adds v1.15 and v1.16 to what v1.14 and v1.17 have: the libraries of these two cannot be had.
func fillGap(minors []uint) []uint {
	if !slices.Contains(minors, 14) || !slices.Contains(minors, 17) {
		return minors
	}
	minors = append(slices.Clone(minors), 15, 16)
	slices.Sort(minors)
	return slices.Compact(minors)
}

// spans writes 10,11,12,20 as 10-12,20.
func spans(minors []uint) string {
	var out []string
	for i := 0; i < len(minors); {
		j := i
		for j+1 < len(minors) && minors[j+1] == minors[j]+1 {
			j++
		}
		if i == j {
			out = append(out, strconv.FormatUint(uint64(minors[i]), 10))
		} else {
			out = append(out, fmt.Sprintf("%d-%d", minors[i], minors[j]))
		}
		i = j + 1
	}
	return strings.Join(out, ",")
}

// module gives the folder of a module in the cache, "" where that version cannot be had.
func module(ctx context.Context, path, version string) string {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", path+"@"+version)
	cmd.Dir = os.TempDir()                             // outside of any module
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod") // whatever the caller's say
	data, err := cmd.Output()
	var m struct{ Dir, Error string }
	if err != nil || json.Unmarshal(data, &m) != nil || m.Error != "" {
		return ""
	}
	return m.Dir
}
