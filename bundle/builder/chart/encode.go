package chart

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// made are the namespaces that every cluster has.
func made(namespace string) bool {
	return slices.Contains([]string{"default", "kube-system", "kube-public", "kube-node-lease"}, namespace)
}

// encode writes the objects as one manifest, each in the release's namespace unless it names another one.
func encode(m *Manifest, all []object, o Options) ([]byte, error) {
	e := encoder{namespace: o.namespace(), cluster: map[string]bool{}}
	docs := make([]*yaml.Node, 0, len(all))
	kept := all[:0:0]
	own := false
	for _, obj := range all {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(obj.text), &doc); err != nil {
			return nil, fmt.Errorf("template %s: %s", obj.source, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if doc.Kind == 0 || doc.Content[0].Tag == "!!null" {
			continue // comments
		}
		root := doc.Content[0]
		kind := text(root, "kind")
		if root.Kind != yaml.MappingNode || kind == "" || text(root, "apiVersion") == "" {
			return nil, fmt.Errorf("template %s: gives something that is no Kubernetes object (it has no apiVersion and kind)", obj.source)
		}
		own = own || kind == "Namespace" && text(child(root, "metadata"), "name") == e.namespace
		e.learn(root)
		docs, kept = append(docs, &doc), append(kept, obj)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Chart %s %s, rendered for Kubernetes v%s as release %s in namespace %s.\n", m.Name, m.Version, o.Kubernetes, o.release(m.Name), e.namespace)
	if !made(e.namespace) && !own {
		fmt.Fprintf(&out, "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n", e.namespace)
	}
	for i, doc := range docs {
		text := strings.TrimSpace(kept[i].text)
		if e.namespace != "default" && e.settle(doc.Content[0]) {
			var err error
			if text, err = marshal(doc); err != nil {
				return nil, fmt.Errorf("template %s: %w", kept[i].source, err)
			}
		}
		if !strings.HasPrefix(text, "# Source: ") {
			fmt.Fprintf(&out, "---\n# Source: %s\n%s\n", kept[i].source, text)
		} else {
			fmt.Fprintf(&out, "---\n%s\n", text)
		}
	}
	return out.Bytes(), nil
}

func marshal(doc *yaml.Node) (string, error) {
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		return "", err
	}
	return strings.TrimSpace(buf.String()), enc.Close()
}

// encoder knows which kinds have no namespace.
type encoder struct {
	namespace string
	cluster   map[string]bool // group/Kind of the chart's own definitions
}

// learn remembers the scope of a kind that the chart defines.
func (e *encoder) learn(root *yaml.Node) {
	if text(root, "kind") != "CustomResourceDefinition" {
		return
	}
	spec := child(root, "spec")
	if text(spec, "scope") == "Cluster" {
		e.cluster[text(spec, "group")+"/"+text(child(spec, "names"), "kind")] = true
	}
}

// settle writes the namespace into an object, or into the items of a list, and says whether it did. Where the scope of a kind is not
// known, it is written as well: the installer takes it out again once the server has told that the kind has none.
func (e *encoder) settle(root *yaml.Node) bool {
	if items := child(root, "items"); items != nil && items.Kind == yaml.SequenceNode && strings.HasSuffix(text(root, "kind"), "List") {
		changed := false
		for _, item := range items.Content {
			changed = e.settle(item) || changed
		}
		return changed
	}
	meta := child(root, "metadata")
	if meta == nil || meta.Kind != yaml.MappingNode || text(meta, "namespace") != "" || e.clusterScoped(text(root, "apiVersion"), text(root, "kind")) {
		return false
	}
	value := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: e.namespace}
	for i := 0; i+1 < len(meta.Content); i += 2 {
		if meta.Content[i].Value == "namespace" { // there, and empty
			meta.Content[i+1] = value
			return true
		}
	}
	meta.Content = append(meta.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "namespace"}, value)
	return true
}

func (e *encoder) clusterScoped(apiVersion, kind string) bool {
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group = ""
	}
	if e.cluster[group+"/"+kind] {
		return true
	}
	return (!strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")) && slices.Contains(clusterKinds(), kind)
}

// clusterKinds are Kubernetes' own kinds that have no namespace (`kubectl api-resources --namespaced=false`, v1.10 to v1.37).
func clusterKinds() []string {
	return []string{
		"APIService", "CSIDriver", "CSINode", "CertificateSigningRequest", "ClusterRole", "ClusterRoleBinding", "ClusterTrustBundle",
		"CustomResourceDefinition", "DeviceClass", "FlowSchema", "IPAddress", "IngressClass", "MutatingAdmissionPolicy",
		"MutatingAdmissionPolicyBinding", "MutatingWebhookConfiguration", "Namespace", "Node", "PersistentVolume", "PodSecurityPolicy",
		"PriorityClass", "PriorityLevelConfiguration", "ResourceSlice", "RuntimeClass", "ServiceCIDR", "StorageClass",
		"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration", "VolumeAttachment",
		"VolumeAttributesClass",
	}
}

func child(m *yaml.Node, key string) *yaml.Node {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			if v := m.Content[i+1]; v.Kind == yaml.AliasNode {
				return v.Alias
			}
			return m.Content[i+1]
		}
	}
	return nil
}

func text(m *yaml.Node, key string) string {
	if v := child(m, key); v != nil && v.Kind == yaml.ScalarNode && v.Tag != "!!null" {
		return v.Value
	}
	return ""
}
