package needs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/distribution/reference"
	"go.yaml.in/yaml/v3"

	"kubebundle/bundle"
)

// Found is what a manifest asks for.
type Found struct {
	Needs    []bundle.Need
	Maybe    []bundle.Need // strings that look like images
	Warnings []string      // file:line: what will not work without a registry
}

// Scan finds the images in a YAML (or JSON) file of any number of documents. file is for messages.
func Scan(file string, data []byte) (Found, error) {
	s := &scanner{file: file, line: func(n int) int { return n }}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	docs := 0
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Found{}, fmt.Errorf("manifest %s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if len(doc.Content) == 1 && doc.Content[0].Tag == "!!null" {
			continue // a comment between two ---
		}
		docs++
		s.object(doc.Content[0], "", 0)
	}
	if docs == 0 {
		return Found{}, fmt.Errorf("manifest %s: holds no object", file)
	}
	return s.Found, errors.Join(s.errs...)
}

type scanner struct {
	Found
	file    string
	line    func(int) int       // from a line of what is scanned to a line of the file
	builtin bool                // the object is of a kind that Kubernetes itself starts containers for
	nested  int                 // how many strings lie around what is scanned
	lists   map[*yaml.Node]bool // lists of containers that were scanned: aliases may lead to one again, or in a circle
	errs    []error
}

func (s *scanner) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", s.file, s.line(n.Line)) }

func (s *scanner) fail(n *yaml.Node, why string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf("manifest %s: %s", s.at(n), fmt.Sprintf(why, args...)))
}

func (s *scanner) warn(n *yaml.Node, why string, args ...any) {
	s.Warnings = append(s.Warnings, s.at(n)+": "+fmt.Sprintf(why, args...))
}

func (s *scanner) need(n *yaml.Node, ref string) {
	s.Needs = append(s.Needs, bundle.Need{Ref: ref, By: s.at(n)})
}

// object scans one Kubernetes object. Items of a typed list (PodList) may leave out what the list says: inherited is its apiVersion.
func (s *scanner) object(root *yaml.Node, inherited string, depth int) {
	root = resolve(root)
	version, kind := scalar(root, "apiVersion"), scalar(root, "kind")
	if version == "" {
		version = inherited
	}
	if root.Kind != yaml.MappingNode || version == "" || kind == "" && inherited == "" {
		s.fail(root, "is not a Kubernetes object (it has no apiVersion and kind)")
		return
	}
	if items := value(root, "items"); items != nil && items.Kind == yaml.SequenceNode && strings.HasSuffix(kind, "List") && depth < maxDepth {
		if version == "v1" && kind == "List" {
			version = "" // its items are of any kind
		}
		for _, item := range items.Content {
			s.object(item, version, depth+1)
		}
		return
	}
	if kind == "CustomResourceDefinition" {
		if spec := value(root, "spec"); spec != nil {
			s.schema(spec, "", depth)
		}
		return
	}
	group, _, _ := strings.Cut(version, "/")
	s.builtin = version == "v1" || group == "apps" || group == "batch" || group == "extensions"
	s.walk(root, depth)
}

// maxDepth stops documents that nest without end; Kubernetes' own decoder stops at 10000.
const maxDepth = 1000

func (s *scanner) walk(n *yaml.Node, depth int) {
	if depth > maxDepth {
		s.fail(n, "is nested too deeply")
		return
	}
	switch n.Kind {
	case yaml.AliasNode:
		// What an alias stands for is walked where it is defined.
	case yaml.ScalarNode:
		s.text(n)
	case yaml.MappingNode:
		s.pair(n)
		for i := 0; i+1 < len(n.Content); i += 2 {
			s.field(n.Content[i].Value, n.Content[i+1], depth)
		}
	default:
		for _, c := range n.Content {
			s.walk(c, depth+1)
		}
	}
}

