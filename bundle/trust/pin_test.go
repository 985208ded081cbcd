package trust_test

import (
	"bytes"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/bundle/trust"
)

// TestPin writes keys into a real program and runs it.
func TestPin(t *testing.T) {
	dir := t.TempDir()
	build := func() []byte {
		out := filepath.Join(dir, "program")
		c := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags", "-s -w", "-o", out, "./testdata/pinned")
		if b, err := c.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, b)
		}
		return read(t, out)
	}
	run := func(program []byte) (string, error) {
		p := filepath.Join(dir, "run")
		write(t, p, program)
		out, err := exec.CommandContext(t.Context(), p).CombinedOutput()
		return string(out), err
	}
	keys := append(newPair(t).keys, newPair(t).keys...)
	program := build()
	if out, err := run(program); err != nil || out != "" {
		t.Errorf("nothing pinned: %v, %q", err, out)
	}
	patched := pin(t, program, keys)
	out, err := run(patched)
	if diff := cmp.Diff(strings.Join(keys.Strings(), "\n")+"\n", out); err != nil || diff != "" {
		t.Errorf("pinned: %v (-want +got):\n%s", err, diff)
	}
	// Half a key is no key, and no reason to trust everything.
	broken := bytes.Replace(patched, []byte(keys[1].String()), []byte(strings.Repeat("A", 56)), 1)
	if out, err := run(broken); err == nil || !strings.Contains(out, "not a minisign public key") {
		t.Errorf("broken: %v, %q", err, out)
	}
	// Another choice later replaces the first one.
	if diff := cmp.Diff(pin(t, program, keys[:1]), pin(t, patched, keys[:1])); diff != "" {
		t.Error("pinning again gives other bytes than pinning once")
	}
}

// pin checks that nothing but the place changes.
func pin(t *testing.T, program []byte, keys trust.Keys) []byte {
	t.Helper()
	p, err := trust.Pin(bytes.NewReader(program), keys)
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(program)
	copy(out[p.Offset:], p.Data)
	if !bytes.Equal(out[p.Offset+int64(len(p.Data)):], program[p.Offset+int64(len(p.Data)):]) || len(p.Data) != 4096 {
		t.Errorf("the place is %d bytes at %d of %d", len(p.Data), p.Offset, len(program))
	}
	return out
}

func TestPinRefuses(t *testing.T) {
	place := read(t, "place.txt")
	keys := newPair(t).keys
	many := make(trust.Keys, 80)
	for i := range many {
		many[i] = keys[0]
	}
	far := append(bytes.Repeat([]byte("x"), 1<<20-10), place...) // the mark lies across two windows
	for name, tc := range map[string]struct {
		program []byte
		keys    trust.Keys
		want    string
	}{
		"no place":   {[]byte("\x7fELF and so on"), keys, "keeps no place"},
		"empty":      {nil, keys, "keeps no place"},
		"two places": {append(far, place...), keys, "several places"},
		"many keys":  {place, many, "80 keys are too many"},
		"far":        {far, keys, ""},
	} {
		p, err := trust.Pin(io.MultiReader(bytes.NewReader(tc.program)), tc.keys)
		if tc.want == "" {
			if err != nil || p.Offset != 1<<20-10 {
				t.Errorf("%s: %v, %+v", name, err, p)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
