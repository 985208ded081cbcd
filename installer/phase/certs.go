package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"golang.org/x/sync/errgroup"

	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

// Certs is the PKI of a control plane node. What lies on the host and fits is used as it is; what does not fit is an error, since
// it may be a user's own CA; the rest is made, in memory and in parallel.
//
// A key is always written before its certificate. So a run that was cut off leaves at most a key alone, which the next run builds on,
// and a CA certificate alone can only mean that the user keeps the key elsewhere.
type Certs struct{}

// Name is kubeadm's.
func (Certs) Name() string { return "certs" }

// serviceAccount is the part that is a plain pair of keys, without a certificate.
const serviceAccount = "sa"

// Parts are kubeadm's sub-phases.
func (Certs) Parts() []string {
	return []string{
		"ca", "apiserver", "apiserver-kubelet-client", "front-proxy-ca", "front-proxy-client", "etcd-ca", "etcd-server", "etcd-peer",
		"etcd-healthcheck-client", "apiserver-etcd-client", serviceAccount,
	}
}

// Plan writes the certificates that are missing.
func (p Certs) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil {
		return nil, err
	}
	specs, err := manifests.Certificates(c, n)
	if err != nil {
		return nil, err
	}
	if err := s.ensureCerts(c, specs, r); err != nil {
		return nil, err
	}
	var steps []step.Step
	for _, spec := range specs {
		pair := s.Certs[spec.Name]
		if pair == nil || !s.wants(p.Name(), spec.Name) {
			continue
		}
		crt, key := certPaths(c, spec)
		if pair.KeyPEM != nil {
			steps = append(steps, step.File{Path: key, Mode: 0o600, Data: pair.KeyPEM, Secret: true})
		}
		steps = append(steps, step.File{Path: crt, Mode: 0o644, Data: pair.CertPEM})
	}
	if s.SAKey != nil && s.wants(p.Name(), serviceAccount) {
		steps = append(steps,
			step.File{Path: path.Join(c.CertificatesDir, "sa.key"), Mode: 0o600, Data: s.SAKey, Secret: true},
			step.File{Path: path.Join(c.CertificatesDir, "sa.pub"), Mode: 0o600, Data: s.SAPub})
	}
	return keepModes(steps, r), nil
}

// keepModes leaves the permissions of files that are there already with the same content: a user's CA may be stricter than ours.
func keepModes(steps []step.Step, r host.Reader) []step.Step {
	for i, st := range steps {
		f, ok := st.(step.File)
		if !ok {
			continue
		}
		if fi, err := r.Stat(f.Path); err == nil && fi.Mode().Perm()&^f.Mode == 0 {
			f.Mode = fi.Mode().Perm()
			steps[i] = f
		}
	}
	return steps
}

func certPaths(c *manifests.Cluster, spec manifests.CertSpec) (crt, key string) {
	base := path.Join(c.CertificatesDir, spec.BaseName)
	return base + ".crt", base + ".key"
}