// field scans one entry of a mapping.
func (s *scanner) field(key string, val *yaml.Node, depth int) {
	to := resolve(val)
	switch {
	case isContainerList(key) && to.Kind == yaml.SequenceNode:
		s.containers(to, depth)
		return
	case key == "volumes" && to.Kind == yaml.SequenceNode:
		s.volumes(to)
	case isImageField(key) && to.Kind == yaml.ScalarNode:
		s.loose(to, key == "image")
		return
	case key == "labels" || key == "annotations":
		return // what others say about the object
	}
	s.walk(val, depth+1)
}

func isContainerList(key string) bool {
	return key == "containers" || key == "initContainers" || key == "ephemeralContainers"
}

func isImageField(key string) bool { return key == "image" || strings.HasSuffix(key, "Image") }

// containers takes the image of every container; a container without one is an error where Kubernetes itself starts it. A custom
// resource may well name a container to change it and leave the image to its operator.
func (s *scanner) containers(list *yaml.Node, depth int) {
	if s.lists[list] {
		return
	}
	if s.lists == nil {
		s.lists = map[*yaml.Node]bool{}
	}
	s.lists[list] = true
	for _, c := range list.Content {
		c = resolve(c)
		if c.Kind != yaml.MappingNode {
			s.walk(c, depth+1)
			continue
		}
		img := value(c, "image")
		switch {
		case img != nil:
			s.image(img, value(c, "imagePullPolicy"))
		case value(c, "name") != nil && s.builtin:
			s.fail(c, "container %q has no image", value(c, "name").Value)
		}
		for i := 0; i+1 < len(c.Content); i += 2 {
			if c.Content[i].Value != "image" {
				s.walk(c.Content[i+1], depth+1)
			}
		}
	}
}

// volumes takes the images of image volumes (volumes[].image.reference, Kubernetes 1.31).
func (s *scanner) volumes(list *yaml.Node) {
	for _, v := range list.Content {
		v = resolve(v)
		if v.Kind != yaml.MappingNode {
			continue
		}
		if img := value(v, "image"); img != nil && img.Kind == yaml.MappingNode && value(img, "reference") != nil {
			s.image(value(img, "reference"), value(img, "pullPolicy"))
		}
	}
}

func (s *scanner) image(n, policy *yaml.Node) {
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		if s.builtin {
			s.fail(n, "the image is empty")
		}
		return
	}
	ref, err := reference.ParseDockerRef(n.Value)
	if err != nil {
		s.fail(n, "odd image %q: %v", n.Value, err)
		return
	}
	s.need(n, n.Value)
	tagged, isTagged := ref.(reference.Tagged)
	latest := isTagged && tagged.Tag() == "latest"
	switch {
	case policy != nil && policy.Value == "Always":
		s.warn(policy, "imagePullPolicy Always needs a registry; say IfNotPresent for %s", n.Value)
	case (policy == nil || policy.Value == "") && latest:
		s.warn(n, "%s is pulled again at every start because its tag is latest; give it another tag or imagePullPolicy: IfNotPresent", n.Value)
	}
}

// value finds a key of a mapping, aliases followed and merge keys (<<) included.
func value(m *yaml.Node, key string) *yaml.Node {
	var merged *yaml.Node
	for i := 0; i+1 < len(m.Content); i += 2 {
		switch m.Content[i].Value {
		case key:
			return resolve(m.Content[i+1])
		case "<<":
			if from := resolve(m.Content[i+1]); from.Kind == yaml.MappingNode && from != m {
				for j := 0; j+1 < len(from.Content); j += 2 {
					if from.Content[j].Value == key {
						merged = resolve(from.Content[j+1])
					}
				}
			}
		}
	}
	return merged
}

// scalar is the text of a key of a mapping, "" without one.
func scalar(m *yaml.Node, key string) string {
	if m.Kind != yaml.MappingNode {
		return ""
	}
	if v := value(m, key); v != nil && v.Kind == yaml.ScalarNode {
		return v.Value
	}
	return ""
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
