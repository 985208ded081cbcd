package cluster

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

// ApplyYAML applies the documents of a manifest (YAML or JSON, lists too): namespaces and custom resource definitions first, webhooks and
// API services last, the rest in its order. It waits for the kinds that the manifest itself defines. changed counts the objects that were written.
func (c *Client) ApplyYAML(ctx context.Context, manifest []byte) (changed int, err error) {
	objects, err := ParseManifest(manifest)
	if err != nil {
		return 0, err
	}
	for _, u := range objects {
		wrote, err := c.apply(ctx, u)
		if err != nil {
			return changed, err
		}
		if wrote {
			changed++
		}
	}
	return changed, nil
}

// AppliedYAML reports whether ApplyYAML would change nothing.
func (c *Client) AppliedYAML(ctx context.Context, manifest []byte) (bool, error) {
	objects, err := ParseManifest(manifest)
	if err != nil {
		return false, err
	}
	for _, u := range objects {
		if ok, err := c.applied(ctx, u); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// ParseManifest reads the documents of a manifest in the order in which they must be applied. It needs no cluster.
func ParseManifest(manifest []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	d := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096)
	for n := 1; ; n++ {
		u := &unstructured.Unstructured{}
		err := d.Decode(&u.Object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read manifest: document %d: %w", n, err)
		}
		if len(u.Object) == 0 {
			continue // comments only
		}
		if err := flatten(u, &objects); err != nil {
			return nil, fmt.Errorf("read manifest: document %d: %w", n, err)
		}
	}
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int { return rank(a) - rank(b) })
	return objects, nil
}

func flatten(u *unstructured.Unstructured, into *[]*unstructured.Unstructured) error {
	if !u.IsList() {
		p, err := prepare(u)
		if err != nil {
			return err
		}
		*into = append(*into, p)
		return nil
	}
	list, err := u.ToList()
	if err != nil {
		return err
	}
	for i := range list.Items {
		if err := flatten(&list.Items[i], into); err != nil {
			return fmt.Errorf("item %d: %w", i+1, err)
		}
	}
	return nil
}

// rank puts first what others need in order to exist, and last what stands in the way of others until its own pods run.
func rank(u *unstructured.Unstructured) int {
	switch u.GetKind() {
	case "Namespace":
		return 0
	case "CustomResourceDefinition":
		return 1
	case "APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
		return 3
	}
	return 2
}

// encodeStringData moves stringData of a Secret into data: the server does the same and never gives stringData back.
func encodeStringData(u *unstructured.Unstructured) {
	plain, ok := u.Object["stringData"].(map[string]any)
	if !ok {
		return
	}
	delete(u.Object, "stringData")
	data, ok := u.Object["data"].(map[string]any)
	if !ok {
		data = map[string]any{}
	}
	for k, v := range plain {
		if s, ok := v.(string); ok {
			data[k] = base64.StdEncoding.EncodeToString([]byte(s))
		}
	}
	u.Object["data"] = data
}
