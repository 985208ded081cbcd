package phase

import (
	"bytes"
	"context"
	"encoding/base64"
	"path"

	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/manifests"
)

// Placeholders puts words where certificates and keys would be, so that everything else can be planned without making any: what is
// rendered then depends on the configuration alone. It gives the function that makes the words readable in rendered text, where they are
// in base64.
func (s *State) Placeholders(ctx context.Context, r host.Reader) (func(text []byte) []byte, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil {
		return nil, err
	}
	specs, err := manifests.Certificates(c, n)
	if err != nil {
		return nil, err
	}
	var words [][]byte
	word := func(text string) []byte {
		words = append(words, []byte("<"+text+">"))
		return words[len(words)-1]
	}
	s.Certs, s.Kubeconfigs = map[string]*pki.Pair{}, map[string][]byte{}
	for _, spec := range specs {
		crt, _ := certPaths(c, spec)
		s.Certs[spec.Name] = &pki.Pair{CertPEM: word(crt)}
	}
	for _, k := range manifests.Kubeconfigs(c, n) {
		s.Kubeconfigs[k.Name], err = manifests.Kubeconfig(c, k, s.Certs["ca"].CertPEM, word("client certificate of "+k.CommonName), word("client key of "+k.CommonName))
		if err != nil {
			return nil, err
		}
	}
	if c.SelfHosting() && c.CertsInSecrets() {
		s.words = map[string][]byte{}
		for _, cs := range manifests.CertSecrets() {
			for _, f := range []string{cs.Cert, cs.Key} {
				if p := path.Join(c.CertificatesDir, f); f != "" {
					s.words[p] = word(p)
				}
			}
		}
		for _, f := range manifests.SelfHostedKubeconfigs() {
			s.words[path.Join("/etc/kubernetes", f)] = word(f)
		}
	}
	return func(text []byte) []byte {
		for _, w := range words {
			text = bytes.ReplaceAll(text, []byte(base64.StdEncoding.EncodeToString(w)), w)
		}
		return text
	}, nil
}

// CertificatePlan says what a certificate of a control plane node is, without making it.
type CertificatePlan struct {
	Name          string   `json:"name"`
	File          string   `json:"file"` // a certificate, or a kubeconfig that holds one
	SignedBy      string   `json:"signedBy,omitempty"`
	CommonName    string   `json:"commonName"`
	Organizations []string `json:"organizations,omitempty"`
	DNSNames      []string `json:"dnsNames,omitempty"`
	IPAddresses   []string `json:"ipAddresses,omitempty"`
	Usages        []string `json:"usages,omitempty"`
	KeyAlgorithm  string   `json:"keyAlgorithm"`
	Validity      string   `json:"validity"`
}

// CertificatePlans lists the PKI of an init: what the files would say, CAs before what they sign.
func (s *State) CertificatePlans(ctx context.Context, r host.Reader) ([]CertificatePlan, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil {
		return nil, err
	}
	specs, err := manifests.Certificates(c, n)
	if err != nil {
		return nil, err
	}
	var out []CertificatePlan
	add := func(name, file, ca string, spec pki.Spec) {
		p := CertificatePlan{
			Name: name, File: file, SignedBy: ca, CommonName: spec.CommonName, Organizations: spec.Organization, DNSNames: spec.DNSNames,
			KeyAlgorithm: string(spec.Algorithm), Validity: spec.Validity.String(),
		}
		for _, ip := range spec.IPAddresses {
			p.IPAddresses = append(p.IPAddresses, ip.String())
		}
		for _, u := range spec.Usages {
			p.Usages = append(p.Usages, pki.UsageName(u))
		}
		out = append(out, p)
	}
	for _, spec := range specs {
		crt, _ := certPaths(c, spec)
		add(spec.Name, crt, spec.CA, s.certSpec(c, spec))
	}
	for _, k := range manifests.Kubeconfigs(c, n) {
		add(k.Name, k.Path, "ca", s.kubeconfigSpec(c, k))
	}
	return out, nil
}
