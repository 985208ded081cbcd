package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
)

// Apply creates an object or updates it to what is given, keeping what others own. changed tells whether anything was written.
// Plain GET/CREATE/UPDATE: old API servers have no server-side apply. Retries on conflict and on a server that is just starting.
func (c *Client) Apply(ctx context.Context, obj runtime.Object) (changed bool, err error) {
	u, err := toUnstructured(obj)
	if err != nil {
		return false, err
	}
	return c.apply(ctx, u)
}

func (c *Client) apply(ctx context.Context, u *unstructured.Unstructured) (changed bool, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		changed, err = c.applyOnce(ctx, u)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("apply %s: %w", describe(u), err)
	}
	return changed, nil
}

func (c *Client) applyOnce(ctx context.Context, u *unstructured.Unstructured) (bool, error) {
	r, err := c.resource(u)
	if err != nil {
		return false, err
	}
	live, err := r.Get(ctx, u.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = r.Create(ctx, u, metav1.CreateOptions{})
		return err == nil, err
	}
	if err != nil {
		return false, err
	}
	merged, changed := overlay(live.Object, u.Object)
	if !changed {
		return false, nil
	}
	after, err := r.Update(ctx, &unstructured.Unstructured{Object: merged}, metav1.UpdateOptions{})
	if apierrors.IsInvalid(err) {
		// A field of the live object may contradict ours: the parameters of a strategy that we no longer choose. So
		// only what the server itself needs is kept.
		after, err = r.Update(ctx, replacement(live, u), metav1.UpdateOptions{})
	}
	if err != nil {
		return false, err
	}
	// The server may bring our form into its own and find that nothing is new.
	return after.GetResourceVersion() != live.GetResourceVersion(), nil
}

// replacement is our object with what a PUT must repeat: metadata, status, and the addresses of a Service.
func replacement(live, want *unstructured.Unstructured) *unstructured.Unstructured {
	out := maps.Clone(want.Object)
	liveMeta, _ := live.Object["metadata"].(map[string]any)
	wantMeta, _ := want.Object["metadata"].(map[string]any)
	out["metadata"], _ = overlay(liveMeta, wantMeta)
	if s, ok := live.Object["status"]; ok {
		out["status"] = s
	}
	liveSpec, _ := live.Object["spec"].(map[string]any)
	wantSpec, _ := want.Object["spec"].(map[string]any)
	if liveSpec == nil || wantSpec == nil || want.GetKind() != "Service" {
		return &unstructured.Unstructured{Object: out}
	}
	spec := maps.Clone(wantSpec)
	for _, key := range []string{"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"} {
		if _, ours := spec[key]; !ours && liveSpec[key] != nil {
			spec[key] = liveSpec[key]
		}
	}
	out["spec"] = spec
	return &unstructured.Unstructured{Object: out}
}

// Applied reports whether Apply would change nothing. A missing object, or one that we may not read yet, is not applied.
func (c *Client) Applied(ctx context.Context, obj runtime.Object) (bool, error) {
	u, err := toUnstructured(obj)
	if err != nil {
		return false, err
	}
	return c.applied(ctx, u)
}

func (c *Client) applied(ctx context.Context, u *unstructured.Unstructured) (ok bool, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		ok = false
		r, err := c.resource(u)
		if isUnknownKind(err) {
			return nil
		}
		if err != nil {
			return err
		}
		live, err := r.Get(ctx, u.GetName(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
			return nil
		}
		if err != nil {
			return err
		}
		_, changed := overlay(live.Object, u.Object)
		ok = !changed
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", describe(u), err)
	}
	return ok, nil
}

// Delete removes an object; a missing one is no error. What hangs on it (the pods of a Deployment) goes too.
func (c *Client) Delete(ctx context.Context, obj runtime.Object) error {
	u, err := toUnstructured(obj)
	if err != nil {
		return err
	}
	background := metav1.DeletePropagationBackground
	err = retry(ctx, func(ctx context.Context) error {
		r, err := c.resource(u)
		if isUnknownKind(err) {
			return nil
		}
		if err != nil {
			return err
		}
		err = r.Delete(ctx, u.GetName(), metav1.DeleteOptions{PropagationPolicy: &background})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete %s: %w", describe(u), err)
	}
	return nil
}

func (c *Client) resource(u *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvr, namespaced, err := c.kinds.find(u.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	if !namespaced {
		// Whoever wrote the manifest could not know: a namespace here would differ from the live object for ever.
		unstructured.RemoveNestedField(u.Object, "metadata", "namespace")
		return c.dynamic.Resource(gvr), nil
	}
	ns := u.GetNamespace()
	if ns == "" {
		ns = metav1.NamespaceDefault
	}
	return c.dynamic.Resource(gvr).Namespace(ns), nil
}

// toUnstructured turns any object into its generic form, with apiVersion and kind (typed objects often lack them), without status.
func toUnstructured(obj runtime.Object) (*unstructured.Unstructured, error) {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		return prepare(u.DeepCopy())
	}
	gvk := obj.GetObjectKind().GroupVersionKind()
	if gvk.Empty() {
		known, _, err := scheme.Scheme.ObjectKinds(obj)
		if err != nil {
			return nil, fmt.Errorf("apply a %T: %w", obj, err)
		}
		gvk = known[0]
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, fmt.Errorf("apply %s: %w", gvk.Kind, err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(gvk)
	return prepare(u)
}

// prepare drops what the server alone says, and brings write-only fields into the form that can be read back and compared.
func prepare(u *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if u.GetKind() == "" || u.GetAPIVersion() == "" {
		return nil, errors.New("apply an object: it has no apiVersion or no kind")
	}
	if u.GetName() == "" {
		return nil, fmt.Errorf("apply %s: it has no name", u.GetKind())
	}
	delete(u.Object, "status")
	if m, ok := u.Object["metadata"].(map[string]any); ok {
		for _, key := range []string{"creationTimestamp", "resourceVersion", "uid", "generation", "managedFields", "selfLink"} {
			delete(m, key)
		}
	}
	if u.GetKind() == "Secret" && u.GetAPIVersion() == "v1" {
		encodeStringData(u)
	}
	return u, nil
}

func describe(u *unstructured.Unstructured) string {
	name := u.GetName()
	if ns := u.GetNamespace(); ns != "" {
		name = ns + "/" + name
	}
	return u.GetKind() + " " + name
}
