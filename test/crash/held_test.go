package crash

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What a held command says is known before it has said it, and it does nothing more until it is let.
func TestHeld(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("x", 3*slot/2)
	script := `cd "$0"; for i in 1 2 3; do touch before$i; printf '%s\n' $i$1 >&2; touch after$i; done`
	h, err := hold(exec.CommandContext(t.Context(), "dash", "-c", script, dir, long), false)
	if err != nil {
		t.Fatal(err)
	}
	there := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	for _, i := range []string{"1", "2", "3"} {
		line, ok, err := h.next()
		if err != nil || !ok || !strings.HasPrefix(string(line), i) {
			t.Fatalf("message %s: %q, %v, %v", i, line, ok, err)
		}
		if !there("before"+i) || there("after"+i) {
			t.Fatalf("at message %s: before %v, after %v", i, there("before"+i), there("after"+i))
		}
		if i == "3" {
			break
		}
		for rest := len(i + long + "\n"); ; { // dash writes in pieces of its own
			if err := h.pass(); err != nil {
				t.Fatal(err)
			}
			if rest -= len(line); rest == 0 {
				break
			}
			if line, ok, err = h.next(); err != nil || !ok {
				t.Fatal(ok, err)
			}
		}
	}
	if err := h.kill(); err != nil {
		t.Fatal(err)
	}
	if there("after3") || !strings.Contains(h.err.Error(), "killed") {
		t.Errorf("after the kill: after3 %v, %v", there("after3"), h.err)
	}
	if want := "1" + long + "\n2" + long + "\n"; strings.TrimPrefix(h.said.String(), "\n") != want {
		t.Errorf("it said %d bytes, want %d", h.said.Len(), len(want))
	}
}
