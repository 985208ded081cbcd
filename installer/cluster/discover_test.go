package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/cluster-bootstrap/token/jws"
)

// authority is a CA and a server certificate of it.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
	leaf tls.Certificate
}

func newAuthority(t *testing.T, ips []net.IP, notAfter time.Time) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "kube-apiserver"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter,
		IPAddresses: ips, DNSNames: []string{"kubernetes"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: ca, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), leaf: tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: key}}
}

func good() Token { return Token{ID: "abcdef", Secret: "0123456789abcdef"} }

func infoKubeconfig(server string, ca []byte) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters:\n- name: \"\"\n  cluster:\n    server: %s\n    certificate-authority-data: %s\ncontexts: null\ncurrent-context: \"\"\nusers: null\n",
		server, base64.StdEncoding.EncodeToString(ca))
}

// serve serves with the authority's certificate, and tells where.
func (a *authority) serve(t *testing.T, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handle)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{a.leaf}, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes are broken off on purpose
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// publicServer serves cluster-info as answer gives it, request by request.
func publicServer(t *testing.T, a *authority, answer func(n int, w http.ResponseWriter, r *http.Request)) string {
	t.Helper()
	var n atomic.Int32
	return a.serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != clusterInfoPath {
			t.Errorf("asked for %s", r.URL)
		}
		answer(int(n.Add(1)), w, r)
	})
}

func writeInfo(t *testing.T, w http.ResponseWriter, kubeconfig string, signed ...Token) {
	data := map[string]string{"kubeconfig": kubeconfig}
	for _, token := range signed {
		sig, err := jws.ComputeDetachedSignature(kubeconfig, token.ID, token.Secret)
		if err != nil {
			t.Error(err)
		}
		data["jws-kubeconfig-"+token.ID] = sig
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(map[string]any{"kind": "ConfigMap", "apiVersion": "v1", "metadata": map[string]any{"name": "cluster-info"}, "data": data}); err != nil {
		t.Error(err)
	}
}

func refuse(w http.ResponseWriter, code int) {
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, `{"kind":"Status","message":"code %d"}`, code)
}

