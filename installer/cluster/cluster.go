package cluster

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
)

// Client is the installer's only use of client-go. All connections go through one Dialer.
type Client struct {
	Kube kubernetes.Interface
}

// Dialer refuses every address that is not loopback, one of this node's, or allowed by name; and resolves no name but those allowed.
type Dialer struct{}

// NewDialer allows hosts ("10.0.0.10:6443", "api.example:6443") given by the user, and this node's addresses.
func NewDialer(allowed ...string) *Dialer { panic("stub") }

// FromKubeconfig makes a client from a kubeconfig's bytes.
func FromKubeconfig(kubeconfig []byte, d *Dialer) (*Client, error) { panic("stub") }

// Healthy waits until /livez (or /healthz) of the API answers ok, or ctx ends; the error says what the last answer was.
func (c *Client) Healthy(ctx context.Context) error { panic("stub") }

// Apply creates an object or updates it to what is given, keeping what others own. changed tells whether anything was written.
// Plain GET/CREATE/UPDATE: old API servers have no server-side apply. Retries on conflict and on a server that is just starting.
func (c *Client) Apply(ctx context.Context, obj runtime.Object) (changed bool, err error) {
	panic("stub")
}

// Applied reports whether Apply would change nothing.
func (c *Client) Applied(ctx context.Context, obj runtime.Object) (bool, error) { panic("stub") }

// Delete removes an object; a missing one is no error.
func (c *Client) Delete(ctx context.Context, obj runtime.Object) error { panic("stub") }

// PatchNode sets labels, annotations and taints, waiting for the node to appear until ctx ends.
func (c *Client) PatchNode(ctx context.Context, name string, p NodePatch) error { panic("stub") }

// NodePatched reports whether PatchNode would change nothing.
func (c *Client) NodePatched(ctx context.Context, name string, p NodePatch) (bool, error) {
	panic("stub")
}

// NodePatch is what is added to a node.
type NodePatch struct {
	Labels      map[string]string
	Annotations map[string]string
	Taints      []Taint
}

// Taint is a node taint.
type Taint struct{ Key, Value, Effect string }

// Token is a bootstrap token.
type Token struct {
	ID, Secret  string
	Description string
	Usages      []string // signing, authentication
	Groups      []string
	Expires     time.Time // zero: never
}

// String is "id.secret".
func (t Token) String() string { return t.ID + "." + t.Secret }

// NewToken makes a random token; ParseToken checks the form.
func NewToken() (Token, error)           { panic("stub") }
func ParseToken(s string) (Token, error) { panic("stub") }

// PutToken, Tokens and DeleteToken work on the bootstrap-token Secrets in kube-system.
func (c *Client) PutToken(ctx context.Context, t Token) error      { panic("stub") }
func (c *Client) Tokens(ctx context.Context) ([]Token, error)      { panic("stub") }
func (c *Client) DeleteToken(ctx context.Context, id string) error { panic("stub") }

// ClusterInfo is what discovery found.
type ClusterInfo struct {
	Server string // as written in cluster-info
	CAPEM  []byte
}

// DiscoverByToken reads cluster-info from endpoint (host:port), checks its signature with the token and its CA with the pins
// (unless unsafeSkipCA), then reads it again over verified TLS and requires the same bytes.
func DiscoverByToken(ctx context.Context, d *Dialer, endpoint string, t Token, pins []string, unsafeSkipCA bool) (*ClusterInfo, error) {
	panic("stub")
}

// DiscoverFromFile reads a discovery kubeconfig file (its bytes).
func DiscoverFromFile(ctx context.Context, d *Dialer, kubeconfig []byte) (*ClusterInfo, error) {
	panic("stub")
}
