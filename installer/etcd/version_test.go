package etcd_test

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kubebundle/installer/etcd"
)

func TestVersion(t *testing.T) {
	answer := `{"etcdserver":"3.6.8","etcdcluster":"3.6.0"}`
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/version" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		_, _ = w.Write([]byte(answer))
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	other := httptest.NewTLSServer(handler)
	other.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	var d net.Dialer
	for name, c := range map[string]struct {
		cfg    etcd.Config
		answer string
		want   string // the version, or what the error says
	}{
		"plain":       {etcd.Config{Endpoints: []string{plain.URL}}, answer, "3.6.8"},
		"TLS":         {etcd.Config{Endpoints: []string{secure.URL + "/"}, CA: ca}, answer, "3.6.8"},
		"another CA":  {etcd.Config{Endpoints: []string{secure.URL}}, answer, "certificate"},
		"nobody":      {etcd.Config{Endpoints: []string{other.URL}, CA: ca}, answer, "refused"},
		"no etcd":     {etcd.Config{Endpoints: []string{plain.URL}}, "hello", "no etcd"},
		"no CA in CA": {etcd.Config{Endpoints: []string{secure.URL}, CA: []byte("x")}, answer, "holds no certificate"},
		"no pair":     {etcd.Config{Endpoints: []string{secure.URL}, Cert: ca, Key: []byte("x")}, answer, "client certificate"},
		"two":         {etcd.Config{Endpoints: []string{plain.URL, secure.URL}}, answer, "want one"},
	} {
		answer = c.answer
		c.cfg.Dial = d.DialContext
		v, err := etcd.Version(t.Context(), c.cfg)
		if err != nil {
			v = err.Error()
		}
		if !strings.Contains(v, c.want) {
			t.Errorf("%s: %s, want %q", name, v, c.want)
		}
	}
}
