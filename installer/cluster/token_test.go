package cluster_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer/cluster"
	"kubebundle/installer/cluster/clustertest"
)

func TestNewToken(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		token, err := cluster.NewToken()
		if err != nil {
			t.Fatal(err)
		}
		back, err := cluster.ParseToken(token.String())
		if err != nil || !back.Equal(token) || seen[token.ID] {
			t.Errorf("%s: %v", token, err)
		}
		seen[token.ID] = true
	}
}

func TestParseTokenKeepsTheSecret(t *testing.T) {
	for _, text := range []string{"", "abc", "abcdef.0123456789abcde", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdef\n", "abcdef:0123456789abcdef", "abcdef.0123456789abcdefg"} {
		if _, err := cluster.ParseToken(text); err == nil || (text != "" && strings.Contains(err.Error(), text)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	var log bytes.Buffer
	token := cluster.Token{ID: "abcdef", Secret: "0123456789abcdef"}
	slog.New(slog.NewTextHandler(&log, nil)).Info("token", "token", token)
	if strings.Contains(log.String(), token.Secret) || !strings.Contains(log.String(), "token=abcdef") {
		t.Errorf("logged: %s", log.String())
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("abcdef.0123456789abcdef")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := cluster.ParseToken(text)
		if err == nil && (token.String() != text || len(text) != 23) {
			t.Errorf("%q became %q", text, token)
		}
	})
}

func TestTokens(t *testing.T) {
	s := clustertest.New(t)
	c := s.Client(t)
	expires := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	a := cluster.Token{ID: "aaaaaa", Secret: "0123456789abcdef", Usages: []string{"signing", "authentication"}, Groups: []string{"system:bootstrappers:kubeadm:default-node-token"}, Expires: expires, Description: "for join"}
	b := cluster.Token{ID: "bbbbbb", Secret: "0123456789abcdef", Usages: []string{"signing"}}
	for _, token := range []cluster.Token{b, a} {
		if err := c.PutToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	s.Put("/api/v1/namespaces/kube-system/secrets/other", clustertest.Object{"metadata": clustertest.Object{"name": "other", "namespace": "kube-system"}, "type": "Opaque"})
	got, err := c.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]cluster.Token{a, b}, got); diff != "" {
		t.Error(diff)
	}
	if a.Expired(expires.Add(-time.Second)) || !a.Expired(expires) || b.Expired(expires) {
		t.Error("expiry is wrong")
	}
	a.Expires = time.Time{}
	if err := c.PutToken(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if got, err = c.Tokens(t.Context()); err != nil || !got[0].Expires.IsZero() {
		t.Errorf("the token still expires: %v, %v", got, err)
	}
	const at = "/api/v1/namespaces/kube-system/secrets/bootstrap-token-cccccc"
	s.Put(at, clustertest.Object{"metadata": clustertest.Object{"name": "bootstrap-token-cccccc", "namespace": "kube-system"}, "type": "bootstrap.kubernetes.io/token"})
	if got, err = c.Tokens(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("a broken one: %v, %v", got, err)
	}
}

func TestDeleteToken(t *testing.T) {
	s := clustertest.New(t)
	c := s.Client(t)
	token := cluster.Token{ID: "aaaaaa", Secret: "0123456789abcdef"}
	put := func() {
		t.Helper()
		if err := c.PutToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	put()
	for _, id := range []string{"bbbbbb", "aaaaaa.0000000000000000"} {
		if err := c.DeleteToken(t.Context(), id); !errors.Is(err, cluster.ErrNoToken) || strings.Contains(err.Error(), "0000") {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := c.DeleteToken(t.Context(), "../x"); err == nil || errors.Is(err, cluster.ErrNoToken) {
		t.Errorf("a wrong id: %v", err)
	}
	for _, id := range []string{"aaaaaa", token.String()} {
		put()
		if err := c.DeleteToken(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if got, err := c.Tokens(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("left: %v, %v", got, err)
		}
	}
}
