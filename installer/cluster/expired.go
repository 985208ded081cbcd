package cluster

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
)

// ExpiredError says that a certificate has ended, the API server's or the one that a client identifies itself with. Waiting does not help.
type ExpiredError struct {
	Server string // the URL that was asked
	Whose  string
	Ended  time.Time
}

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("ask %s: the certificate of %s has expired, on %s", e.Server, e.Whose, e.Ended.UTC().Format(time.RFC3339))
}

// Hint says how it comes to life again.
func (e *ExpiredError) Hint() string {
	return "on each control plane: ./install certs check-expiration, then ./install certs renew all; is the clock of this host right?"
}

// expiry tells an expired certificate from other reasons why a server is not talked to, or does not know who asks.
type expiry struct {
	next   http.RoundTripper
	server string
	client *x509.Certificate // nil where the client has none
}

// tellExpiry has a configuration's client return ExpiredErrors.
func tellExpiry(cfg *rest.Config) {
	e := expiry{server: cfg.Host, client: firstCertificate(cfg.CertData)}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		e.next = next
		return &e
	})
}

// RoundTrip asks the next one.
func (e *expiry) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := e.next.RoundTrip(r)
	if err != nil {
		if c := expired(err); c != nil {
			return nil, &ExpiredError{Server: e.server, Whose: "the API server", Ended: c.NotAfter}
		}
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized && e.client != nil && time.Now().After(e.client.NotAfter) {
		_ = resp.Body.Close() // what it says is known
		return nil, &ExpiredError{Server: e.server, Whose: fmt.Sprintf("user %q in the kubeconfig", e.client.Subject.CommonName), Ended: e.client.NotAfter}
	}
	return resp, nil
}

// expired is the certificate that an error says has ended; nil where it says something else. One that is not valid yet is for the clock to answer for.
func expired(err error) *x509.Certificate {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil && time.Now().After(invalid.Cert.NotAfter) {
		return invalid.Cert
	}
	return nil
}

func firstCertificate(data []byte) *x509.Certificate {
	certs, err := certificatesIn(data)
	if err != nil || len(certs) == 0 {
		return nil
	}
	return certs[0]
}
