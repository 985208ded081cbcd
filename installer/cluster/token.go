package cluster

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kretry "k8s.io/client-go/util/retry"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	"k8s.io/cluster-bootstrap/token/jws"
)

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

// LogValue keeps the secret out of logs.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.ID) }

// Equal compares id and secret in constant time.
func (t Token) Equal(o Token) bool {
	return subtle.ConstantTimeCompare([]byte(t.String()), []byte(o.String())) == 1
}

// Expired reports whether the token has run out.
func (t Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

const tokenAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

// NewToken makes a random token.
func NewToken() (Token, error) {
	text, err := randomText(bootstrapapi.BootstrapTokenIDBytes + bootstrapapi.BootstrapTokenSecretBytes)
	if err != nil {
		return Token{}, fmt.Errorf("make token: %w", err)
	}
	return Token{ID: text[:bootstrapapi.BootstrapTokenIDBytes], Secret: text[bootstrapapi.BootstrapTokenIDBytes:]}, nil
}

// randomText draws letters with equal chances: a byte that would favour the first ones is thrown away.
func randomText(n int) (string, error) {
	const fair = 256 - 256%len(tokenAlphabet)
	out, buf := make([]byte, 0, n), make([]byte, 1)
	for len(out) < n {
		if _, err := rand.Read(buf); err != nil {
			return "", err
		}
		if int(buf[0]) < fair {
			out = append(out, tokenAlphabet[int(buf[0])%len(tokenAlphabet)])
		}
	}
	return string(out), nil
}

// ParseToken reads "id.secret". The error does not repeat the text, which may be a secret with a typing error.
func ParseToken(s string) (Token, error) {
	if !regexp.MustCompile(bootstrapapi.BootstrapTokenPattern).MatchString(s) {
		return Token{}, errors.New("read token: it should be six lower case letters or digits, a dot, and sixteen more")
	}
	id, secret, _ := strings.Cut(s, ".")
	return Token{ID: id, Secret: secret}, nil
}

// PutToken creates a token, or replaces the one with the same id.
func (c *Client) PutToken(ctx context.Context, t Token) error {
	if _, err := ParseToken(t.String()); err != nil {
		return err
	}
	want := t.secret()
	err := retry(ctx, func(ctx context.Context) error {
		secrets := c.Kube.CoreV1().Secrets(metav1.NamespaceSystem)
		live, err := secrets.Get(ctx, want.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = secrets.Create(ctx, want, metav1.CreateOptions{})
			return err
		}
		if err != nil {
			return err
		}
		// Data is replaced as a whole: a token that no longer expires must lose its expiration.
		live.Data, live.Type = want.Data, want.Type
		_, err = secrets.Update(ctx, live, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("store bootstrap token %s: %w", t.ID, err)
	}
	return nil
}

// secret is the token as the API keeps it (kubernetes-facts 6.1).
func (t Token) secret() *corev1.Secret {
	data := map[string][]byte{
		bootstrapapi.BootstrapTokenIDKey:     []byte(t.ID),
		bootstrapapi.BootstrapTokenSecretKey: []byte(t.Secret),
	}
	if t.Description != "" {
		data[bootstrapapi.BootstrapTokenDescriptionKey] = []byte(t.Description)
	}
	if !t.Expires.IsZero() {
		data[bootstrapapi.BootstrapTokenExpirationKey] = []byte(t.Expires.UTC().Format(time.RFC3339))
	}
	for _, u := range t.Usages {
		data[bootstrapapi.BootstrapTokenUsagePrefix+u] = []byte("true")
	}
	if len(t.Groups) > 0 {
		data[bootstrapapi.BootstrapTokenExtraGroupsKey] = []byte(strings.Join(t.Groups, ","))
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: bootstrapapi.BootstrapTokenSecretPrefix + t.ID, Namespace: metav1.NamespaceSystem},
		Type:       bootstrapapi.SecretTypeBootstrapToken,
		Data:       data,
	}
}

// Tokens lists the bootstrap tokens, by id; expired ones too, as long as the cluster has not cleaned them away. Secrets of the right
// type that hold no token are left out: the API server authenticates nobody with them either.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	var list *corev1.SecretList
	err := retry(ctx, func(ctx context.Context) (err error) {
		list, err = c.Kube.CoreV1().Secrets(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{
			FieldSelector: "type=" + string(bootstrapapi.SecretTypeBootstrapToken),
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list bootstrap tokens: %w", err)
	}
	var tokens []Token
	for i := range list.Items {
		s := &list.Items[i]
		if s.Type != bootstrapapi.SecretTypeBootstrapToken {
			continue
		}
		if t, err := tokenFromSecret(s); err == nil {
			tokens = append(tokens, t)
		}
	}
	slices.SortFunc(tokens, func(a, b Token) int { return strings.Compare(a.ID, b.ID) })
	return tokens, nil
}

func tokenFromSecret(s *corev1.Secret) (Token, error) {
	t, err := ParseToken(string(s.Data[bootstrapapi.BootstrapTokenIDKey]) + "." + string(s.Data[bootstrapapi.BootstrapTokenSecretKey]))
	if err != nil {
		return Token{}, err
	}
	if s.Name != bootstrapapi.BootstrapTokenSecretPrefix+t.ID {
		return Token{}, fmt.Errorf("its name does not fit its token id %q", t.ID)
	}
	t.Description = string(s.Data[bootstrapapi.BootstrapTokenDescriptionKey])
	if text := string(s.Data[bootstrapapi.BootstrapTokenExpirationKey]); text != "" {
		if t.Expires, err = time.Parse(time.RFC3339, text); err != nil {
			return Token{}, fmt.Errorf("its expiration %q is not a time", text)
		}
	}
	for key, value := range s.Data {
		if usage, ok := strings.CutPrefix(key, bootstrapapi.BootstrapTokenUsagePrefix); ok && string(value) == "true" {
			t.Usages = append(t.Usages, usage)
		}
	}
	slices.Sort(t.Usages)
	slices.Reverse(t.Usages) // signing before authentication, as kubeadm prints them
	if text := string(s.Data[bootstrapapi.BootstrapTokenExtraGroupsKey]); text != "" {
		t.Groups = strings.Split(text, ",")
	}
	return t, nil
}

// ErrNoToken is what DeleteToken says of a token that the cluster does not have.
var ErrNoToken = errors.New("the cluster has no such token")

// DeleteToken removes a token, given its id or the whole token; of a whole token the secret must be right. A missing one is ErrNoToken.
func (c *Client) DeleteToken(ctx context.Context, id string) error {
	var whole Token
	if strings.Contains(id, ".") {
		var err error
		if whole, err = ParseToken(id); err != nil {
			return err
		}
		id = whole.ID
	}
	if !regexp.MustCompile(bootstrapapi.BootstrapTokenIDPattern).MatchString(id) {
		return errors.New("read token: an id is six lower case letters or digits")
	}
	err := retry(ctx, func(ctx context.Context) error {
		secrets := c.Kube.CoreV1().Secrets(metav1.NamespaceSystem)
		name := bootstrapapi.BootstrapTokenSecretPrefix + id
		s, err := secrets.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return ErrNoToken
		}
		if err != nil {
			return err
		}
		if have, err := tokenFromSecret(s); whole.Secret != "" && (err != nil || !have.Equal(whole)) {
			return ErrNoToken
		}
		err = secrets.Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &s.UID}})
		if apierrors.IsNotFound(err) {
			return nil // somebody else did it
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete bootstrap token %s: %w", id, err)
	}
	return nil
}

// ClusterInfoSigned reports whether cluster-info is signed with a token of that id: only then can a node join with it.
func (c *Client) ClusterInfoSigned(ctx context.Context, id string) (bool, error) {
	cm, err := c.Kube.CoreV1().ConfigMaps(metav1.NamespacePublic).Get(ctx, bootstrapapi.ConfigMapClusterInfo, metav1.GetOptions{})
	if err != nil {
		return false, fmt.Errorf("read ConfigMap kube-public/%s: %w", bootstrapapi.ConfigMapClusterInfo, err)
	}
	_, signed := cm.Data[bootstrapapi.JWSSignatureKeyPrefix+id]
	return signed, nil
}

// SignClusterInfo signs cluster-info with a token, as the controller manager's bootstrapsigner does. That one finds its own signature there when it has
// started, which is many seconds after the API server serves, and goes on from there.
func (c *Client) SignClusterInfo(ctx context.Context, t *Token) error {
	maps := c.Kube.CoreV1().ConfigMaps(metav1.NamespacePublic)
	err := kretry.RetryOnConflict(kretry.DefaultRetry, func() error {
		cm, err := maps.Get(ctx, bootstrapapi.ConfigMapClusterInfo, metav1.GetOptions{})
		if err != nil {
			return err
		}
		signature, err := jws.ComputeDetachedSignature(cm.Data[bootstrapapi.KubeConfigKey], t.ID, t.Secret)
		if err != nil {
			return err
		}
		cm.Data[bootstrapapi.JWSSignatureKeyPrefix+t.ID] = signature
		_, err = maps.Update(ctx, cm, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("sign ConfigMap kube-public/%s with token %s: %w", bootstrapapi.ConfigMapClusterInfo, t.ID, err)
	}
	return nil
}
