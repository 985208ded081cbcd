package phase

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"

	"kubebundle/installer/host"
	"kubebundle/manifests"
	"kubebundle/release"
)

const (
	kubeletConfigPath   = "/var/lib/kubelet/config.yaml"
	kubeletConfigTarget = "kubeletconfiguration"
	dnsTarget           = "corednsdeployment"
	proxyTarget         = "kubeproxydaemonset"
)

// patch is one document of a file in the --patches folder.
type patch struct {
	file string
	kind string // strategic, merge, json
	json []byte
}

// patches are those of the --patches folder by target, in the order of their files' names. Files are named as kubeadm wants it:
// target[suffix][+patchtype].extension (kubeadm 1.34 and 1.37 util/patches).
func (s *State) patches(r host.Reader) (map[string][]patch, error) {
	dir := ""
	switch {
	case s.Init != nil:
		dir = s.Init.PatchesDir
	case s.Join != nil:
		dir = s.Join.PatchesDir
	case s.Upgrade != nil:
		dir = s.Upgrade.PatchesDir
	}
	if dir == "" || s.patched != nil {
		return s.patched, nil
	}
	entries, err := r.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read patches: %w", err)
	}
	out := map[string][]patch{}
	var errs []error
	for _, e := range entries { // ReadDir sorts by name
		if e.IsDir() {
			continue
		}
		target, kind, err := patchName(e.Name())
		if err != nil {
			errs = append(errs, fmt.Errorf("patch %s: %w", path.Join(dir, e.Name()), err))
			continue
		}
		if target == "" {
			continue
		}
		data, err := r.ReadFile(path.Join(dir, e.Name()))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		docs, err := documents(data)
		if err != nil {
			errs = append(errs, fmt.Errorf("patch %s: %w", path.Join(dir, e.Name()), err))
		}
		for _, d := range docs {
			out[target] = append(out[target], patch{file: path.Join(dir, e.Name()), kind: kind, json: d})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.patched = out
	return out, nil
}

// patchName reads target and type out of a file's name; the target is "" for files that are no patches.
func patchName(name string) (target, kind string, err error) {
	ext := path.Ext(name)
	if ext != ".yaml" && ext != ".json" {
		return "", "", nil
	}
	base, kind, _ := strings.Cut(strings.TrimSuffix(name, ext), "+")
	if kind == "" {
		kind = "strategic"
	}
	if !slices.Contains([]string{"strategic", "merge", "json"}, kind) {
		return "", "", fmt.Errorf("%q is no type of a patch: strategic, merge or json", kind)
	}
	known := append(components(), string(release.Etcd), kubeletConfigTarget, dnsTarget, proxyTarget)
	for _, t := range known {
		if strings.HasPrefix(base, t) {
			return t, kind, nil
		}
	}
	return "", "", fmt.Errorf("it patches none of %s", strings.Join(known, ", "))
}

// documents are the documents of a YAML or JSON file as JSON.
func documents(data []byte) ([][]byte, error) {
	var out [][]byte
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		j, err := yaml.YAMLToJSON(doc)
		if err != nil {
			return nil, err
		}
		if string(j) != "null" {
			out = append(out, j)
		}
	}
}

