package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// documents is the content of a configuration file, each known kind at most once.
type documents struct {
	init      *InitConfiguration
	cluster   *ClusterConfiguration
	join      *JoinConfiguration
	reset     *ResetConfiguration
	upgrade   *UpgradeConfiguration
	kubelet   map[string]any
	kubeProxy map[string]any
	// controlPlaneTimeout comes from a ClusterConfiguration before v1beta4.
	controlPlaneTimeout *metav1.Duration
	// dns is CoreDNS or kube-dns where a file before v1beta3 says so.
	dns string
	// audit is what a file before v1beta1 says about auditing.
	audit *AuditPolicy
}

const (
	groupKubelet = "kubelet.config.k8s.io/v1beta1"
	groupProxy   = "kubeproxy.config.k8s.io/v1alpha1"
)

// knownKinds are the documents that a file may hold: one file often serves all commands, each takes its own. ClusterStatus, which kubeadm
// kept beside a cluster's configuration up to 1.21, is passed over.
func knownKinds() map[string][]string {
	return map[string][]string{
		groupV1beta4:  {"InitConfiguration", "ClusterConfiguration", "JoinConfiguration", "ResetConfiguration", "UpgradeConfiguration"},
		groupV1beta3:  {"InitConfiguration", "ClusterConfiguration", "JoinConfiguration"},
		groupV1beta2:  {"InitConfiguration", "ClusterConfiguration", "JoinConfiguration", "ClusterStatus"},
		groupV1beta1:  {"InitConfiguration", "ClusterConfiguration", "JoinConfiguration", "ClusterStatus"},
		groupV1alpha3: {"InitConfiguration", "ClusterConfiguration", "JoinConfiguration", "ClusterStatus"},
		groupV1alpha2: {"MasterConfiguration", "NodeConfiguration"},
		groupV1alpha1: {"MasterConfiguration", "NodeConfiguration"},
		groupKubelet:  {"KubeletConfiguration"},
		groupProxy:    {"KubeProxyConfiguration"},
	}
}

// parseDocuments reads a file of YAML (or JSON) documents. All problems of all documents are reported at once, with file and line.
func parseDocuments(file string, data []byte) (*documents, error) {
	var all []error
	docs := &documents{}
	seen := map[string]bool{}
	for _, piece := range splitDocuments(data) {
		if err := docs.read(piece, seen); err != nil {
			all = append(all, atLine(file, piece, err)...)
		}
	}
	if err := errors.Join(all...); err != nil {
		return nil, usage(err)
	}
	return docs, nil
}

// piece is one document of a file; line is the number of lines before it.
type piece struct {
	data []byte
	line int
}

// splitDocuments cuts a file at its "---" lines. Documents without content are left out.
func splitDocuments(data []byte) []piece {
	var pieces []piece
	current, begin, number := []byte(nil), 0, 0
	flush := func() {
		if hasContent(current) {
			pieces = append(pieces, piece{data: current, line: begin})
		}
	}
	for line := range bytes.Lines(data) {
		rest, found := bytes.CutPrefix(line, []byte("---"))
		if found && (len(bytes.TrimSpace(rest)) == 0 || rest[0] == ' ' || rest[0] == '\t') {
			flush()
			// What stands behind the dashes belongs to the new document, at its column.
			current, begin = append([]byte("   "), rest...), number
		} else {
			current = append(current, line...)
		}
		number++
	}
	flush()
	return pieces
}

func hasContent(doc []byte) bool {
	for line := range bytes.Lines(doc) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && !bytes.Equal(line, []byte("...")) && line[0] != '%' {
			return true
		}
	}
	return false
}

func (d *documents) read(p piece, seen map[string]bool) error {
	j, err := yaml.YAMLToJSONStrict(p.data)
	if err != nil {
		return err
	}
	var generic map[string]any
	if err := json.Unmarshal(j, &generic); err != nil {
		return errors.New("not a YAML mapping: a configuration begins with apiVersion and kind")
	}
	apiVersion, kind, err := identify(generic)
	if err != nil {
		return err
	}
	latest, err := latest(&document{apiVersion: apiVersion, kind: kind, body: generic, from: map[string]string{}})
	errs := []error{err}
	for _, doc := range latest {
		if seen[doc.kind] {
			errs = append(errs, &fieldError{path: "kind", err: fmt.Errorf("a second %s: a file has each kind once", doc.kind)})
			continue
		}
		seen[doc.kind] = true
		errs = append(errs, doc.located(d.take(doc)))
	}
	return errors.Join(errs...)
}

// take decodes a document of the newest form.
func (d *documents) take(doc *document) error {
	if doc.kind == "ClusterConfiguration" {
		d.controlPlaneTimeout, d.dns, d.audit = doc.timeout, doc.dns, doc.audit
	}
	j, err := json.Marshal(doc.body)
	if err != nil {
		return err
	}
	switch doc.kind {
	case "InitConfiguration":
		d.init = &InitConfiguration{}
		return decodeStrict(j, d.init)
	case "ClusterConfiguration":
		d.cluster = &ClusterConfiguration{}
		return decodeStrict(j, d.cluster)
	case "JoinConfiguration":
		d.join = &JoinConfiguration{}
		return decodeStrict(j, d.join)
	case "ResetConfiguration":
		d.reset = &ResetConfiguration{}
		return decodeStrict(j, d.reset)
	case "UpgradeConfiguration":
		d.upgrade = &UpgradeConfiguration{}
		return decodeStrict(j, d.upgrade)
	case "KubeletConfiguration":
		d.kubelet = doc.body
	case "KubeProxyConfiguration":
		d.kubeProxy = doc.body
	}
	return nil
}

func identify(doc map[string]any) (apiVersion, kind string, err error) {
	apiVersion, _ = doc["apiVersion"].(string)
	kind, _ = doc["kind"].(string)
	known := knownKinds()
	kinds, ok := known[apiVersion]
	if !ok {
		var names []string
		for name := range known {
			names = append(names, name)
		}
		slices.Sort(names)
		slices.Reverse(names)
		return "", "", &fieldError{path: "apiVersion", err: fmt.Errorf("unknown %q: known are %s", apiVersion, strings.Join(names, ", "))}
	}
	if !slices.Contains(kinds, kind) {
		return "", "", &fieldError{path: "kind", err: fmt.Errorf("unknown %q: %s has %s", kind, apiVersion, strings.Join(kinds, ", "))}
	}
	return apiVersion, kind, nil
}
