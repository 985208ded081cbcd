package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPrograms asks real programs what they know: none may have a flag or a feature gate that would be refused. KUBEBUNDLE_KUBE_BIN is their
// folder (go run ./test/lab integration sets it).
func TestPrograms(t *testing.T) {
	dir := os.Getenv("KUBEBUNDLE_KUBE_BIN")
	if dir == "" {
		t.Skip("KUBEBUNDLE_KUBE_BIN names no folder with programs of Kubernetes")
	}
	for _, program := range []string{Kubelet, string(APIServer), string(ControllerManager), string(Scheduler)} {
		t.Run(program, func(t *testing.T) {
			ask := func(arg string) string {
				out, err := exec.CommandContext(t.Context(), filepath.Join(dir, program), arg).CombinedOutput()
				if err != nil {
					t.Fatalf("%s %s: %v\n%s", program, arg, err, out)
				}
				return string(out)
			}
			r := find(t, strings.TrimSpace(strings.TrimPrefix(ask("--version"), "Kubernetes ")), Options{})
			help := ask("--help")
			flags := regexp.MustCompile(`(?m)^ +(?:-[a-zA-Z], )?--([a-zA-Z0-9_-]+)`).FindAllStringSubmatch(help, -1)
			gates := regexp.MustCompile(`\b(?:kube:)?([A-Z][A-Za-z0-9]+)=true\|false`).FindAllStringSubmatch(help, -1)
			if len(flags) < 30 || len(gates) < 20 {
				t.Errorf("only %d flags and %d gates in its help", len(flags), len(gates))
			}
			for _, f := range flags {
				if err := r.CheckFlag(program, f[1]); err != nil {
					t.Error(err)
				}
			}
			for _, g := range gates {
				if on, off := r.CheckGate(g[1], true), r.CheckGate(g[1], false); on != nil && off != nil {
					t.Error(on)
				}
			}
		})
	}
}
