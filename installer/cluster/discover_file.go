package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// DiscoverFromFile reads a discovery kubeconfig file (its bytes). The file is trusted as it is, since the user chose it: its server and its
// CA count. That the server is there and holds to that CA is proved by reading cluster-info, with the credentials in the file if it
// has any; a cluster that gives cluster-info to nobody is accepted, for that is the purpose of such a file. The server is allowed
// in the dialer. waiting is as in DiscoverByToken.
func DiscoverFromFile(ctx context.Context, d *Dialer, kubeconfig []byte, waiting Waiting) (*ClusterInfo, error) {
	c, user, host, err := discoveryFile(kubeconfig)
	if err != nil {
		return nil, &DiscoveryError{Kind: DiscoveryMalformed, Endpoint: "the address in the discovery file", Err: err}
	}
	d.Allow(host)
	f := &finder{dialer: d, endpoint: host, patience: signaturePatience, interval: discoveryInterval, waiting: waiting, quiet: noticeAfter}
	cas, err := authorities(c)
	if err != nil {
		return nil, discoveryErrorf(DiscoveryMalformed, host, "discovery file: %w", err)
	}
	creds, err := credentialsOf(user)
	if err != nil {
		return nil, discoveryErrorf(DiscoveryMalformed, host, "discovery file: %w", err)
	}
	info := &ClusterInfo{Server: c.Server, CAPEM: c.CertificateAuthorityData, Endpoint: "https://" + host}
	if err := f.answers(ctx, cas, creds); err != nil {
		return nil, err
	}
	return info, nil
}

// answers waits until the server answers over verified TLS, be it with cluster-info or with the refusal to show it.
func (f *finder) answers(ctx context.Context, cas []*x509.Certificate, creds *credentials) error {
	client := f.client(verifiedBy(cas), creds)
	defer client.CloseIdleConnections()
	return f.repeat(ctx, func(ctx context.Context) error {
		_, err := f.get(ctx, client, creds)
		var refused *DiscoveryError
		if errors.As(err, &refused) && refused.Kind == DiscoveryNoClusterInfo {
			return nil
		}
		return err
	})
}

func discoveryFile(kubeconfig []byte) (*clientcmdapi.Cluster, *clientcmdapi.AuthInfo, string, error) {
	cfg, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, nil, "", fmt.Errorf("read discovery file: %w", err)
	}
	c, user, err := current(cfg)
	if err != nil {
		return nil, nil, "", fmt.Errorf("read discovery file: %w", err)
	}
	if c.InsecureSkipTLSVerify {
		return nil, nil, "", errors.New("read discovery file: insecure-skip-tls-verify is set: give certificate-authority-data instead")
	}
	if c.CertificateAuthority != "" && len(c.CertificateAuthorityData) == 0 {
		return nil, nil, "", errors.New("read discovery file: it names a file with the CA: embed it, with `kubectl config view --flatten`")
	}
	u, err := url.Parse(c.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, nil, "", fmt.Errorf("read discovery file: its server %q is not an https URL", c.Server)
	}
	return c, user, normalHost(c.Server), nil
}

// credentialsOf takes what a user entry embeds; nil for none.
func credentialsOf(user *clientcmdapi.AuthInfo) (*credentials, error) {
	switch {
	case user == nil:
		return nil, nil
	case user.Exec != nil || user.AuthProvider != nil:
		return nil, errors.New("its user gets credentials from a program, which is not run here: embed a client certificate or a token")
	case user.ClientCertificate != "" || user.ClientKey != "" || user.TokenFile != "":
		return nil, errors.New("it names files with credentials: embed them, with `kubectl config view --flatten`")
	}
	creds := &credentials{token: user.Token}
	if len(user.ClientCertificateData) > 0 {
		pair, err := tls.X509KeyPair(user.ClientCertificateData, user.ClientKeyData)
		if err != nil {
			return nil, fmt.Errorf("read its client certificate: %w", err)
		}
		creds.certificate = &pair
	}
	if creds.token == "" && creds.certificate == nil {
		return nil, nil
	}
	return creds, nil
}
