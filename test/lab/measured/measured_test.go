package measured

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddAndRead(t *testing.T) {
	t.Setenv(EnvFile, "")
	if err := Add("nobody asks", 1); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "numbers")
	t.Setenv(EnvFile, file)
	for _, v := range []float64{2.5, 0} {
		if err := Add(PowerCutGap, v); err != nil {
			t.Fatal(err)
		}
	}
	have, err := Read(file)
	if diff := cmp.Diff(Numbers{PowerCutGap: {2.5, 0}}, have); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
