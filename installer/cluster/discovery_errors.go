package cluster

import (
	"fmt"
	"strings"
)

// DiscoveryKind says in which way discovery went wrong.
type DiscoveryKind int

// The ways in which discovery goes wrong.
const (
	// DiscoveryUnreachable: nobody answered at the address.
	DiscoveryUnreachable DiscoveryKind = iota + 1
	// DiscoveryNoClusterInfo: the server answered, and has no readable cluster-info.
	DiscoveryNoClusterInfo
	// DiscoveryUnknownToken: cluster-info has no signature for the token's id: the token never was, or has expired.
	DiscoveryUnknownToken
	// DiscoveryBadSignature: the signature was not made with the token's secret.
	DiscoveryBadSignature
	// DiscoveryWrongCA: the CA has another public key than the pins say.
	DiscoveryWrongCA
	// DiscoveryUnverified: the server could not prove over TLS that it belongs to the CA, or that it has the name that was asked for.
	DiscoveryUnverified
	// DiscoveryExpired: the server's certificate belongs to the CA, and has ended.
	DiscoveryExpired
	// DiscoveryChanged: over verified TLS the server said something else than before.
	DiscoveryChanged
	// DiscoveryMalformed: cluster-info, or the discovery file, is not what it should be.
	DiscoveryMalformed
	// DiscoveryRefused: the cluster does not accept the credentials.
	DiscoveryRefused
)

// DiscoveryError is a failed discovery. Nothing that was read is used.
type DiscoveryError struct {
	Kind     DiscoveryKind
	Endpoint string // host:port
	Err      error
}

func (e *DiscoveryError) Error() string {
	return fmt.Sprintf("discover cluster at %s: %v", e.Endpoint, e.Err)
}
func (e *DiscoveryError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *DiscoveryError) Hint() string {
	const again = "on the control plane, `install token create --print-join-command` prints a join command that works"
	switch e.Kind {
	case DiscoveryUnreachable:
		return fmt.Sprintf("is the address right, is the control plane up, does no firewall stand between? Try `curl -k https://%s/healthz` from here", e.Endpoint)
	case DiscoveryNoClusterInfo:
		return "is the control plane's `install init` complete? It makes ConfigMap kube-public/cluster-info in its phase bootstrap-token"
	case DiscoveryUnknownToken:
		return "tokens live 24 hours unless made otherwise; " + again
	case DiscoveryBadSignature:
		return "the id of the token is known and its second half is wrong; " + again
	case DiscoveryWrongCA:
		return "either the pin belongs to another cluster, or something else answers in its place; compare with the pin on the control plane: " + again
	case DiscoveryUnverified:
		return "join by an address that the API server's certificate has; `install init --apiserver-cert-extra-sans` adds one"
	case DiscoveryExpired:
		return "on the control plane: ./install certs check-expiration, then ./install certs renew all; is the clock of this host right?"
	case DiscoveryChanged:
		return "the cluster's information changed at this very moment, or something stands in the connection; run join again"
	case DiscoveryMalformed:
		return "it should be a kubeconfig with one cluster, its server and its certificate-authority-data"
	case DiscoveryRefused:
		return "the token may have expired; " + again
	}
	return ""
}

func discoveryErrorf(kind DiscoveryKind, endpoint, format string, args ...any) *DiscoveryError {
	return &DiscoveryError{Kind: kind, Endpoint: endpoint, Err: fmt.Errorf(format, args...)}
}

// oneLine keeps a server's message from filling the terminal.
func oneLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return text
}
