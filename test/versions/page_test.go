package versions

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/test/e2e/suite"
)

var update = flag.Bool("update", false, "write docs/versions.md anew; the run then fails, so that it is never left on")

// TestPage holds docs/versions.md against what the tests run.
func TestPage(t *testing.T) {
	const page = "../../docs/versions.md"
	got, err := Page("../..")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s written; look at it, then run without -update", page)
		return
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatalf("%v; run go test ./test/versions -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what runs (-want +got); run with -update:\n%s", page, diff)
	}
}

// TestEndToEnd reads a Makefile as make does: recipes, what a target needs, variables of a target.
func TestEndToEnd(t *testing.T) {
	got := endToEnd(`
E2E = KUBEBUNDLE_E2E=1 go test ./test/e2e
FEW ?= a|b
test-e2e: prepare ## real hosts
	KUBEBUNDLE_E2E=1 go test ./test/e2e
test-old: prepare
	KUBEBUNDLE_E2E_VERSION=v1.10.6 KUBEBUNDLE_E2E_RUNTIME=docker $(E2E) -run '^($(FEW))$$'
test-two:
	for v in v1.35.4 v1.36.3; do KUBEBUNDLE_E2E=1 KUBEBUNDLE_E2E_VERSION=$$v go test ./test/e2e; done
prepare:
	go run ./test/lab prepare # v1.1.1
test: VERSIONS = ci
test: some test-two
some: test-e2e
`)
	runtime := string(suite.DefaultRuntime)
	want := []Run{
		{Version: suite.DefaultVersion, Runtime: runtime, Target: "test-e2e", InTest: true},
		{Version: "v1.10.6", Runtime: "docker", Target: "test-old", Part: true},
		{Version: "v1.35.4", Runtime: runtime, Target: "test-two", InTest: true},
		{Version: "v1.36.3", Runtime: runtime, Target: "test-two", InTest: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
