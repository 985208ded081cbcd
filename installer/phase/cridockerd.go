package phase

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"kubebundle/installer/host"
)

const (
	criDockerdUnit = "cri-docker.service" // as its packages and its own files call it
	sandboxFlag    = "--pod-infra-container-image"
	// ownDropIn comes after what others have put there.
	ownDropIn = "90-kubebundle.conf"
)

// unitDirs is where systemd looks for units, the first wins.
func unitDirs() []string {
	return []string{systemdDir, "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}
}

// criDockerdEdit is a drop-in that starts cri-dockerd as it is started now, but with the bundle's sandbox image: it has no configuration file.
func criDockerdEdit(r host.Reader, image string) (*ConfigEdit, error) {
	command, err := execStart(r, criDockerdUnit)
	if err != nil {
		return nil, fmt.Errorf("start cri-dockerd with %s=%s: %w", sandboxFlag, image, err)
	}
	lines := []string{"[Service]", "ExecStart=", "ExecStart=" + withFlag(command, sandboxFlag, image)}
	return &ConfigEdit{
		Path: path.Join(systemdDir, criDockerdUnit+".d", ownDropIn), Mode: 0o644, Unit: criDockerdUnit,
		Data: []byte(strings.Join(lines, "\n") + "\n"), Lines: lines,
	}, nil
}

// withFlag gives a command line in which a flag has a value, instead of the one that it may have.
func withFlag(command, flag, value string) string {
	words := strings.Fields(command)
	for i := 0; i < len(words); i++ {
		switch {
		case words[i] == flag:
			words = slices.Delete(words, i, min(i+2, len(words)))
			i--
		case strings.HasPrefix(words[i], flag+"="):
			words = slices.Delete(words, i, i+1)
			i--
		}
	}
	return strings.Join(append(words, flag+"="+value), " ")
}

// execStart is the command of a unit, its drop-ins read as systemd reads them; our own does not count.
func execStart(r host.Reader, unit string) (string, error) {
	var texts []string
	for _, dir := range unitDirs() {
		data, err := r.ReadFile(path.Join(dir, unit))
		if err == nil {
			texts = append(texts, string(data))
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	if len(texts) == 0 {
		return "", fmt.Errorf("there is no unit %s", unit)
	}
	dropIns := map[string]string{} // name -> path: of the same names the first folder's wins, and they are read in the order of names
	for _, dir := range unitDirs() {
		entries, err := r.ReadDir(path.Join(dir, unit+".d"))
		if err != nil {
			continue
		}
		for _, e := range entries {
			if _, seen := dropIns[e.Name()]; !seen && strings.HasSuffix(e.Name(), ".conf") && e.Name() != ownDropIn {
				dropIns[e.Name()] = path.Join(dir, unit+".d", e.Name())
			}
		}
	}
	for _, name := range slices.Sorted(keys(dropIns)) {
		data, err := r.ReadFile(dropIns[name])
		if err != nil {
			return "", err
		}
		texts = append(texts, string(data))
	}
	command := ""
	for _, text := range texts {
		for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart="); ok {
				command = value
			}
		}
	}
	if command == "" {
		return "", fmt.Errorf("unit %s has no ExecStart", unit)
	}
	return command, nil
}
