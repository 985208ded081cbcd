package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// TestDiscoveryReads asks with the token for what a joining node may see, at the address that the user gave and not at the one that
// cluster-info names.
func TestDiscoveryReads(t *testing.T) {
	a := newAuthority(t, []net.IP{net.IPv4(127, 0, 0, 1)}, time.Now().Add(time.Hour))
	at := a.serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch name := r.URL.Path; {
		case name == clusterInfoPath:
			writeInfo(t, w, infoKubeconfig("https://internal.example:6443", a.pem), good())
		case r.Header.Get("Authorization") != "Bearer "+good().String():
			t.Errorf("%s without the token", name)
		case strings.HasPrefix(name, "/api/v1/namespaces/kube-system/configmaps/"):
			_, _ = fmt.Fprintf(w, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":%q}}`, name[strings.LastIndex(name, "/")+1:])
		case name == "/api/v1/nodes/worker1":
			_, _ = fmt.Fprint(w, `{"kind":"Node","apiVersion":"v1","status":{"conditions":[{"type":"Ready","status":"True"}]}}`)
		default:
			t.Errorf("asked for %s", name)
		}
	})

	for _, name := range []string{"kubelet-config-1.23", ""} {
		d := NewDiscovery(NewDialer(), DiscoveryOptions{
			Endpoint: at, Token: good(), Pins: []string{pinOf(a.cert)}, TLSBootstrapToken: good().String(),
			KubeletConfigMap: func(cm *corev1.ConfigMap) (string, error) {
				if cm.Name != "kubeadm-config" {
					t.Errorf("the name is taken from %q", cm.Name)
				}
				return name, nil
			},
		})
		info, err := d.ClusterInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kubeadm, kubelet, err := d.ConfigMaps(t.Context(), info)
		if err != nil || kubeadm == nil || (kubelet != nil) != (name != "") || kubelet != nil && kubelet.Name != name {
			t.Errorf("ConfigMaps: %v, %v, %v", kubeadm, kubelet, err)
		}
		if taken, err := d.NodeTaken(t.Context(), info, "worker1"); err != nil || !taken {
			t.Errorf("a Ready node of that name: %t, %v", taken, err)
		}
	}
}

// A cluster without a virtual IP says so at once, whichever way it says it: every join of a control plane asks.
func TestDiscoveryFindsNoVirtualIP(t *testing.T) {
	a := newAuthority(t, []net.IP{net.IPv4(127, 0, 0, 1)}, time.Now().Add(time.Hour))
	asked := 0
	at := a.serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == clusterInfoPath {
			writeInfo(t, w, infoKubeconfig("https://internal.example:6443", a.pem), good())
			return
		}
		asked++
		status := map[string]int{"missing": http.StatusNotFound, "forbidden": http.StatusForbidden}[path.Base(r.URL.Path)]
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, strings.ReplaceAll(http.StatusText(status), " ", ""), status)
	})
	d := NewDiscovery(NewDialer(), DiscoveryOptions{Endpoint: at, Token: good(), Pins: []string{pinOf(a.cert)}, TLSBootstrapToken: good().String()})
	info, err := d.ClusterInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"missing", "forbidden"} {
		if cm, err := d.VirtualIP(t.Context(), info, name); cm != nil || err != nil || asked != i+1 {
			t.Errorf("%s: %v, %v, asked %d times", name, cm, err, asked)
		}
	}
}

// fails makes a dialer whose connections all end in this way.
func fails(err error) *Dialer {
	d := NewDialer("192.0.2.1:6443")
	d.connect = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	return d
}

// What time does not cure ends the discovery at once.
func TestDiscoveryGivesUp(t *testing.T) {
	for _, cause := range []error{
		os.NewSyscallError("connect", syscall.EHOSTUNREACH), os.NewSyscallError("connect", syscall.ENETUNREACH), &net.DNSError{Err: "no such host", IsNotFound: true},
	} {
		_, err := NewDiscovery(fails(cause), DiscoveryOptions{Endpoint: "192.0.2.1:6443", Token: good(), UnsafeSkipCA: true}).ClusterInfo(t.Context())
		var failed *DiscoveryError
		if !errors.As(err, &failed) || failed.Kind != DiscoveryUnreachable || !errors.Is(err, cause) {
			t.Errorf("%v: %v", cause, err)
		}
	}
}

func TestDiscoveryTellsWhatItWaitsFor(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	said := make(chan string, 1)
	f := &finder{
		dialer: fails(os.NewSyscallError("connect", syscall.ECONNREFUSED)), endpoint: "192.0.2.1:6443", patience: time.Minute, interval: time.Millisecond,
		quiet:   50 * time.Millisecond,
		waiting: func(text string) { said <- text; cancel() },
	}
	if _, err := f.byToken(ctx, good(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	if got := <-said; !regexp.MustCompile(`^waiting for 192\.0\.2\.1:6443: connection refused, (5m0s|4m5[0-9]s) left$`).MatchString(got) {
		t.Errorf("it says %q", got)
	}
}
