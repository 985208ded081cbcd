package phase

import (
	"bytes"
	"path"
	"strconv"

	"kubebundle/installer/host"
)

// runs reports whether a component's program runs on this host: one of its name that has been given an argument. What other clusters on this machine
// run is told by their arguments; "" does not look at them. Where processes cannot be seen none runs.
func runs(h host.Reader, component, argument string) bool {
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
		args := bytes.Split(line, []byte{0})
		if path.Base(string(args[0])) != component {
			continue
		}
		if argument == "" || containsArg(args[1:], argument) {
			return true
		}
	}
	return false
}

func containsArg(args [][]byte, want string) bool {
	for _, a := range args {
		if string(a) == want {
			return true
		}
	}
	return false
}
