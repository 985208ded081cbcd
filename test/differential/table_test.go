package differential

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/differences.md anew; the run then fails, so that it is never left on")

const document = "../../docs/differences.md"

// TestDocument holds docs/differences.md against the table.
func TestDocument(t *testing.T) {
	got := Document()
	if *update {
		if err := os.WriteFile(document, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s written; look at it, then run without -update", document)
		return
	}
	want, err := os.ReadFile(document)
	if err != nil {
		t.Fatalf("%v; run go test ./test/differential -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what the table says (-want +got); run with -update:\n%s", document, diff)
	}
}

// TestTable: every row says why, and allows one kind of difference.
func TestTable(t *testing.T) {
	for _, r := range Table() {
		if r.Why == "" || r.Artefact == "" || r.Path == "" || r.Kubeadm == "" && r.Ours == "" {
			t.Errorf("an incomplete row: %+v", r)
		}
		if r.Artefact == "*" || r.Kubeadm == r.Ours && r.Kubeadm != "*" {
			t.Errorf("a row that allows too much or nothing: %+v", r)
		}
	}
}
