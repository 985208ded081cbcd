// Command runcwrap stands before runc on a machine without CAP_SYS_RESOURCE, for runtimes that cannot be told to do without it: it takes
// a negative oomScoreAdj and that capability out of the specification which it is handed, then becomes runc. Without it
// runc dies with "can't get final child's PID from pipe: EOF".
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

const runc = "/usr/sbin/runc"

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "runcwrap:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	for i := 1; i < len(args)-1; i++ {
		var err error
		switch args[i] {
		case "--bundle", "-b":
			err = edit(filepath.Join(args[i+1], "config.json"), func(doc map[string]any) { tame(doc["process"]) })
		case "--process", "-p":
			err = edit(args[i+1], func(doc map[string]any) { tame(doc) })
		}
		if err != nil {
			return err
		}
	}
	return syscall.Exec(runc, append([]string{runc}, args[1:]...), os.Environ())
}

func edit(path string, change func(doc map[string]any)) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	change(doc)
	if raw, err = json.Marshal(doc); err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o600)
}

// tame changes a process of the OCI runtime specification.
func tame(v any) {
	p, ok := v.(map[string]any)
	if !ok {
		return
	}
	if n, ok := p["oomScoreAdj"].(float64); ok && n < 0 {
		delete(p, "oomScoreAdj")
	}
	sets, ok := p["capabilities"].(map[string]any)
	if !ok {
		return
	}
	for name, set := range sets {
		if caps, ok := set.([]any); ok {
			sets[name] = slices.DeleteFunc(caps, func(c any) bool { return c == "CAP_SYS_RESOURCE" })
		}
	}
}