// apply patches a document; like is an object of its type, whose tags guide strategic patches.
func apply(doc []byte, patches []patch, like any) ([]byte, error) {
	for _, p := range patches {
		var err error
		switch p.kind {
		case "strategic":
			doc, err = strategicpatch.StrategicMergePatch(doc, p.json, like)
		case "merge":
			doc, err = jsonpatch.MergePatch(doc, p.json)
		case "json":
			var ops jsonpatch.Patch
			if ops, err = jsonpatch.DecodePatch(p.json); err == nil {
				doc, err = ops.Apply(doc)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("patch %s: %w", p.file, err)
		}
	}
	return doc, nil
}

// staticPod renders a static pod with the user's patches.
func (s *State) staticPod(c *manifests.Cluster, n *manifests.Node, component string, r host.Reader) (manifests.File, error) {
	f, err := manifests.StaticPod(c, n, component)
	if err != nil {
		return f, err
	}
	if f.Data, err = keepAnnotation(f, r); err != nil {
		return f, err
	}
	all, err := s.patches(r)
	if err != nil || len(all[component]) == 0 {
		return f, err
	}
	doc, err := yaml.YAMLToJSON(f.Data)
	if err != nil {
		return f, fmt.Errorf("patch %s: %w", f.Path, err)
	}
	if doc, err = apply(doc, all[component], corev1.Pod{}); err != nil {
		return f, err
	}
	var pod corev1.Pod
	if err := json.Unmarshal(doc, &pod); err != nil {
		return f, fmt.Errorf("patch %s: %w", f.Path, err)
	}
	f.Data, err = manifests.Encode(&pod)
	return f, err
}

// keepAnnotation carries over what a renewal of certificates has written into the manifest on the host: without it, to run init again would
// start the pod anew for nothing.
func keepAnnotation(f manifests.File, r host.Reader) ([]byte, error) {
	have, err := r.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return f.Data, nil
	}
	if err != nil {
		return nil, err
	}
	var old, pod corev1.Pod
	if err := yaml.Unmarshal(have, &old); err != nil || old.Annotations[manifests.CertificatesAnnotation] == "" {
		return f.Data, nil //nolint:nilerr // whatever lies there is replaced
	}
	if err := yaml.Unmarshal(f.Data, &pod); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Path, err)
	}
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, manifests.CertificatesAnnotation, old.Annotations[manifests.CertificatesAnnotation])
	return manifests.Encode(&pod)
}

// patchKubelet applies the user's patches to config.yaml among the kubelet's files.
func (s *State) patchKubelet(files []manifests.File, r host.Reader) ([]manifests.File, error) {
	all, err := s.patches(r)
	if err != nil || len(all[kubeletConfigTarget]) == 0 {
		return files, err
	}
	for i, f := range files {
		if f.Path != kubeletConfigPath {
			continue
		}
		doc, err := yaml.YAMLToJSON(f.Data)
		if err != nil {
			return nil, fmt.Errorf("patch %s: %w", f.Path, err)
		}
		if doc, err = apply(doc, all[kubeletConfigTarget], kubeletv1beta1.KubeletConfiguration{}); err != nil {
			return nil, err
		}
		if files[i].Data, err = yaml.JSONToYAML(doc); err != nil {
			return nil, fmt.Errorf("patch %s: %w", f.Path, err)
		}
	}
	return files, nil
}

// patchDNS applies the user's patches to the Deployment among the objects of the DNS.
func (s *State) patchDNS(objs []runtime.Object, r host.Reader) error {
	return patchObject[appsv1.Deployment](s, objs, dnsTarget, r)
}

// patchProxy does the same to the DaemonSet of kube-proxy; kubeadm has this target since v1.37.
func (s *State) patchProxy(objs []runtime.Object, r host.Reader) error {
	return patchObject[appsv1.DaemonSet](s, objs, proxyTarget, r)
}

// patchObject patches the object of type T in place.
func patchObject[T any, P interface {
	*T
	runtime.Object
}](s *State, objs []runtime.Object, target string, r host.Reader) error {
	all, err := s.patches(r)
	if err != nil || len(all[target]) == 0 {
		return err
	}
	for i, o := range objs {
		if _, ok := o.(P); !ok {
			continue
		}
		doc, err := json.Marshal(o)
		if err != nil {
			return fmt.Errorf("patch %s: %w", target, err)
		}
		var patched T
		if doc, err = apply(doc, all[target], patched); err != nil {
			return err
		}
		if err := json.Unmarshal(doc, &patched); err != nil {
			return fmt.Errorf("patch %s: %w", target, err)
		}
		objs[i] = P(&patched)
	}
	return nil
}
