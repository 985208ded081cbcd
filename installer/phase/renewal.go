package phase

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

// pendingRenewal lists the static pods that are to be started anew. It is written before the first certificate and removed after the last
// pod, so that a run which was cut off between the two is finished by the next one, whatever that one still has to renew.
const pendingRenewal = "/var/lib/kubebundle/renewed"

// RenewCerts makes successors of certificates: same names, same usages, new keys, signed by the CAs on this host.
type RenewCerts struct {
	CertDir string
	Names   []string // of manifests.RenewableCertificates, or "all"
	// Within leaves certificates alone that are valid for longer than this; 0 renews whatever was named.
	Within   time.Duration
	Validity time.Duration // 0: as long as the one before
}

// Name is kubeadm's command.
func (RenewCerts) Name() string { return "renew" }

// Plan signs in memory. A certificate that lacks its key, or whose key belongs to another one, is renewed whatever Within says: that is
// what a run leaves that was cut off between the two files.
func (p RenewCerts) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	list, all, err := selectRenewable(p.Names)
	if err != nil {
		return nil, err
	}
	cas := map[string]*pki.Pair{}
	var steps []step.Step
	var errs []error
	pods, err := readPending(r)
	if err != nil {
		return nil, err
	}
	for _, m := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, found, err := readRenewable(r, p.CertDir, m, true)
		switch {
		case err != nil:
			return nil, err
		case e.Missing && all:
			continue
		case e.Missing:
			errs = append(errs, fmt.Errorf("renew %s: %s is missing; this host may be no control plane node, or have an external etcd", m.Name, e.Path))
			continue
		case p.Within > 0 && e.Broken == nil && e.NotAfter.Sub(s.Now) > p.Within:
			continue
		}
		made, err := p.renew(s, r, m, e, found, cas)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		steps = append(steps, made...)
		pods = append(pods, m.Pods...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.Sort(pods)
	s.restart = slices.Compact(pods)
	if len(steps) == 0 || len(s.restart) == 0 { // nothing to do, or nobody reads it at its start
		return steps, nil
	}
	pending := step.File{Path: pendingRenewal, Mode: 0o600, Data: []byte(strings.Join(s.restart, "\n") + "\n")}
	return append([]step.Step{pending}, steps...), nil
}

// readPending is what a run that was cut off has left to start anew.
func readPending(r host.Reader) ([]string, error) {
	data, err := r.ReadFile(pendingRenewal)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(data)), err
}

// renew makes one successor.
func (p RenewCerts) renew(s *State, r host.Reader, m manifests.Renewable, e Expiration, found renewable, cas map[string]*pki.Pair) ([]step.Step, error) {
	certs, err := pki.ParseCertificates(found.cert)
	if err != nil {
		return nil, &MisfitError{Path: e.Path, Err: err}
	}
	ca := cas[m.CA]
	if ca == nil {
		if ca, err = readAuthority(r, p.CertDir, m.CA); err != nil {
			return nil, fmt.Errorf("renew %s: %w", m.Name, err)
		}
		cas[m.CA] = ca
	}
	if err := certs[0].CheckSignatureFrom(ca.Cert); err != nil {
		return nil, &MisfitError{Path: e.Path, Err: fmt.Errorf("not signed by the CA beside it, %q: %w", ca.Cert.Subject.CommonName, err)}
	}
	pair, err := pki.Renew(ca, certs[0], s.Now, p.Validity)
	if err != nil {
		return nil, fmt.Errorf("renew %s: %w", m.Name, err)
	}
	if m.Path != "" {
		data, err := withClientCertificate(found.conf, pair)
		if err != nil {
			return nil, &MisfitError{Path: e.Path, Err: err}
		}
		return []step.Step{step.File{Path: m.Path, Mode: 0o600, Data: data, Secret: true}}, nil
	}
	return []step.Step{
		step.File{Path: path.Join(p.CertDir, m.BaseName+".key"), Mode: 0o600, Data: pair.KeyPEM, Secret: true},
		step.File{Path: e.Path, Mode: 0o644, Data: pair.CertPEM},
	}, nil
}

// ExternalCAError says that a certificate cannot be signed on this host.
type ExternalCAError struct{ Path string }

func (e *ExternalCAError) Error() string {
	return e.Path + " is not on this host: the CA is kept elsewhere"
}

// Hint says how a certificate comes about then.
func (e *ExternalCAError) Hint() string {
	return "make requests with `install certs generate-csr`, have them signed by that CA, and put the certificates into place"
}

func readAuthority(r host.Reader, certDir, name string) (*pki.Pair, error) {
	base := path.Join(certDir, caBase(name))
	certPEM, err := r.ReadFile(base + ".crt")
	if err != nil {
		return nil, err
	}
	keyPEM, err := r.ReadFile(base + ".key")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &ExternalCAError{Path: base + ".key"}
	}
	if err != nil {
		return nil, err
	}
	ca, err := pki.Parse(certPEM, keyPEM)
	if err != nil {
		return nil, &MisfitError{Path: base + ".crt", Err: err}
	}
	return ca, nil
}

// withClientCertificate puts a certificate into the user of a kubeconfig's current context, and leaves everything else as it is: an
// administrator may have added clusters, or named another server.
func withClientCertificate(conf []byte, pair *pki.Pair) ([]byte, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(conf, &doc); err != nil {
		return nil, err
	}
	current, _ := doc["current-context"].(string)
	ctx := named(doc, "contexts", current, "context")
	name, _ := ctx["user"].(string)
	user := named(doc, "users", name, "user")
	if user == nil {
		return nil, fmt.Errorf("its current context %q has no user", current)
	}
	delete(user, "client-certificate")
	delete(user, "client-key")
	user["client-certificate-data"] = base64.StdEncoding.EncodeToString(pair.CertPEM)
	user["client-key-data"] = base64.StdEncoding.EncodeToString(pair.KeyPEM)
	return yaml.Marshal(doc)
}

// named finds an entry of one of a kubeconfig's lists.
func named(doc map[string]any, list, name, field string) map[string]any {
	entries, _ := doc[list].([]any)
	for _, e := range entries {
		if m, ok := e.(map[string]any); ok && m["name"] == name {
			inner, _ := m[field].(map[string]any)
			return inner
		}
	}
	return nil
}
