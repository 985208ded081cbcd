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
	Warnings []string // file:line: what will not work without a registry
}

// Scan finds the images in a YAML (or JSON) file of any number of documents. file is for messages.
func Scan(file string, data []byte) (Found, error) {
	s := &scanner{file: file}
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
		s.document(&doc)
	}
	if docs == 0 {
		return Found{}, fmt.Errorf("manifest %s: holds no object", file)
	}
	return s.Found, errors.Join(s.errs...)
}

type scanner struct {
	Found
	file string
	errs []error
}

func (s *scanner) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", s.file, n.Line) }

func (s *scanner) fail(n *yaml.Node, why string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf("manifest %s: %s", s.at(n), fmt.Sprintf(why, args...)))
}

func (s *scanner) warn(n *yaml.Node, why string, args ...any) {
	s.Warnings = append(s.Warnings, s.at(n)+": "+fmt.Sprintf(why, args...))
}

func (s *scanner) document(doc *yaml.Node) {
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode || value(root, "kind") == nil || value(root, "apiVersion") == nil {
		s.fail(root, "is not a Kubernetes object (it has no apiVersion and kind)")
		return
	}
	if k := value(root, "kind"); k.Value == "CustomResourceDefinition" {
		return // a schema talks about fields called image, it has none
	}
	s.walk(root, 0)
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
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, val := n.Content[i], n.Content[i+1]
			switch {
			case isContainerList(key.Value) && resolve(val).Kind == yaml.SequenceNode:
				s.containers(resolve(val), depth)
				continue
			case key.Value == "volumes" && resolve(val).Kind == yaml.SequenceNode:
				s.volumes(resolve(val))
			case key.Value == "image" && resolve(val).Kind == yaml.ScalarNode:
				s.loose(resolve(val))
			}
			s.walk(val, depth+1)
		}
	default:
		for _, c := range n.Content {
			s.walk(c, depth+1)
		}
	}
}

func isContainerList(key string) bool {
	return key == "containers" || key == "initContainers" || key == "ephemeralContainers"
}

// containers takes the image of every container; a container without one is an error.
func (s *scanner) containers(list *yaml.Node, depth int) {
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
		case value(c, "name") != nil:
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
		s.fail(n, "the image is empty")
		return
	}
	ref, err := reference.ParseDockerRef(n.Value)
	if err != nil {
		s.fail(n, "odd image %q: %v", n.Value, err)
		return
	}
	s.Needs = append(s.Needs, bundle.Need{Ref: n.Value, By: s.at(n)})
	tagged, isTagged := ref.(reference.Tagged)
	latest := isTagged && tagged.Tag() == "latest"
	switch {
	case policy != nil && policy.Value == "Always":
		s.warn(policy, "imagePullPolicy Always needs a registry; say IfNotPresent for %s", n.Value)
	case (policy == nil || policy.Value == "") && latest:
		s.warn(n, "%s is pulled again at every start because its tag is latest; give it another tag or imagePullPolicy: IfNotPresent", n.Value)
	}
}

// loose takes an image: that stands outside a container, as in the custom resources of operators, if it is clearly a
// reference.
func (s *scanner) loose(n *yaml.Node) {
	ref, err := reference.ParseNormalizedNamed(n.Value)
	if err != nil {
		return
	}
	if reference.IsNameOnly(ref) {
		if strings.Contains(n.Value, "/") {
			s.warn(n, "image %s stands outside a container and has no tag: it is not packed (name it with --image if it is needed)", n.Value)
		}
		return
	}
	s.Needs = append(s.Needs, bundle.Need{Ref: n.Value, By: s.at(n)})
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

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
