package installer

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"kubebundle/installer/host"
	"kubebundle/installer/phase"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

// Artefact is one thing that init makes: a file of the node, or objects of the cluster.
type Artefact struct {
	Name  string // etcd, kube-apiserver, admin.conf, kubelet/config.yaml, coredns, …
	Phase string // which makes it
	Path  string // of a file on the node; "" for what is not one
	Mode  fs.FileMode
	Data  []byte // a file's content; of objects, YAML
}

// rendered are the phases of init whose plans are files and objects that depend on the configuration alone. The others look at the host,
// wait, or handle secrets.
func rendered() []phase.Phase {
	return []phase.Phase{
		phase.Kubeconfig{},
		phase.Etcd{},
		phase.ControlPlane{},
		phase.KubeletStart{},
		phase.UploadConfig{},
		phase.MarkControlPlane{},
		phase.BootstrapToken{},
		phase.KubeletFinalize{},
		phase.CoreDNS{},
		phase.KubeProxy{},
		phase.ExtraManifests{},
		phase.SelfHosting{},
	}
}

// Render gives everything that init makes of a configuration, without a host: r is one that has nothing but the user's patches. Keys and
// certificates are words in angle brackets, so the same configuration always gives the same bytes.
func Render(ctx context.Context, s *phase.State, r host.Reader) ([]Artefact, error) {
	if err := phase.CheckKnobs(ctx, s, r); err != nil {
		return nil, err
	}
	readable, err := s.Placeholders(ctx, r)
	if err != nil {
		return nil, err
	}
	out, err := renderFacts(ctx, s, r)
	if err != nil {
		return nil, err
	}
	for _, p := range rendered() {
		steps, err := p.Plan(ctx, s, r)
		if err != nil {
			return nil, fmt.Errorf("phase %s: %w", p.Name(), err)
		}
		for _, st := range steps {
			a, err := artefact(st)
			if err != nil {
				return nil, fmt.Errorf("phase %s: %s: %w", p.Name(), st, err)
			}
			if a == nil {
				continue
			}
			a.Phase, a.Data = p.Name(), readable(a.Data)
			// What a later phase writes over an earlier one's file is what stays.
			if i := slices.IndexFunc(out, func(o Artefact) bool { return a.Path != "" && o.Path == a.Path }); i >= 0 {
				out[i] = *a
				continue
			}
			out = append(out, *a)
		}
	}
	return out, nil
}

// renderFacts is what is in no step as such: certificates as they would be, and the units, which come with the programs.
func renderFacts(ctx context.Context, s *phase.State, r host.Reader) ([]Artefact, error) {
	certs, err := s.CertificatePlans(ctx, r)
	if err != nil {
		return nil, err
	}
	data, err := yaml.Marshal(certs)
	if err != nil {
		return nil, err
	}
	out := []Artefact{{Name: "certificates", Phase: "certs", Data: data}}
	for _, u := range manifests.KubeletUnits(s.Release.Version) {
		out = append(out, Artefact{Name: path.Base(u.Path), Phase: "install-binaries", Path: path.Join("/etc/systemd/system", u.Path), Mode: u.Mode, Data: u.Data})
	}
	return out, nil
}

// artefact is what a step makes, nil if that is nothing to show: a folder, a token, a wait.
func artefact(st step.Step) (*Artefact, error) {
	switch st := st.(type) {
	case step.File:
		return &Artefact{Name: fileName(st.Path), Path: st.Path, Mode: st.Mode, Data: st.Data}, nil
	case step.Objects:
		data, err := manifests.Encode(st.List...)
		return &Artefact{Name: objectsName(st), Data: data}, err
	case step.PatchNode:
		data, err := nodePatch(st)
		return &Artefact{Name: "node", Data: data}, err
	default:
		return nil, nil //nolint:nilnil // nothing to show, and that is no error
	}
}

// fileName is what a person calls a file.
func fileName(p string) string {
	switch path.Dir(p) {
	case "/etc/kubernetes/manifests":
		return strings.TrimSuffix(path.Base(p), ".yaml")
	case "/var/lib/kubelet":
		return "kubelet/" + path.Base(p)
	default:
		return path.Base(p)
	}
}

// objectsName is what a person calls objects: the one object's name, or that of what they make up.
func objectsName(st step.Objects) string {
	switch st.What {
	case "CoreDNS", "kube-dns", "kube-proxy":
		return strings.ToLower(st.What)
	}
	switch {
	case strings.HasPrefix(st.What, "RBAC for joining"):
		return "bootstrap-token-rbac"
	case strings.HasPrefix(st.What, "RBAC for the uploaded"):
		return "upload-config-rbac"
	case strings.HasPrefix(st.What, "Secrets of the control plane"):
		return "self-hosted-secrets"
	case strings.HasPrefix(st.What, "ConfigMap kube-public/"):
		return path.Base(st.What)
	case len(st.List) == 1:
		if m, err := meta.Accessor(st.List[0]); err == nil {
			return m.GetName()
		}
	}
	return "extra-manifests"
}

// nodePatch shows the marks of the node as the part of it that they are.
func nodePatch(st step.PatchNode) ([]byte, error) {
	n := &corev1.Node{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: st.Node, Labels: st.Patch.Labels, Annotations: st.Patch.Annotations},
	}
	for _, t := range st.Patch.Taints {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: corev1.TaintEffect(t.Effect)})
	}
	src := st.Patch.ConfigSource
	if src == nil {
		return manifests.Encode(runtime.Object(n))
	}
	doc, err := runtime.DefaultUnstructuredConverter.ToUnstructured(n)
	if err != nil {
		return nil, err
	}
	if err := unstructured.SetNestedMap(doc, src.Field("<uid of the ConfigMap>"), "spec", "configSource"); err != nil {
		return nil, err
	}
	return manifests.Encode(&unstructured.Unstructured{Object: doc})
}

// YAML reports whether an artefact is YAML, as opposed to a unit or an environment file.
func (a Artefact) YAML() bool {
	switch path.Ext(a.Path) {
	case "", ".yaml":
		return true
	case ".conf":
		return !bytes.HasPrefix(a.Data, []byte("["))
	default:
		return false
	}
}

// ChooseArtefacts picks artefacts by their names or those of the phases that make them; no names pick all.
func ChooseArtefacts(all []Artefact, names []string) ([]Artefact, error) {
	if len(names) == 0 {
		return all, nil
	}
	fits := func(a Artefact, n string) bool { return a.Name == n || phase.Skipped([]string{n}, a.Phase) }
	for _, n := range names {
		if !slices.ContainsFunc(all, func(a Artefact) bool { return fits(a, n) }) {
			e := &UnknownArtefactError{Name: n}
			for _, a := range all {
				e.Known = append(e.Known, a.Name)
			}
			return nil, e
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(a Artefact) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return fits(a, n) })
	}), nil
}

// UnknownArtefactError is about a name that this configuration makes nothing of.
type UnknownArtefactError struct {
	Name  string
	Known []string
}

func (e *UnknownArtefactError) Error() string {
	return fmt.Sprintf("render %s: this configuration makes nothing of that name", e.Name)
}

// Hint lists the names.
func (e *UnknownArtefactError) Hint() string {
	return "known are the names of phases and: " + strings.Join(e.Known, " ")
}
