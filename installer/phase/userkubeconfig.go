package phase

import (
	"crypto/x509"
	"errors"
	"fmt"
	"path"
	"time"

	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/manifests"
)

// UserKubeconfig is a kubeconfig for somebody who is no part of the cluster's own programs.
type UserKubeconfig struct {
	CertDir       string
	Name          string   // the user, as the API server sees it
	Organizations []string // the groups
	Token         string   // instead of a certificate
	Validity      time.Duration
}

// Make signs with the CA on this host. Where the cluster is, admin.conf says.
func (u UserKubeconfig) Make(r host.Reader, now time.Time) ([]byte, error) {
	data, err := r.ReadFile(adminConf)
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	admin, err := parseKubeconfig(data, path.Dir(adminConf), r)
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %s: %w", adminConf, err)
	}
	c := &manifests.Cluster{Name: admin.cluster}
	k := manifests.KubeconfigSpec{Path: u.Name + ".conf", CommonName: u.Name, Organization: u.Organizations, Server: admin.server}
	if u.Token != "" {
		return manifests.TokenKubeconfig(c, k, admin.ca, u.Token)
	}
	ca, err := readAuthority(r, u.CertDir, "ca")
	if err != nil {
		return nil, err
	}
	if !containsPEM(admin.ca, ca.CertPEM) {
		return nil, &MisfitError{Path: path.Join(u.CertDir, "ca.crt"), Err: errors.New("it is not the CA of the cluster in " + adminConf)}
	}
	pair, err := pki.NewLeaf(ca, pki.Spec{
		CommonName: u.Name, Organization: u.Organizations, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		Algorithm: pki.SpecOf(ca.Cert).Algorithm, NotBefore: now, Validity: u.Validity,
	})
	if err != nil {
		return nil, err
	}
	return manifests.Kubeconfig(c, k, admin.ca, pair.CertPEM, pair.KeyPEM)
}