// ensureCerts fills s.Certs, s.SAKey and s.SAPub: from the host where they are there, else new. What this run does not write is not made
// either: nothing may be signed by a CA whose key ends with the run.
func (s *State) ensureCerts(c *manifests.Cluster, specs []manifests.CertSpec, r host.Reader) error {
	if s.Certs != nil {
		return nil
	}
	found, err := s.readCerts(c, specs, r)
	if err != nil {
		return err
	}
	saKey, saPub, err := readServiceAccount(c, r)
	if err != nil {
		return err
	}
	// CAs first: leaves need them. Making an RSA key is what costs time here, and all keys are independent.
	var cas, leaves errgroup.Group
	made := make([]*pki.Pair, len(specs))
	for i, spec := range specs {
		if spec.CA != "" || found[spec.Name] != nil || s.Join != nil || !s.makes("certs", spec.Name) {
			continue
		}
		cas.Go(func() (err error) {
			_, keyPath := certPaths(c, spec)
			keyPEM, err := r.ReadFile(keyPath)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				made[i], err = pki.NewCA(s.certSpec(c, spec))
			case err == nil:
				made[i], err = pki.NewCAFromKey(keyPEM, s.certSpec(c, spec))
			}
			return err
		})
	}
	if err := cas.Wait(); err != nil {
		return err
	}
	collect(specs, made, found)
	for i, spec := range specs {
		if spec.CA == "" || found[spec.Name] != nil || !s.makes("certs", spec.Name) {
			continue
		}
		ca := found[spec.CA]
		if ca == nil {
			return errors.Join(&NoCAError{Path: path.Join(c.CertificatesDir, caBase(spec.CA)+".crt"), For: "certificate " + spec.Name, Part: "certs/" + spec.CA, Join: s.Join != nil}, leaves.Wait())
		}
		leaves.Go(func() (err error) {
			made[i], err = pki.NewLeaf(ca, s.certSpec(c, spec))
			return err
		})
	}
	if saKey == nil && s.Join != nil { // tokens of one control plane would be strangers to the other
		return errors.Join(&MissingCertsError{Files: []string{path.Join(c.CertificatesDir, "sa.key")}}, leaves.Wait())
	}
	if saKey == nil && s.makes("certs", serviceAccount) {
		leaves.Go(func() (err error) {
			saKey, saPub, err = pki.NewServiceAccountKey(pki.Algorithm(c.KeyType()))
			return err
		})
	}
	if err := leaves.Wait(); err != nil {
		return err
	}
	collect(specs, made, found)
	s.Certs, s.SAKey, s.SAPub = found, saKey, saPub
	return nil
}

func collect(specs []manifests.CertSpec, made []*pki.Pair, into map[string]*pki.Pair) {
	for i, spec := range specs {
		if made[i] != nil {
			into[spec.Name] = made[i]
		}
	}
}

// certSpec says how a certificate is made.
func (s *State) certSpec(c *manifests.Cluster, spec manifests.CertSpec) pki.Spec {
	out := pki.Spec{
		CommonName: spec.CommonName, Organization: spec.Organization, DNSNames: spec.DNSNames, IPAddresses: spec.IPAddresses,
		Usages: spec.Usages, Algorithm: pki.Algorithm(c.KeyType()), NotBefore: s.Now, Validity: c.CertificateValidity,
	}
	if spec.CA == "" {
		out.Validity = c.CACertificateValidity
	}
	return out
}

// readCerts reads and checks what is there; every misfit is reported.
func (s *State) readCerts(c *manifests.Cluster, specs []manifests.CertSpec, r host.Reader) (map[string]*pki.Pair, error) {
	found := map[string]*pki.Pair{}
	var errs []error
	for _, spec := range specs {
		pair, err := s.readCert(c, spec, found, r)
		if err != nil {
			errs = append(errs, err)
		}
		if pair != nil {
			found[spec.Name] = pair
		}
	}
	return found, errors.Join(errs...)
}

// readCert gives nil where there is nothing that serves and nothing that is lost by making it new.
func (s *State) readCert(c *manifests.Cluster, spec manifests.CertSpec, found map[string]*pki.Pair, r host.Reader) (*pki.Pair, error) {
	crt, key := certPaths(c, spec)
	certPEM, err := r.ReadFile(crt)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing there, and that is no error
	}
	if err != nil {
		return nil, err
	}
	keyPEM, err := r.ReadFile(key)
	switch {
	case errors.Is(err, fs.ErrNotExist) && spec.CA == "":
		keyPEM = nil // the user keeps the CA's key elsewhere
	case errors.Is(err, fs.ErrNotExist):
		return nil, &MisfitError{Path: crt, Err: fmt.Errorf("its key %s is missing", key)}
	case err != nil:
		return nil, err
	}
	pair, err := pki.Parse(certPEM, keyPEM)
	if err != nil {
		return nil, &MisfitError{Path: crt, Err: err}
	}
	var ca *pki.Pair
	if spec.CA != "" {
		if ca = found[spec.CA]; ca == nil {
			return nil, &MisfitError{Path: crt, Err: fmt.Errorf("its CA %s is missing", path.Join(c.CertificatesDir, caBase(spec.CA)+".crt"))}
		}
	}
	if err := pki.Check(pair, ca, s.certSpec(c, spec), s.Now); err != nil {
		return nil, misfit(crt, spec.Name, spec.CA, err)
	}
	return pair, nil
}

