package phase

import (
	"errors"
	"strings"
	"testing"

	"kubebundle/installer/step"
	"kubebundle/manifests"
)

func TestPatches(t *testing.T) {
	m := goodHost(t)
	write(t, m, "/root/p/kube-apiserver0.yaml", "metadata: {annotations: {site: a}}\n---\nspec: {terminationGracePeriodSeconds: 7}\n")
	write(t, m, "/root/p/kube-apiserver1+json.json", `[{"op":"add","path":"/metadata/labels/more","value":"b"}]`)
	write(t, m, "/root/p/etcd+merge.yaml", "metadata: {labels: {tier: null}}\n")
	write(t, m, "/root/p/kubeletconfiguration.yaml", "maxPods: 55\n")
	write(t, m, "/root/p/corednsdeployment.yaml", "spec: {replicas: 5}\n")
	write(t, m, "/root/p/kubeproxydaemonset.yaml", "spec: {template: {spec: {priorityClassName: site}}}\n")
	write(t, m, "/root/p/README", "no patch")
	s := initState(t, m, goodRuntime(), "--patches", "/root/p")
	steps, _ := planAll(t, InitPhases(), s, m)
	want := map[string][]string{
		manifestsDir + "/kube-apiserver.yaml": {"site: a", "terminationGracePeriodSeconds: 7", "more: b", "component: kube-apiserver"},
		manifestsDir + "/etcd.yaml":           {"component: etcd"},
		kubeletConfigPath:                     {"maxPods: 55", "clusterDomain: cluster.local"},
	}
	for _, st := range steps {
		if o, ok := st.(step.Objects); ok {
			patched := map[string]string{"CoreDNS": "replicas: 5", "kube-proxy": "priorityClassName: site"}[o.What]
			if text, err := manifests.Encode(o.List...); err != nil || !strings.Contains(string(text), patched) {
				t.Errorf("%s is not patched (%v)", o.What, err)
			}
		}
		f, ok := st.(step.File)
		if !ok {
			continue
		}
		for _, text := range want[f.Path] {
			if !strings.Contains(string(f.Data), text) {
				t.Errorf("%s lacks %q:\n%s", f.Path, text, f.Data)
			}
		}
		if f.Path == manifestsDir+"/etcd.yaml" && strings.Contains(string(f.Data), "tier:") {
			t.Error("the label that a merge patch takes away is still there")
		}
		delete(want, f.Path)
	}
	if len(want) > 0 {
		t.Errorf("not planned: %v", want)
	}
}

func TestBadPatchesAreFoundByPreflight(t *testing.T) {
	for name, says := range map[string]string{
		"kube-apiserver+jsonn.yaml": "no type of a patch",
		"apiserver.yaml":            "it patches none of",
		"etcd.yaml":                 "yaml",
	} {
		t.Run(name, func(t *testing.T) {
			m := goodHost(t)
			write(t, m, "/root/p/"+name, "a: [\n")
			_, err := Preflight{}.Plan(t.Context(), initState(t, m, goodRuntime(), "--patches", "/root/p"), m)
			var refused *PreflightError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), says) {
				t.Errorf("got %v, want %q", err, says)
			}
		})
	}
}
