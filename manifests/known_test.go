package manifests

import (
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/version"

	catalog "kubebundle/release"
)

// TestEveryFlagIsKnown holds what we render against the programs' own source (release/knobs.txt): no component of any minor is given a
// flag that it does not have. A program that is would not start.
func TestEveryFlagIsKnown(t *testing.T) {
	for _, v := range everyMinor() {
		rel, err := catalog.Find(version.MustParseGeneric(v), catalog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c := at(t, v)
		for _, component := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
			checkFlags(t, rel, component, pod(t, c, controlPlane(), component).Spec.Containers[0].Command[1:])
		}
		docker := controlPlane()
		docker.CRISocket, docker.Hostname = dockershimSocket, "other"
		for _, n := range []*Node{controlPlane(), docker} {
			if n == docker && isSince(c.Version, 24) {
				continue
			}
			files, err := KubeletFiles(c, n)
			if err != nil {
				t.Fatal(err)
			}
			seen := 0
			for _, f := range append(files, KubeletUnits(c.Version)...) {
				if base := filepath.Base(f.Path); strings.HasSuffix(base, ".conf") || base == "kubeadm-flags.env" {
					args := kubeletArgs(string(f.Data))
					seen += len(args)
					checkFlags(t, rel, catalog.Kubelet, args)
				}
			}
			if seen < 4 {
				t.Errorf("v%s: only %d kubelet flags were found", v, seen)
			}
		}
	}
}

// kubeletArgs finds the flags in a drop-in or an environment file.
func kubeletArgs(file string) []string {
	var out []string
	for _, word := range strings.FieldsFunc(file, func(r rune) bool { return strings.ContainsRune(" \n\"", r) }) {
		if i := strings.Index(word, "--"); i == 0 || i > 0 && word[i-1] == '=' {
			out = append(out, word[i:])
		}
	}
	return out
}

func checkFlags(t *testing.T, rel *catalog.Release, program string, args []string) {
	t.Helper()
	for _, a := range args {
		name, _, _ := strings.Cut(strings.TrimPrefix(a, "--"), "=")
		if err := rel.CheckFlag(program, name); err != nil {
			t.Errorf("v%s: %v", rel.Version, err)
		}
	}
}
