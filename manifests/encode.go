package manifests

import (
	"bytes"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// Encode writes objects as YAML documents parted by "---": apiVersion and kind first in each, then keys sorted; no status and
// no empty creationTimestamp. Equal objects give equal bytes. An object without apiVersion or kind is an error.
func Encode(objs ...runtime.Object) ([]byte, error) {
	var out bytes.Buffer
	for i, obj := range objs {
		doc, err := toMap(obj)
		if err != nil {
			return nil, fmt.Errorf("encode %T: %w", obj, err)
		}
		data, err := encodeMap(doc)
		if err != nil {
			return nil, fmt.Errorf("encode %T: %w", obj, err)
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(data)
	}
	return out.Bytes(), nil
}

// toMap turns a typed object into the generic one that is written.
func toMap(obj any) (map[string]any, error) {
	doc, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, err
	}
	delete(doc, "status")
	dropEmptyTimes(doc)
	return doc, nil
}

// dropEmptyTimes removes the creationTimestamp that an object (or a pod template) never had.
func dropEmptyTimes(v any) {
	switch v := v.(type) {
	case map[string]any:
		if t, ok := v["creationTimestamp"]; ok && t == nil {
			delete(v, "creationTimestamp")
		}
		for _, e := range v {
			dropEmptyTimes(e)
		}
	case []any:
		for _, e := range v {
			dropEmptyTimes(e)
		}
	}
}

// encodeMap writes one document with apiVersion and kind first.
func encodeMap(doc map[string]any) ([]byte, error) {
	apiVersion, _ := doc["apiVersion"].(string)
	kind, _ := doc["kind"].(string)
	if apiVersion == "" || kind == "" {
		return nil, errors.New("apiVersion or kind is missing")
	}
	rest := make(map[string]any, len(doc))
	for k, v := range doc {
		if k != "apiVersion" && k != "kind" {
			rest[k] = v
		}
	}
	head, err := yaml.Marshal(map[string]any{"apiVersion": apiVersion, "kind": kind})
	if err != nil {
		return nil, err
	}
	if len(rest) == 0 {
		return head, nil
	}
	body, err := yaml.Marshal(rest)
	if err != nil {
		return nil, err
	}
	return append(head, body...), nil
}
