package config

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	kjson "sigs.k8s.io/json"
)

// fieldError is a problem of one field of a document; its line is looked up once the file is known.
type fieldError struct {
	path string // a.b[0].c
	err  error
}

func (e *fieldError) Error() string { return e.path + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// decodeStrict decodes JSON and reports every field that the type does not have: a misspelt field that is silently ignored is a
// cluster that differs from what its owner believes.
func decodeStrict(j []byte, into any) error {
	strict, err := kjson.UnmarshalStrict(j, into)
	if err != nil {
		return wrongType(err)
	}
	all := make([]error, 0, len(strict))
	for _, e := range strict {
		if path, ok := cutQuoted(e.Error(), "unknown field "); ok {
			e = &fieldError{path: path, err: errors.New("unknown field")}
		} else if path, ok := cutQuoted(e.Error(), "duplicate field "); ok {
			e = &fieldError{path: path, err: errors.New("stands twice")}
		}
		all = append(all, e)
	}
	return errors.Join(all...)
}

func cutQuoted(text, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return "", false
	}
	name, err := strconv.Unquote(rest)
	return name, err == nil
}

// wrongType turns "json: cannot unmarshal string into Go struct field InitConfiguration.localAPIEndpoint.bindPort of type int32"
// into words of the user's world.
func wrongType(err error) error {
	m := regexp.MustCompile(`cannot unmarshal (\S+)(?: \S+)? into Go struct field \w+\.(\S+) of type (\S+)`).FindStringSubmatch(err.Error())
	if m == nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return &fieldError{path: m[2], err: fmt.Errorf("is a %s, not a %s", m[1], goTypeName(m[3]))}
}

func goTypeName(t string) string {
	switch {
	case strings.HasPrefix(t, "int"), strings.HasPrefix(t, "uint"):
		return "whole number"
	case t == "bool":
		return "bool (true or false)"
	case strings.HasPrefix(t, "[]"):
		return "list"
	case strings.HasPrefix(t, "map["), strings.HasPrefix(t, "config."):
		return "mapping"
	}
	return t
}

// atLine puts file and line before each of the errors of a document.
func atLine(file string, p piece, err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, atLine(file, p, e)...)
		}
		return all
	}
	var field *fieldError
	if errors.As(err, &field) {
		return []error{fmt.Errorf("%s:%d: %w", file, p.line+lineOf(p.data, field.path), err)}
	}
	// The YAML library counts its lines from the document's beginning.
	text := strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	if m := regexp.MustCompile(`^yaml: (?:unmarshal errors:\s+)?line (\d+): (?s:(.*))`).FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1])
		return []error{fmt.Errorf("%s:%d: %s", file, p.line+n, m[2])}
	}
	return []error{fmt.Errorf("%s:%d: %s", file, p.line+1, strings.TrimPrefix(text, "yaml: "))}
}

// lineOf gives the line (from 1) of a field in a document, or of the nearest parent that is there.
func lineOf(doc []byte, path string) int {
	var root yamlv3.Node
	if err := yamlv3.Unmarshal(doc, &root); err != nil || len(root.Content) == 0 {
		return 1
	}
	node, line := root.Content[0], root.Content[0].Line
	for _, part := range splitPath(path) {
		if i, err := strconv.Atoi(part); err == nil && node.Kind == yamlv3.SequenceNode && i < len(node.Content) {
			node = node.Content[i]
			line = node.Line
			continue
		}
		next, at := child(node, part)
		if next == nil {
			return line
		}
		node, line = next, at
	}
	return line
}

func child(node *yamlv3.Node, key string) (*yamlv3.Node, int) {
	if node.Kind != yamlv3.MappingNode {
		return nil, 0
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1], node.Content[i].Line
		}
	}
	return nil, 0
}

// splitPath cuts "a.b[0].c" into a, b, 0, c.
func splitPath(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}
