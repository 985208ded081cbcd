package differential

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	kubeproxyv1alpha1 "k8s.io/kube-proxy/config/v1alpha1"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"sigs.k8s.io/yaml"
)

// artefacts are all that one side has made, by name: "file /etc/kubernetes/admin.conf", "ConfigMap kube-system/kubeadm-config".
type artefacts map[string]leaves

// reader takes apart what one side made.
type reader struct {
	now now
	cas map[string]*x509.Certificate // by path
	out artefacts
}

// read takes files and objects apart. files at the end and at the kubelet's start are kept apart under their own names.
func read(n now, files map[string]file, objects map[string]object) (artefacts, error) {
	r := &reader{now: n, cas: map[string]*x509.Certificate{}, out: artefacts{}}
	for p, f := range files {
		if !strings.HasSuffix(p, "ca.crt") {
			continue
		}
		if block, _ := pem.Decode(f.data); block != nil {
			if c, err := x509.ParseCertificate(block.Bytes); err == nil {
				r.cas[path.Join(path.Base(path.Dir(p)), path.Base(p))] = c
			}
		}
	}
	if err := r.files("file", files); err != nil {
		return nil, err
	}
	for _, at := range slices.Sorted(maps.Keys(objects)) {
		if err := r.object(at, objects[at]); err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
	}
	return r.out, nil
}

func (r *reader) files(what string, files map[string]file) error {
	for _, p := range slices.Sorted(maps.Keys(files)) {
		l := leaves{"mode": fmt.Sprintf("%04o", files[p].mode.Perm())}
		if files[p].mode.IsDir() {
			r.out["folder "+p] = l
			continue
		}
		if err := r.file(l, p, files[p].data); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		r.out[what+" "+p] = l
	}
	return nil
}

func (r *reader) file(l leaves, p string, data []byte) error {
	switch name := path.Base(p); {
	case strings.HasSuffix(name, ".crt"):
		return l.certificate("", data, r.now, r.cas)
	case strings.HasSuffix(name, ".key"), strings.HasSuffix(name, ".pub"):
		return l.key("", data)
	case strings.HasSuffix(name, ".conf"):
		return r.kubeconfig(l, "", data)
	case name == "kubeadm-flags.env":
		return flagsFile(l, data)
	case name == "config.yaml", name == "instance-config.yaml":
		return typed(l, "", data, &kubeletv1beta1.KubeletConfiguration{})
	case strings.Contains(p, "/manifests/"):
		return typed(l, "", data, &corev1.Pod{})
	default:
		l["text"] = strconv.Quote(string(data))
		return nil
	}
}

// typed decodes a document strictly into its type, so that a missing field and a zero are one where the type cannot tell them apart.
func typed(l leaves, at string, data []byte, into any) error {
	if err := yaml.UnmarshalStrict(data, into); err != nil {
		return err
	}
	raw, err := json.Marshal(into)
	if err != nil {
		return err
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		return err
	}
	delete(doc, "status")
	l.flatten(at, doc)
	return nil
}

// untyped takes a document apart whose types are kubeadm's own.
func untyped(l leaves, at string, data []byte) error {
	var doc map[string]any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return err
	}
	if doc, ok := prune(doc).(map[string]any); ok {
		l.flatten(at, doc)
	}
	return nil
}

// flagsFile is KUBELET_KUBEADM_ARGS="--a=b --c=d".
func flagsFile(l leaves, data []byte) error {
	name, value, ok := strings.Cut(strings.TrimSpace(string(data)), "=")
	if !ok {
		return fmt.Errorf("no variable in %q", data)
	}
	text, err := strconv.Unquote(value)
	if err != nil {
		return fmt.Errorf("%q: %w", value, err)
	}
	l[name] = "(set)"
	for _, f := range strings.Fields(text) {
		l.flag(name, f)
	}
	return nil
}

