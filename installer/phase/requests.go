package phase

import (
	"context"
	"encoding/base64"
	"errors"
	"path"

	"sigs.k8s.io/yaml"

	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

// GenerateCSR writes a key and a request for every certificate of a control plane node that a CA elsewhere is to sign: NAME.key and
// NAME.csr in CertDir, and kubeconfigs that lack only their certificate with NAME.conf.csr beside them in KubeconfigDir.
type GenerateCSR struct{ CertDir, KubeconfigDir string }

// Name is kubeadm's command.
func (GenerateCSR) Name() string { return "generate-csr" }

// Plan leaves keys alone that are there: a request may be with the people who sign already.
func (p GenerateCSR) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil {
		return nil, err
	}
	specs, err := manifests.Certificates(c, n)
	if err != nil {
		return nil, err
	}
	var steps []step.Step
	for _, spec := range specs {
		base := path.Join(p.CertDir, spec.BaseName)
		if spec.CA == "" || exists(r, base+".key") {
			continue
		}
		req, err := pki.NewRequest(s.certSpec(c, spec))
		if err != nil {
			return nil, err
		}
		steps = append(steps, step.File{Path: base + ".key", Mode: 0o600, Data: req.KeyPEM, Secret: true}, step.File{Path: base + ".csr", Mode: 0o644, Data: req.CSRPEM})
	}
	for _, k := range manifests.Kubeconfigs(c, n) {
		conf := path.Join(p.KubeconfigDir, path.Base(k.Path))
		if exists(r, conf) {
			continue
		}
		req, err := pki.NewRequest(s.kubeconfigSpec(c, k))
		if err != nil {
			return nil, err
		}
		ca, err := r.ReadFile(path.Join(p.CertDir, "ca.crt"))
		if err != nil {
			ca = nil // it comes with the signed certificates
		}
		data, err := withoutCertificate(c, k, ca, req.KeyPEM)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step.File{Path: conf, Mode: 0o600, Data: data, Secret: true}, step.File{Path: conf + ".csr", Mode: 0o644, Data: req.CSRPEM})
	}
	if len(steps) == 0 {
		return nil, errors.New("generate requests: every key is there already; move those away that are to be made anew")
	}
	return steps, nil
}

// withoutCertificate is a kubeconfig to which the signed certificate is still to be added.
func withoutCertificate(c *manifests.Cluster, k manifests.KubeconfigSpec, caPEM, keyPEM []byte) ([]byte, error) {
	data, err := manifests.Kubeconfig(c, k, caPEM, nil, keyPEM)
	if err != nil {
		return nil, err
	}
	var doc map[string]any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	current, _ := doc["current-context"].(string)
	ctx := named(doc, "contexts", current, "context")
	name, _ := ctx["user"].(string)
	user := named(doc, "users", name, "user")
	delete(user, "client-certificate-data")
	user["client-key-data"] = base64.StdEncoding.EncodeToString(keyPEM)
	return yaml.Marshal(doc)
}
