package manifests

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/yaml"

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

// TestEveryObjectIsServed: what init applies is of API versions that the API server of that minor has. These three came before v1.10 and
// are there in v1.37 (pkg/master/master.go, later pkg/controlplane, of all minors).
func TestEveryObjectIsServed(t *testing.T) {
	served := map[string][]string{
		"v1":                           {"ConfigMap", "Service", "ServiceAccount"},
		"apps/v1":                      {"DaemonSet", "Deployment"},
		"rbac.authorization.k8s.io/v1": {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"},
	}
	for _, v := range everyMinor() {
		seen := 0
		for name, data := range renderAll(t, at(t, v), controlPlane()) {
			if !slices.Contains([]string{"rbac.yaml", "cluster-info.yaml", "coredns.yaml", "kube-dns.yaml", "kube-proxy.yaml", "kubeadm-config.yaml", "kubelet-config.yaml"}, name) {
				continue
			}
			for _, doc := range documents(t, data) {
				var o metav1.TypeMeta
				if err := yaml.Unmarshal(doc, &o); err != nil {
					t.Fatal(err)
				}
				seen++
				if !slices.Contains(served[o.APIVersion], o.Kind) {
					t.Errorf("v%s: %s has %s %s, which not every API server serves", v, name, o.APIVersion, o.Kind)
				}
			}
		}
		if seen < 20 {
			t.Errorf("v%s: only %d objects", v, seen)
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
