package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// kubeadm's API versions, oldest first. A document of any of them is turned into the next one's form, step by step, until it has the
// form of v1beta4, which is what the types of this package are. Sources: cmd/kubeadm/app/apis/kubeadm/VERSION of Kubernetes 1.10 (v1alpha1),
// 1.11 (v1alpha2), 1.12 (v1alpha3), 1.14 (v1beta1), 1.18 (v1beta2), 1.24 (v1beta3) and 1.34 (v1beta4).
const (
	groupV1alpha1 = "kubeadm.k8s.io/v1alpha1"
	groupV1alpha2 = "kubeadm.k8s.io/v1alpha2"
	groupV1alpha3 = "kubeadm.k8s.io/v1alpha3"
	groupV1beta1  = "kubeadm.k8s.io/v1beta1"
	groupV1beta2  = "kubeadm.k8s.io/v1beta2"
	groupV1beta3  = "kubeadm.k8s.io/v1beta3"
	groupV1beta4  = "kubeadm.k8s.io/v1beta4"
)

// document is one document in generic form on its way to v1beta4.
type document struct {
	apiVersion, kind string
	body             map[string]any
	// from says for fields that have moved where they stood in the file: an error is about that place.
	from map[string]string
	// dns is what the file asks for by the field or the gate that later versions do not have: "", CoreDNS or kube-dns.
	dns string
	// audit is what later versions say by arguments and volumes of the API server.
	audit *AuditPolicy
	// timeout is the one of the control plane, which stands elsewhere from v1beta4 on.
	timeout *metav1.Duration
}

// converters make of a document those of the next API version. What they leave behind in the body is a field that nobody knows.
func converters() map[string]func(*document) ([]*document, error) {
	return map[string]func(*document) ([]*document, error){
		groupV1alpha1: fromV1alpha1,
		groupV1alpha2: fromV1alpha2,
		groupV1alpha3: fromV1alpha3,
		groupV1beta1:  fromV1beta1,
		groupV1beta2:  fromV1beta2,
		groupV1beta3:  fromV1beta3,
	}
}

// latest converts a document until it is of the newest form, and everything that comes out of it.
func latest(d *document) ([]*document, error) {
	convert := converters()[d.apiVersion]
	if convert == nil {
		return []*document{d}, nil
	}
	next, err := convert(d)
	var all []*document
	errs := []error{d.located(err)}
	for _, n := range next {
		docs, err := latest(n)
		all, errs = append(all, docs...), append(errs, err)
	}
	return all, errors.Join(errs...)
}

// located gives errors the place in the file instead of the one in the converted document.
func (d *document) located(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, d.located(e))
		}
		return errors.Join(all...)
	}
	var field *fieldError
	if !errors.As(err, &field) {
		return err
	}
	for _, to := range slices.Backward(slices.Sorted(maps.Keys(d.from))) { // the longest of several comes first
		if rest, ok := below(field.path, to); ok {
			return &fieldError{path: d.from[to] + rest, err: field.err}
		}
	}
	return err
}

// become makes the document one of the next version without changing its body.
func (d *document) become(apiVersion string) []*document {
	d.apiVersion = apiVersion
	d.body["apiVersion"] = apiVersion
	return []*document{d}
}

// part is a new document that fields of this one are moved to.
func (d *document) part(apiVersion, kind string) *document {
	return &document{apiVersion: apiVersion, kind: kind, body: map[string]any{"apiVersion": apiVersion, "kind": kind}, from: map[string]string{}}
}

// move moves fields, each given as "from to" or as one name for both. An empty parent goes as well.
func (d *document) move(to *document, fields ...string) {
	for _, f := range fields {
		old, name, ok := strings.Cut(f, " ")
		if !ok {
			name = old
		}
		v, found := take(d.body, old)
		if !found {
			continue
		}
		put(to.body, name, v)
		origin := d.origin(old)
		for field, from := range d.from { // what is below has come from elsewhere itself
			if rest, ok := below(field, old); ok {
				to.from[name+rest] = from
			}
		}
		to.from[name] = origin
	}
}

// below gives the rest of a path behind a field that it is, or lies in.
func below(path, field string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, field)
	return rest, ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// origin is where a field of the document stood in the file.
func (d *document) origin(path string) string {
	for to, from := range d.from {
		if rest, ok := below(path, to); ok {
			return from + rest
		}
	}
	return path
}

// refuse takes a field that has no successor. One that says nothing is passed over.
func (d *document) refuse(path, why string) error {
	v, found := take(d.body, path)
	if !found || isZero(v) {
		return nil
	}
	return &fieldError{path: path, err: errors.New(why)}
}

func isZero(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case map[string]any:
		for _, inner := range v {
			if !isZero(inner) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	}
	return false
}

// newer refuses fields that only a later version has: kubeadm refuses them as well.
func (d *document) newer(than string, paths ...string) error {
	have := "and later have it"
	if than == groupV1beta4 {
		have = "has it"
	}
	var all []error
	for _, path := range paths {
		if hasPath(d.body, path) {
			all = append(all, &fieldError{path: path, err: fmt.Errorf("unknown field: only %s %s", than, have)})
		}
	}
	return errors.Join(all...)
}

// take removes a field and its parents as far as they are empty then.
func take(doc map[string]any, path string) (any, bool) {
	head, rest, nested := strings.Cut(path, ".")
	v, ok := doc[head]
	if !ok {
		return nil, false
	}
	if !nested {
		delete(doc, head)
		return v, true
	}
	inner, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	v, ok = take(inner, rest)
	if len(inner) == 0 {
		delete(doc, head)
	}
	return v, ok
}

// put sets a field and makes its parents.
func put(doc map[string]any, path string, v any) {
	head, rest, nested := strings.Cut(path, ".")
	if !nested {
		doc[head] = v
		return
	}
	inner, ok := doc[head].(map[string]any)
	if !ok {
		inner = map[string]any{}
		doc[head] = inner
	}
	put(inner, rest, v)
}

func hasPath(doc map[string]any, path string) bool {
	head, rest, nested := strings.Cut(path, ".")
	v, ok := doc[head]
	if !ok || !nested {
		return ok
	}
	inner, ok := v.(map[string]any)
	return ok && hasPath(inner, rest)
}