// NoCAError says that something is to be signed, or to trust, a CA that is not there and that this run does not make.
type NoCAError struct {
	Path string // of the CA's certificate
	For  string // what needs it
	Part string // which part of init makes it
	Join bool
}

func (e *NoCAError) Error() string {
	return fmt.Sprintf("make %s: its CA %s is not on this host, and this run does not make it", e.For, e.Path)
}

// Hint says who makes it.
func (e *NoCAError) Hint() string {
	if e.Join {
		return "fetch it with --certificate-key (phase control-plane-prepare/download-certs), or carry it over from a control plane that stands"
	}
	return "run `install init phase " + e.Part + "` before, put the CA there, or leave " + e.Part + " out of --skip-phases"
}

// caBase is the path of a CA below the certificates folder.
func caBase(name string) string {
	if name == "etcd-ca" {
		return "etcd/ca"
	}
	return name
}

// MisfitError is a file on the host that the installation would need to be different. It is never overwritten: it may be the user's own.
type MisfitError struct {
	Path  string
	Err   error
	Renew string // what `certs renew` calls it, where all that is wrong is that it has ended
}

// misfit is about a certificate, by its name and that of its CA; "" for a CA, which is not renewed.
func misfit(path, name, ca string, err error) *MisfitError {
	m := &MisfitError{Path: path, Err: err}
	if ca != "" && errors.Is(err, pki.ErrExpired) {
		m.Renew = name
	}
	return m
}

func (e *MisfitError) Error() string { return fmt.Sprintf("use %s: %v", e.Path, e.Err) }

// Unwrap gives what does not fit.
func (e *MisfitError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *MisfitError) Hint() string {
	if e.Renew != "" {
		return e.fix()
	}
	return "put a fitting file there, or move this one away: mv " + e.Path + " " + e.Path + ".old (./install reset removes everything of a former cluster)"
}

// fix is a command.
func (e *MisfitError) fix() string {
	if e.Renew != "" {
		return "./install certs renew " + e.Renew
	}
	return fmt.Sprintf("mv %s %s.old", e.Path, e.Path)
}

// readServiceAccount reads sa.key and sa.pub; a lone key gives its public half.
func readServiceAccount(c *manifests.Cluster, r host.Reader) (keyPEM, pubPEM []byte, err error) {
	keyPath, pubPath := path.Join(c.CertificatesDir, "sa.key"), path.Join(c.CertificatesDir, "sa.pub")
	keyPEM, err = r.ReadFile(keyPath)
	if errors.Is(err, fs.ErrNotExist) {
		if exists(r, pubPath) {
			return nil, nil, &MisfitError{Path: pubPath, Err: fmt.Errorf("its key %s is missing", keyPath)}
		}
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	derived, err := pki.ServiceAccountPublicKey(keyPEM)
	if err != nil {
		return nil, nil, &MisfitError{Path: keyPath, Err: err}
	}
	pubPEM, err = r.ReadFile(pubPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return keyPEM, derived, nil
	case err != nil:
		return nil, nil, err
	}
	// A user may keep several public keys in sa.pub while rotating: it must hold the key's own half and may hold more.
	if !containsPEM(pubPEM, derived) {
		return nil, nil, &MisfitError{Path: pubPath, Err: fmt.Errorf("it does not belong to %s", keyPath)}
	}
	return keyPEM, pubPEM, nil
}
