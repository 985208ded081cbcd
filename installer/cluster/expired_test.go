package cluster

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A certificate that has ended is called so, the server's or our own, with what brings it to life again, and nobody waits for it.
func TestExpired(t *testing.T) {
	loopback := []net.IP{net.IPv4(127, 0, 0, 1)}
	alive, ended := newAuthority(t, loopback, time.Now().Add(time.Hour)), newAuthority(t, loopback, time.Now().Add(-time.Minute))
	for name, c := range map[string]struct {
		server, client *authority
		status         int
		want           string // "" for an error of another kind
	}{
		"the server's":      {ended, alive, http.StatusOK, "the certificate of the API server has expired, on "},
		"our own":           {alive, ended, http.StatusUnauthorized, `the certificate of user "kube-apiserver" in the kubeconfig has expired, on `},
		"another refusal":   {alive, alive, http.StatusUnauthorized, ""},
		"refused otherwise": {alive, ended, http.StatusForbidden, ""},
	} {
		t.Run(name, func(t *testing.T) {
			url := "https://" + c.server.serve(t, func(w http.ResponseWriter, _ *http.Request) { refuse(w, c.status) })
			key, err := x509.MarshalPKCS8PrivateKey(c.client.key)
			if err != nil {
				t.Fatal(err)
			}
			conf, err := json.Marshal(map[string]any{
				"apiVersion": "v1", "kind": "Config", "current-context": "x",
				"contexts": []any{map[string]any{"name": "x", "context": map[string]any{"cluster": "x", "user": "x"}}},
				"clusters": []any{map[string]any{"name": "x", "cluster": map[string]any{"server": url, "certificate-authority-data": c.server.pem}}},
				"users": []any{map[string]any{"name": "x", "user": map[string]any{
					"client-certificate-data": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.client.leaf.Certificate[0]}),
					"client-key-data":         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
				}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			client, err := FromKubeconfig(conf, NewDialer())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
			defer cancel()
			var e *ExpiredError
			err = client.Healthy(ctx)
			if c.want == "" {
				if err == nil || errors.As(err, &e) {
					t.Errorf("got %v", err)
				}
				return
			}
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || !strings.Contains(e.Hint(), "certs renew all") {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if patienceFor(err) != 0 {
				t.Error("it is waited for")
			}
		})
	}
}
