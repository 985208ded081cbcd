package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ObjectRef names an object.
type ObjectRef struct{ APIVersion, Kind, Namespace, Name string }

func (r ObjectRef) object() *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetAPIVersion(r.APIVersion)
	u.SetKind(r.Kind)
	u.SetNamespace(r.Namespace)
	u.SetName(r.Name)
	return u
}

// Keep reads objects as they are, for PutBack. Those that are not there are left out.
func (c *Client) Keep(ctx context.Context, refs []ObjectRef) ([]byte, error) {
	var out []map[string]any
	for _, ref := range refs {
		u := ref.object()
		err := retry(ctx, func(ctx context.Context) error {
			r, err := c.resource(u)
			if err != nil {
				return err
			}
			live, err := r.Get(ctx, ref.Name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			if err != nil {
				return err
			}
			out = append(out, own(live).Object)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", describe(u), err)
		}
	}
	return json.Marshal(out)
}

// PutBack makes objects again what Keep has read, fields that came since included. changed counts those that were written.
func (c *Client) PutBack(ctx context.Context, kept []byte) (changed int, err error) {
	return c.putBack(ctx, kept, true)
}

// IsBack reports whether PutBack would change nothing.
func (c *Client) IsBack(ctx context.Context, kept []byte) (bool, error) {
	n, err := c.putBack(ctx, kept, false)
	return n == 0 && err == nil, err
}

func (c *Client) putBack(ctx context.Context, kept []byte, write bool) (changed int, err error) {
	var list []map[string]any
	if err := json.Unmarshal(kept, &list); err != nil {
		return 0, fmt.Errorf("read kept objects: %w", err)
	}
	for _, obj := range list {
		u := &unstructured.Unstructured{Object: obj}
		differs := false
		err := retry(ctx, func(ctx context.Context) error {
			r, err := c.resource(u)
			if err != nil {
				return err
			}
			live, err := r.Get(ctx, u.GetName(), metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				differs = true
				if write {
					_, err = r.Create(ctx, u, metav1.CreateOptions{})
					return err
				}
				return nil
			}
			if err != nil {
				return err
			}
			if differs = !sameJSON(own(live).Object, obj); !differs || !write {
				return nil
			}
			back := u.DeepCopy()
			back.SetResourceVersion(live.GetResourceVersion())
			_, err = r.Update(ctx, back, metav1.UpdateOptions{})
			return err
		})
		if err != nil {
			return changed, fmt.Errorf("put back %s: %w", describe(u), err)
		}
		if differs {
			changed++
		}
	}
	return changed, nil
}

// own drops from an object what the server alone says.
func own(u *unstructured.Unstructured) *unstructured.Unstructured {
	out := u.DeepCopy()
	delete(out.Object, "status")
	for _, key := range []string{"resourceVersion", "uid", "generation", "managedFields", "selfLink", "creationTimestamp"} {
		unstructured.RemoveNestedField(out.Object, "metadata", key)
	}
	for _, counter := range []string{"deployment.kubernetes.io/revision", "deprecated.daemonset.template.generation"} {
		unstructured.RemoveNestedField(out.Object, "metadata", "annotations", counter)
	}
	return out
}

// sameJSON compares what came from the wire with what came from a file: their numbers may differ in type.
func sameJSON(a, b map[string]any) bool {
	var x, y any
	for _, p := range []struct {
		from map[string]any
		to   *any
	}{{a, &x}, {b, &y}} {
		data, err := json.Marshal(p.from)
		if err != nil || json.Unmarshal(data, p.to) != nil {
			return false
		}
	}
	return reflect.DeepEqual(x, y)
}

// SystemConfigMap reads a ConfigMap of kube-system; nil where there is none.
func (c *Client) SystemConfigMap(ctx context.Context, name string) (*corev1.ConfigMap, error) {
	var cm *corev1.ConfigMap
	err := retry(ctx, func(ctx context.Context) (err error) {
		cm, err = c.Kube.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			cm = nil
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap kube-system/%s: %w", name, err)
	}
	return cm, nil
}

// Replicas is how many pods a Deployment is to have; nil where there is none.
func (c *Client) Replicas(ctx context.Context, namespace, name string) (*int32, error) {
	var out *int32
	err := retry(ctx, func(ctx context.Context) error {
		d, err := c.Kube.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			out = nil
			return nil
		}
		if err == nil {
			out = d.Spec.Replicas
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read Deployment %s/%s: %w", namespace, name, err)
	}
	return out, nil
}

// AddonImages are the images of kube-proxy and of CoreDNS, by name; what is not there is left out.
func (c *Client) AddonImages(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	err := retry(ctx, func(ctx context.Context) error {
		ds, err := c.Kube.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, "kube-proxy", metav1.GetOptions{})
		switch {
		case err == nil && len(ds.Spec.Template.Spec.Containers) > 0:
			out[ds.Name] = ds.Spec.Template.Spec.Containers[0].Image
		case err != nil && !apierrors.IsNotFound(err):
			return err
		}
		d, err := c.Kube.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
		switch {
		case err == nil && len(d.Spec.Template.Spec.Containers) > 0:
			out[d.Name] = d.Spec.Template.Spec.Containers[0].Image
		case err != nil && !apierrors.IsNotFound(err):
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the add-ons: %w", err)
	}
	return out, nil
}