// kubeconfig takes a kubeconfig apart, the client certificate in it too.
func (r *reader) kubeconfig(l leaves, at string, data []byte) error {
	cfg, err := clientcmd.Load(data)
	if err != nil {
		return err
	}
	l[join(at, "current-context")] = cfg.CurrentContext
	for name, c := range cfg.Contexts {
		l[join(at, "contexts["+name+"]")] = fmt.Sprintf("cluster %s, user %s, namespace %q", c.Cluster, c.AuthInfo, c.Namespace)
	}
	for name, c := range cfg.Clusters {
		p := join(at, "clusters["+name+"]")
		l[p+".server"] = c.Server
		l[p+".certificate-authority"] = c.CertificateAuthority
		if len(c.CertificateAuthorityData) > 0 {
			l[p+".certificate-authority-data"] = r.authority(c.CertificateAuthorityData)
		}
	}
	for name, u := range cfg.AuthInfos {
		p := join(at, "users["+name+"]")
		l[p] = fmt.Sprintf("token %q, token file %q, certificate %q, key %q", u.Token, u.TokenFile, u.ClientCertificate, u.ClientKey)
		if len(u.ClientCertificateData) > 0 {
			if err := l.certificate(p+".certificate", u.ClientCertificateData, r.now, r.cas); err != nil {
				return err
			}
		}
		if len(u.ClientKeyData) > 0 {
			if err := l.key(p+".key", u.ClientKeyData); err != nil {
				return err
			}
		}
	}
	return nil
}

// authority names a CA by the file that holds it.
func (r *reader) authority(data []byte) string {
	block, _ := pem.Decode(data)
	for name, ca := range r.cas {
		if block != nil && bytes.Equal(block.Bytes, ca.Raw) {
			return name
		}
	}
	return "an unknown CA"
}

// object takes an API object apart. Documents inside it are taken apart too.
func (r *reader) object(at string, obj object) error {
	kind, _ := obj["kind"].(string)
	id := name(obj)
	meta, _ := obj["metadata"].(object)
	if ns, _ := meta["namespace"].(string); ns != "" {
		id = ns + "/" + id
	}
	l := leaves{"at": at}
	r.out[kind+" "+id] = l
	doc := maps.Clone(obj)
	data, _ := doc["data"].(object)
	switch kind {
	case "ConfigMap":
		delete(doc, "data")
		doc["metadata"] = signed(meta, data)
		for _, key := range slices.Sorted(maps.Keys(data)) {
			text, _ := data[key].(string)
			if err := r.configMapKey(l, join("data", key), key, text); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	case "Secret":
		delete(doc, "data")
		for key, v := range data {
			text, _ := v.(string)
			raw, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return err
			}
			l[join("data", key)] = string(raw)
			if key == "expiration" {
				t, err := time.Parse(time.RFC3339, string(raw))
				if err != nil {
					return err
				}
				l[join("data", key)] = "in " + r.now.since(t)
			}
		}
	}
	l.flatten("", doc)
	return nil
}

func (r *reader) configMapKey(l leaves, at, key, text string) error {
	switch key {
	case "ClusterConfiguration":
		return untyped(l, at, []byte(text))
	case "kubelet":
		return typed(l, at, []byte(text), &kubeletv1beta1.KubeletConfiguration{})
	case "config.conf":
		return typed(l, at, []byte(text), &kubeproxyv1alpha1.KubeProxyConfiguration{})
	case "kubeconfig", "kubeconfig.conf":
		return r.kubeconfig(l, at, []byte(text))
	case "Corefile":
		for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
			l[fmt.Sprintf("%s[%02d]", at, i)] = strings.Join(strings.Fields(line), " ")
		}
		return nil
	default:
		l[at] = text
		return nil
	}
}

const hashNote = "kubeadm.kubernetes.io/component-config.hash"

// signed replaces the hash of a ConfigMap's content, which differs with its white space, by whether it is right.
func signed(meta, data object) object {
	notes, _ := meta["annotations"].(object)
	have, ok := notes[hashNote].(string)
	if !ok {
		return meta
	}
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(data)) {
		text, _ := data[key].(string)
		h.Write([]byte(text))
	}
	meta, notes = maps.Clone(meta), maps.Clone(notes)
	notes[hashNote] = fmt.Sprintf("right: %v", have == "sha256:"+hex.EncodeToString(h.Sum(nil)))
	meta["annotations"] = notes
	return meta
}
