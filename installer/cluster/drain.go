package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// DrainOptions say which pods may be taken off a node, as those of kubectl drain do. Pods of DaemonSets and static pods always stay.
type DrainOptions struct {
	DeleteEmptyDir bool // pods whose emptyDir is lost with them
	Unmanaged      bool // pods that nobody makes anew
}

// PodRef names a pod. UID tells it from its successor of the same name.
type PodRef struct {
	Namespace, Name, UID string

	labels map[string]string
}

func (p PodRef) String() string { return p.Namespace + "/" + p.Name }

// Drainable lists the pods of a node that are to be evicted, and those that stand against it with the reason.
func (c *Client) Drainable(ctx context.Context, node string, o DrainOptions) (evict []PodRef, refused []string, err error) {
	var list *corev1.PodList
	err = retry(ctx, func(ctx context.Context) error {
		list, err = c.Kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String()})
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list the pods of node %s: %w", node, err)
	}
	for i := range list.Items {
		p := &list.Items[i]
		owner := metav1.GetControllerOf(p)
		finished := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		ref := PodRef{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), labels: p.Labels}
		switch {
		case p.Spec.NodeName != node: // a server that does not know the selector
		case p.Annotations[corev1.MirrorPodAnnotationKey] != "", owner != nil && owner.Kind == "DaemonSet":
		case finished:
			evict = append(evict, ref)
		case owner == nil && !o.Unmanaged:
			refused = append(refused, ref.String()+" (nobody would make it anew)")
		case hasEmptyDir(p) && !o.DeleteEmptyDir:
			refused = append(refused, ref.String()+" (its emptyDir would be lost)")
		default:
			evict = append(evict, ref)
		}
	}
	return evict, refused, nil
}

func hasEmptyDir(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.EmptyDir != nil })
}

// Evict asks the API to take a pod away. done is false where a disruption budget does not allow it now, with what the server says.
func (c *Client) Evict(ctx context.Context, p PodRef) (done bool, why string, err error) {
	meta := metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}
	pods := c.Kube.CoreV1().Pods(p.Namespace)
	err = pods.EvictV1(ctx, &policyv1.Eviction{ObjectMeta: meta})
	if apierrors.IsBadRequest(err) || apierrors.IsNotAcceptable(err) { // up to v1.21
		err = pods.EvictV1beta1(ctx, &policyv1beta1.Eviction{ObjectMeta: meta})
	}
	switch {
	case err == nil, apierrors.IsNotFound(err):
		return true, "", nil
	case apierrors.IsTooManyRequests(err):
		return false, strings.TrimSpace(err.Error()), nil
	}
	return false, "", fmt.Errorf("evict pod %s: %w", p, err)
}

// Schedulable tells whether new pods may come to a node.
func (c *Client) Schedulable(ctx context.Context, name string) (ok bool, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		n, err := c.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		ok = err == nil && !n.Spec.Unschedulable
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look at node %s: %w", name, err)
	}
	return ok, nil
}

// SetSchedulable cordons or uncordons a node.
func (c *Client) SetSchedulable(ctx context.Context, name string, on bool) error {
	err := retry(ctx, func(ctx context.Context) error {
		live, err := c.nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if off, _, _ := unstructured.NestedBool(live.Object, "spec", "unschedulable"); off != on {
			return nil
		}
		if on {
			unstructured.RemoveNestedField(live.Object, "spec", "unschedulable")
		} else if err := unstructured.SetNestedField(live.Object, true, "spec", "unschedulable"); err != nil {
			return err
		}
		_, err = c.nodes().Update(ctx, live, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("set node %s schedulable=%v: %w", name, on, err)
	}
	return nil
}

// Nodes lists the nodes. A node's own credentials may not ask for others: then there are none, and no error.
func (c *Client) Nodes(ctx context.Context) ([]corev1.Node, error) {
	var list *corev1.NodeList
	err := retry(ctx, func(ctx context.Context) (err error) {
		list, err = c.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if apierrors.IsForbidden(err) {
			list = &corev1.NodeList{}
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return list.Items, nil
}

// Held names the pods that a disruption budget does not let go now.
func (c *Client) Held(ctx context.Context, pods []PodRef) ([]string, error) {
	budgets, err := c.Kube.PolicyV1().PodDisruptionBudgets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range budgets.Items {
		b := &budgets.Items[i]
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || b.Status.DisruptionsAllowed > 0 || b.Status.ExpectedPods == 0 {
			continue
		}
		for _, p := range pods {
			if p.Namespace == b.Namespace && selector.Matches(labels.Set(p.labels)) {
				out = append(out, p.String()+" ("+b.Name+")")
			}
		}
	}
	return out, nil
}

// Node reads a node.
func (c *Client) Node(ctx context.Context, name string) (*corev1.Node, error) {
	return c.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
}
