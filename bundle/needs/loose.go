package needs

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	"go.yaml.in/yaml/v3"

	"kubebundle/bundle"
)

// loose takes a field that stands outside a container and names an image, as in the custom resources of operators, if it is
// clearly a reference. short allows one without a registry.
func (s *scanner) loose(n *yaml.Node, short bool) {
	ref, err := reference.ParseNormalizedNamed(n.Value)
	if err != nil || !short && !isFull(n.Value) {
		return
	}
	if reference.IsNameOnly(ref) {
		if strings.Contains(n.Value, "/") {
			s.warn(n, "image %s stands outside a container and has no tag: it is not packed (name it with --image if it is needed)", n.Value)
		}
		return
	}
	s.need(n, n.Value)
}

// pair takes an image that is written in parts, {registry, repository, tag}, and an environment variable {name: RELATED_IMAGE_…,
// value}.
func (s *scanner) pair(m *yaml.Node) {
	if strings.HasPrefix(scalar(m, "name"), "RELATED_IMAGE_") {
		if v := value(m, "value"); v != nil && v.Kind == yaml.ScalarNode {
			s.loose(v, true)
		}
	}
	repository, tag := scalar(m, "repository"), scalar(m, "tag")
	if repository == "" || tag == "" || strings.Contains(repository, "://") { // a git repository has tags, too
		return
	}
	ref := repository + ":" + tag
	if registry := scalar(m, "registry"); registry != "" {
		ref = registry + "/" + ref
	}
	if _, err := reference.ParseDockerRef(ref); err == nil {
		s.need(value(m, "repository"), ref)
	}
}

// schema takes the defaults of a CustomResourceDefinition's fields; name is the field that n describes. Everything else in it only
// talks about fields called image, and has none.
func (s *scanner) schema(n *yaml.Node, name string, depth int) {
	if depth > maxDepth {
		s.fail(n, "is nested too deeply")
		return
	}
	if n.Kind != yaml.MappingNode {
		for _, c := range n.Content { // an alias has none
			s.schema(c, name, depth+1)
		}
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i].Value, n.Content[i+1]
		switch {
		case key == "properties" && val.Kind == yaml.MappingNode:
			for j := 0; j+1 < len(val.Content); j += 2 {
				s.schema(val.Content[j+1], val.Content[j].Value, depth+1)
			}
		case key == "default":
			s.field(name, val, depth)
		default:
			s.schema(val, name, depth+1)
		}
	}
}

// isFull says whether a string is a reference with registry, path and tag or digest: what is hardly anything else.
func isFull(v string) bool {
	ref, err := reference.ParseNormalizedNamed(v)
	if err != nil || reference.IsNameOnly(ref) {
		return false
	}
	domain := reference.Domain(ref)
	return strings.HasPrefix(v, domain+"/") && strings.ContainsAny(domain, ".:")
}

// maxNested is how many strings inside strings are looked into.
const maxNested = 3

// text looks into a string: an argument --image=REF, a manifest in a ConfigMap, a template of one.
func (s *scanner) text(n *yaml.Node) {
	v := n.Value
	if len(v) < len("a.b/c:d") || n.Tag != "!!str" {
		return
	}
	if !strings.Contains(v, "\n") && !strings.HasPrefix(v, "{") {
		_, arg, _ := strings.Cut(v, "=")
		for _, c := range []string{v, arg} {
			if isFull(c) {
				s.Maybe = append(s.Maybe, bundle.Need{Ref: c, By: s.at(n)})
				return
			}
		}
		return
	}
	if s.nested < maxNested && s.embedded(n) {
		return
	}
	s.lines(n)
}

// embedded scans a string whose documents are all Kubernetes objects. What is wrong in them is not this manifest's fault, so it is
// no error.
func (s *scanner) embedded(n *yaml.Node) bool {
	if !strings.Contains(n.Value, "apiVersion") {
		return false
	}
	var docs []*yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader([]byte(n.Value)))
	for {
		doc := new(yaml.Node)
		err := dec.Decode(doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false
		}
		root := doc.Content[0]
		if root.Tag == "!!null" {
			continue
		}
		if scalar(root, "apiVersion") == "" || scalar(root, "kind") == "" {
			return false
		}
		docs = append(docs, root)
	}
	in := &scanner{file: s.file, nested: s.nested + 1, line: func(l int) int { return s.line(innerLine(n, l)) }}
	for _, d := range docs {
		in.object(d, "", 0)
	}
	s.add(in.Found)
	return len(docs) > 0
}

// innerLine is the line on which the l-th line of a string stands: known where the string is written as a block.
func innerLine(n *yaml.Node, l int) int {
	if n.Style&yaml.LiteralStyle != 0 {
		return n.Line + l
	}
	return n.Line
}

var imageLineRE = regexp.MustCompile(`^[\s{,-]*"?(?:image|[A-Za-z]+Image)"?\s*:\s*["']?([^\s"'{}]+)["']?\s*,?\s*$`)

// lines looks for image: in a text that is no manifest.
func (s *scanner) lines(n *yaml.Node) {
	l := 0
	for line := range strings.Lines(n.Value) {
		l++
		m := imageLineRE.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		if ref, err := reference.ParseNormalizedNamed(m[1]); err == nil && !reference.IsNameOnly(ref) {
			s.Maybe = append(s.Maybe, bundle.Need{Ref: m[1], By: s.at(&yaml.Node{Line: innerLine(n, l)})})
		}
	}
}
