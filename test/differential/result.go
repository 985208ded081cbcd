package differential

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// EnvResult names the file that keeps what ran. The default is differential.json in the lab's folder.
const EnvResult = "KUBEBUNDLE_DIFFERENTIAL_RESULT"

// Result is how the comparison with one version's kubeadm went.
type Result struct {
	Passed      bool     `json:"passed"`
	Scenarios   []string `json:"scenarios"`   // those that passed
	Artefacts   int      `json:"artefacts"`   // files and objects of kubeadm's that were compared
	Differences int      `json:"differences"` // single values that differ, as the table says
	Rows        []string `json:"rows"`        // of the table, that were needed
}

// Results are the last results by version ("v1.34.4").
type Results map[string]Result

// LoadResults reads a file of results; a missing one holds none.
func LoadResults(file string) (Results, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Results{}, nil
	}
	if err != nil {
		return nil, err
	}
	var out Results
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return out, nil
}

// keepResult puts one result into the file and leaves those of other versions.
func keepResult(programs, version string, r Result) error {
	file := os.Getenv(EnvResult)
	if file == "" {
		file = filepath.Join(filepath.Dir(programs), "differential.json")
	}
	all, err := LoadResults(file)
	if err != nil {
		return err
	}
	all[version] = r
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	tmp := file + ".part"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}
