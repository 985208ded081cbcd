package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

// UploadCerts lets further control planes fetch what they need of this one, sealed with the certificate key.
type UploadCerts struct{}

// Name is kubeadm's.
func (UploadCerts) Name() string { return "upload-certs" }

// Plan reads the files from the host. Those that are not there (a CA's key that is kept elsewhere) travel as empty ones, as with kubeadm.
func (UploadCerts) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	if !s.Init.UploadCerts {
		return nil, nil
	}
	c, _, err := s.initCluster(ctx, r)
	if err != nil {
		return nil, err
	}
	if s.CertificateKey = s.Init.CertificateKey; s.CertificateKey == "" {
		if s.CertificateKey, err = pki.NewCertificateKey(); err != nil {
			return nil, err
		}
	}
	sealed := map[string][]byte{}
	for _, f := range manifests.SharedCertificates(c) {
		data, err := r.ReadFile(f.Path)
		if errors.Is(err, fs.ErrNotExist) {
			data = nil
		} else if err != nil {
			return nil, err
		}
		if sealed[f.Key], err = pki.Seal(s.CertificateKey, data); err != nil {
			return nil, fmt.Errorf("seal %s: %w", f.Path, err)
		}
	}
	steps := []step.Step{
		step.Objects{What: "RBAC for further control planes", List: manifests.UploadCertsRBAC()},
		step.UploadCerts{Sealed: sealed, Now: s.Now},
	}
	if !s.Init.SkipCertificateKeyPrint {
		key := s.CertificateKey
		steps = append(steps, step.Print{What: "the certificate key", Text: func() string { return "Using certificate key:\n" + key + "\n" }})
	}
	return steps, nil
}
