package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// NodePatch is what is added to a node.
type NodePatch struct {
	Labels      map[string]string
	Annotations map[string]string
	Taints      []Taint
	// ConfigSource, if not nil, is where a kubelet with DynamicKubeletConfig takes its configuration from.
	ConfigSource *ConfigSource
}

// ConfigSource is a ConfigMap in kube-system with a kubelet's configuration.
type ConfigSource struct {
	ConfigMap string
	// ByUID is the form of Kubernetes up to v1.10, which knew one ConfigMap and no other that would come to have its name.
	ByUID bool
}

// Field is spec.configSource of a Node.
func (s *ConfigSource) Field(uid string) map[string]any {
	if s.ByUID {
		return map[string]any{"configMapRef": map[string]any{"namespace": metav1.NamespaceSystem, "name": s.ConfigMap, "uid": uid}}
	}
	return map[string]any{"configMap": map[string]any{"namespace": metav1.NamespaceSystem, "name": s.ConfigMap, "kubeletConfigKey": "kubelet"}}
}

// source looks the ConfigMap up: a kubelet that is sent to one that is not there says so for ever.
func (c *Client) source(ctx context.Context, s *ConfigSource) (map[string]any, error) {
	if s == nil {
		return nil, nil
	}
	cm, err := c.Kube.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, s.ConfigMap, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return s.Field(string(cm.UID)), nil
}

// Taint is a node taint.
type Taint struct{ Key, Value, Effect string }

var errNoHostname = errors.New("it has no host name label yet")

// nodes are read and written in generic form: a typed one would lose the fields that this client's version does not know.
func (c *Client) nodes() dynamic.ResourceInterface {
	return c.dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"})
}

// PatchNode sets labels, annotations and taints, waiting for the node to appear until ctx ends.
func (c *Client) PatchNode(ctx context.Context, name string, p NodePatch) error {
	for {
		err := retry(ctx, func(ctx context.Context) error { return c.patchNode(ctx, name, p) })
		if err == nil {
			return nil
		}
		missing := apierrors.IsNotFound(err) || errors.Is(err, errNoHostname)
		if !missing || sleep(ctx, retryInterval) != nil {
			return fmt.Errorf("mark node %s: %w", name, err)
		}
	}
}

func (c *Client) patchNode(ctx context.Context, name string, p NodePatch) error {
	live, err := c.nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	// The kubelet registers the node first and labels it then, or at once, after its version; before, our labels could be lost.
	if _, ok := live.GetLabels()[corev1.LabelHostname]; !ok {
		return errNoHostname
	}
	source, err := c.source(ctx, p.ConfigSource)
	if err != nil {
		return err
	}
	patched, changed := p.over(live, source)
	if !changed {
		return nil
	}
	_, err = c.nodes().Update(ctx, patched, metav1.UpdateOptions{})
	return err
}

// NodePatched reports whether PatchNode would change nothing. A node that is not there is not patched.
func (c *Client) NodePatched(ctx context.Context, name string, p NodePatch) (ok bool, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		ok = false
		live, err := c.nodes().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
			return nil
		}
		if err != nil {
			return err
		}
		source, err := c.source(ctx, p.ConfigSource)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		_, changed := p.over(live, source)
		ok = !changed
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("look at node %s: %w", name, err)
	}
	return ok, nil
}

// over adds the patch to a node, with the field that its ConfigSource means. A taint is known by key and effect, as the API has it.
func (p NodePatch) over(live *unstructured.Unstructured, source map[string]any) (*unstructured.Unstructured, bool) {
	want := map[string]any{"metadata": map[string]any{"labels": generic(p.Labels), "annotations": generic(p.Annotations)}}
	if source != nil {
		want["spec"] = map[string]any{"configSource": source}
	}
	merged, changed := overlay(live.Object, want)
	out := &unstructured.Unstructured{Object: merged}
	have, _, _ := unstructured.NestedSlice(merged, "spec", "taints")
	taintsChanged := false
	for _, t := range p.Taints {
		have, taintsChanged = addTaint(have, t, taintsChanged)
	}
	if !taintsChanged {
		return out, changed
	}
	spec, _ := merged["spec"].(map[string]any)
	merged["spec"], _ = overlay(spec, map[string]any{"taints": have})
	return out, true
}

func addTaint(have []any, t Taint, changed bool) ([]any, bool) {
	want := map[string]any{"key": t.Key, "effect": t.Effect}
	if t.Value != "" {
		want["value"] = t.Value
	}
	for i, h := range have {
		m, ok := h.(map[string]any)
		if !ok || m["key"] != t.Key || m["effect"] != t.Effect {
			continue
		}
		if value, _ := m["value"].(string); value == t.Value {
			return have, changed
		}
		have[i] = want
		return have, true
	}
	return append(have, want), true
}

func generic(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// NodeReady tells whether a node is Ready, and if not, why: the condition's message.
func (c *Client) NodeReady(ctx context.Context, name string) (ready bool, reason string, err error) {
	n, err := c.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, "the node has not registered", nil
	}
	if err != nil {
		return false, "", fmt.Errorf("look at node %s: %w", name, err)
	}
	for _, cond := range n.Status.Conditions {
		if cond.Type == corev1.NodeReady {
			return cond.Status == corev1.ConditionTrue, cond.Message, nil
		}
	}
	return false, "the kubelet has not reported yet", nil
}

// WaitNodeReady waits until a node is Ready or ctx ends; the error says what was missing last.
func (c *Client) WaitNodeReady(ctx context.Context, name string) error {
	for {
		ready, reason, err := c.NodeReady(ctx, name)
		if ready {
			return nil
		}
		if err != nil {
			reason = err.Error()
		}
		if sleep(ctx, time.Second) != nil {
			return fmt.Errorf("node %s is not Ready: %s", name, reason)
		}
	}
}

// NodeExistsReady reports whether a Ready node of this name is there: a second machine of the same name would take its place.
// Clusters before v1.18 do not let a joining node ask; for them the answer is no.
func (c *Client) NodeExistsReady(ctx context.Context, name string) (bool, error) {
	ready := false
	err := retry(ctx, func(ctx context.Context) (err error) {
		ready, _, err = c.NodeReady(ctx, name)
		if apierrors.IsForbidden(err) {
			return nil
		}
		return err
	})
	return ready, err
}
