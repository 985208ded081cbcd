package phase

import (
	"bytes"
	"path"
	"strconv"

	"kubebundle/installer/host"
)

// runs reports whether a component's program runs on this host, by its name. Where processes cannot be seen none runs.
func runs(h host.Reader, component string) bool {
	procs, err := h.ReadDir("/proc")
	if err != nil {
		return false
	}
	for _, p := range procs {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		line, err := h.ReadFile("/proc/" + p.Name() + "/cmdline")
		if err != nil {
			continue // it has just ended
		}
		if program, _, _ := bytes.Cut(line, []byte{0}); path.Base(string(program)) == component {
			return true
		}
	}
	return false
}
