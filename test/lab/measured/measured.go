// Package measured carries numbers from a test on real hosts to `make bench`: the test measures what it does anyway, and the bench reads it from the file
// that it has named.
package measured

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// EnvFile names the file.
const EnvFile = "KUBEBUNDLE_MEASURED"

// What test/ha measures.
const (
	PowerCutGap   = "power cut: longest time without a write (s)"
	PowerCutLost  = "power cut: acknowledged writes that are gone"
	UpgradeGap    = "upgrade of three: longest time without a write (s)"
	UpgradeFailed = "upgrade of three: failed requests"
	UpgradeAsked  = "upgrade of three: requests"
)

// Numbers are what was measured, by its name, in the order in which it was.
type Numbers map[string][]float64

type line struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
}

// Add notes a number; it does nothing where nobody has asked.
func Add(what string, value float64) error {
	file := os.Getenv(EnvFile)
	if file == "" {
		return nil
	}
	data, err := json.Marshal(line{what, value})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	return errors.Join(err, f.Close())
}

// Read reads what was noted.
func Read(file string) (Numbers, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	n := Numbers{}
	for text := range bytes.Lines(data) {
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		n[l.What] = append(n[l.What], l.Value)
	}
	return n, nil
}