func TestDiscoverByToken(t *testing.T) {
	loopback := []net.IP{net.IPv4(127, 0, 0, 1)}
	later := time.Now().Add(time.Hour)
	real, other := newAuthority(t, loopback, later), newAuthority(t, loopback, later)
	nameless, expired := newAuthority(t, []net.IP{net.IPv4(10, 0, 0, 1)}, later), newAuthority(t, loopback, time.Now().Add(-time.Minute))
	info := func(a *authority) string { return infoKubeconfig("https://api.example:6443", a.pem) }
	wrongSecret := Token{ID: "abcdef", Secret: "ffffffffffffffff"}

	for name, c := range map[string]struct {
		server *authority
		answer func(n int, w http.ResponseWriter, r *http.Request)
		pins   []string
		unsafe bool
		kind   DiscoveryKind // 0 for success
		says   string
	}{
		"pinned": {server: real, pins: []string{pinOf(other.cert), pinOf(real.cert)}},
		"unsafe": {server: real, unsafe: true},
		"bundle of CAs": {
			server: real, pins: []string{pinOf(real.cert)},
			answer: func(_ int, w http.ResponseWriter, _ *http.Request) {
				writeInfo(t, w, infoKubeconfig("https://api.example:6443", append(append([]byte{}, other.pem...), real.pem...)), good())
			},
		},
		"signature comes later": {
			server: real, pins: []string{pinOf(real.cert)},
			answer: func(n int, w http.ResponseWriter, _ *http.Request) {
				switch n {
				case 1:
					refuse(w, http.StatusServiceUnavailable)
				case 2:
					refuse(w, http.StatusNotFound)
				case 3:
					writeInfo(t, w, info(real))
				default:
					writeInfo(t, w, info(real), good())
				}
			},
		},
		"no pin":       {server: real, kind: DiscoveryWrongCA, says: "no pin"},
		"wrong pin":    {server: real, pins: []string{pinOf(other.cert)}, kind: DiscoveryWrongCA, says: pinOf(real.cert)},
		"wrong secret": {server: real, unsafe: true, kind: DiscoveryBadSignature, answer: func(_ int, w http.ResponseWriter, _ *http.Request) { writeInfo(t, w, info(real), wrongSecret) }},
		"unknown token": {
			server: real, unsafe: true, kind: DiscoveryUnknownToken, says: "token with id abcdef is not known there, or has expired",
			answer: func(_ int, w http.ResponseWriter, _ *http.Request) {
				writeInfo(t, w, info(real), Token{ID: "zzzzzz", Secret: "0123456789abcdef"})
			},
		},
		"other bytes the second time": {
			server: real, unsafe: true, kind: DiscoveryChanged,
			answer: func(n int, w http.ResponseWriter, _ *http.Request) {
				if n == 1 {
					writeInfo(t, w, info(real), good())
					return
				}
				writeInfo(t, w, infoKubeconfig("https://evil.example:6443", real.pem), good())
			},
		},
		"somebody between":    {server: other, pins: []string{pinOf(real.cert)}, kind: DiscoveryUnverified, says: "not signed by the cluster's CA", answer: func(_ int, w http.ResponseWriter, _ *http.Request) { writeInfo(t, w, info(real), good()) }},
		"name not in the SAN": {server: nameless, unsafe: true, kind: DiscoveryUnverified, says: "has not the name 127.0.0.1, only kubernetes, 10.0.0.1"},
		"expired certificate": {server: expired, unsafe: true, kind: DiscoveryExpired, says: "its certificate has expired, on "},
		"no cluster-info":     {server: real, unsafe: true, kind: DiscoveryNoClusterInfo, says: "code 403", answer: func(_ int, w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusForbidden) }},
		"server starting":     {server: real, unsafe: true, kind: DiscoveryUnreachable, says: "503", answer: func(_ int, w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusServiceUnavailable) }},
		"a web site":          {server: real, unsafe: true, kind: DiscoveryMalformed, says: "no API server", answer: func(_ int, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>hello")) }},
		"a redirect": {server: real, unsafe: true, kind: DiscoveryUnreachable, says: "302", answer: func(_ int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example", http.StatusFound)
		}},
		"no CA inside": {server: real, unsafe: true, kind: DiscoveryMalformed, says: "no certificate-authority-data", answer: func(_ int, w http.ResponseWriter, _ *http.Request) {
			writeInfo(t, w, infoKubeconfig("https://a", nil), good())
		}},
		"no kubeconfig": {server: real, unsafe: true, kind: DiscoveryMalformed, says: "cluster-info", answer: func(_ int, w http.ResponseWriter, _ *http.Request) { writeInfo(t, w, "{", good()) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.answer == nil {
				c.answer = func(_ int, w http.ResponseWriter, _ *http.Request) { writeInfo(t, w, info(c.server), good()) }
			}
			endpoint := publicServer(t, c.server, c.answer)
			f := &finder{dialer: NewDialer(), endpoint: endpoint, patience: 200 * time.Millisecond, interval: 20 * time.Millisecond}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			var got *ClusterInfo
			var err error
			if len(c.pins) == 0 && !c.unsafe {
				got, err = DiscoverByToken(ctx, f.dialer, endpoint, good(), c.pins, c.unsafe, nil)
			} else {
				got, err = f.byToken(ctx, good(), c.pins)
			}
			if c.kind == 0 {
				if err != nil || got.Server != "https://api.example:6443" || got.Endpoint != "https://"+endpoint || !strings.Contains(string(got.CAPEM), string(real.pem)) {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			var failed *DiscoveryError
			if got != nil || !errors.As(err, &failed) || failed.Kind != c.kind || !strings.Contains(err.Error(), c.says) || failed.Hint() == "" {
				t.Errorf("%+v, %v", got, err)
			}
			if strings.Contains(fmt.Sprint(err), good().Secret) {
				t.Errorf("the secret is in the error: %v", err)
			}
		})
	}
}

func TestDiscoverUnreachable(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = DiscoverByToken(ctx, NewDialer(), address, good(), nil, true, nil)
	var failed *DiscoveryError
	if !errors.As(err, &failed) || failed.Kind != DiscoveryUnreachable || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error: %v", err)
	}
	var blocked *BlockedError
	if _, err = DiscoverByToken(t.Context(), NewDialer(), "192.0.2.1:6443", good(), nil, true, nil); !errors.As(err, &blocked) {
		t.Errorf("error: %v", err)
	}
	canceled, stop := context.WithCancel(t.Context())
	stop()
	if _, err = DiscoverByToken(canceled, NewDialer(), address, good(), nil, true, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
}

func TestDiscoverFromFile(t *testing.T) {
	a := newAuthority(t, []net.IP{net.IPv4(127, 0, 0, 1)}, time.Now().Add(time.Hour))
	other := newAuthority(t, []net.IP{net.IPv4(127, 0, 0, 1)}, time.Now().Add(time.Hour))
	const withToken = "users: [{name: u, user: {token: abcdef.0123456789abcdef}}]\ncontexts: [{name: x, context: {cluster: '', user: u}}]\ncurrent-context: x\n"
	for name, c := range map[string]struct {
		ca    []byte
		user  string
		code  int
		token string
		kind  DiscoveryKind
		says  string
	}{
		"cluster-info is public":  {ca: a.pem, code: http.StatusOK},
		"cluster-info is private": {ca: a.pem, code: http.StatusForbidden},
		"with a token":            {ca: a.pem, code: http.StatusOK, user: withToken, token: "Bearer abcdef.0123456789abcdef"},
		"token expired":           {ca: a.pem, code: http.StatusUnauthorized, user: withToken, token: "Bearer abcdef.0123456789abcdef", kind: DiscoveryRefused, says: "401"},
		"another CA":              {ca: other.pem, code: http.StatusOK, kind: DiscoveryUnverified, says: "not signed"},
		"no CA":                   {code: http.StatusOK, kind: DiscoveryMalformed, says: "certificate-authority-data"},
		"a program":               {ca: a.pem, user: strings.Replace(withToken, "token: abcdef.0123456789abcdef", "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Never}", 1), kind: DiscoveryMalformed, says: "program"},
		"files":                   {ca: a.pem, user: strings.Replace(withToken, "token: abcdef.0123456789abcdef", "client-certificate: /x", 1), kind: DiscoveryMalformed, says: "--flatten"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint := publicServer(t, a, func(_ int, w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Authorization"); got != c.token {
					t.Errorf("authorization %q", got)
				}
				if c.code != http.StatusOK {
					refuse(w, c.code)
					return
				}
				writeInfo(t, w, "x")
			})
			file := infoKubeconfig("https://"+endpoint, c.ca)
			if c.user != "" {
				file = strings.Split(file, "contexts:")[0] + c.user
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			got, err := DiscoverFromFile(ctx, NewDialer(), []byte(file), nil)
			if c.kind == 0 {
				if err != nil || got.Server != "https://"+endpoint || got.Endpoint != got.Server || string(got.CAPEM) != string(a.pem) {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			var failed *DiscoveryError
			if !errors.As(err, &failed) || failed.Kind != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error: %v", err)
			}
		})
	}
}
