package cluster

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
)

// dialed notes where a Dialer really connects to, and connects nowhere.
func dialed(d *Dialer) *[]string {
	var to []string
	d.connect = func(_ context.Context, _, address string) (net.Conn, error) {
		to = append(to, address)
		return nil, errors.New("test: not connected")
	}
	d.own = func() ([]net.Addr, error) {
		return []net.Addr{&net.IPNet{IP: net.IPv4(10, 77, 0, 11), Mask: net.CIDRMask(24, 32)}, &net.IPNet{IP: net.ParseIP("fd00::11"), Mask: net.CIDRMask(64, 128)}}, nil
	}
	return &to
}

func TestDialer(t *testing.T) {
	for _, c := range []struct {
		allowed []string
		address string
		to      string // "" for blocked
	}{
		{nil, "127.0.0.1:6443", "127.0.0.1:6443"},
		{nil, "[::1]:6443", "[::1]:6443"},
		{nil, "127.8.9.1:80", "127.8.9.1:80"},
		{nil, "localhost:6443", "127.0.0.1:6443"},
		{nil, "10.77.0.11:6443", "10.77.0.11:6443"},
		{nil, "[fd00::11]:6443", "[fd00::11]:6443"},
		{nil, "[FD00:0::11]:6443", "[fd00::11]:6443"},
		{nil, "10.77.0.12:6443", ""}, // of the node's network, and not the node's
		{nil, "8.8.8.8:53", ""},
		{nil, "0.0.0.0:80", ""},
		{nil, "registry.k8s.io:443", ""},
		{nil, "localhost.evil.example:443", ""},
		{[]string{"10.0.0.10:6443"}, "10.0.0.10:6443", "10.0.0.10:6443"},
		{[]string{"10.0.0.10:6443"}, "10.0.0.10:443", ""},
		{[]string{"10.0.0.10"}, "10.0.0.10:443", "10.0.0.10:443"},
		{[]string{"API.example:6443"}, "api.example:6443", "api.example:6443"},
		{[]string{"api.example."}, "api.example:6443", "api.example:6443"},
		{[]string{"api.example:6443"}, "dl.k8s.io:6443", ""},
		{[]string{"https://api.example:6443/"}, "api.example:6443", "api.example:6443"},
		{[]string{"https://api.example"}, "api.example:443", "api.example:443"},
		{[]string{"https://api.example"}, "api.example:80", ""},
		{[]string{"[fd00::20]:6443"}, "[fd00::20]:6443", "[fd00::20]:6443"},
		{[]string{"", " "}, "example:1", ""},
	} {
		d := NewDialer(c.allowed...)
		to := dialed(d)
		_, err := d.DialContext(t.Context(), "tcp", c.address)
		var blocked *BlockedError
		if c.to == "" {
			if !errors.As(err, &blocked) || len(*to) != 0 || !strings.Contains(err.Error(), "blocked connection to "+c.address+": an air-gapped installer talks only to this node") {
				t.Errorf("%v, %s: connected to %v: %v", c.allowed, c.address, *to, err)
			}
			continue
		}
		if errors.As(err, &blocked) || len(*to) != 1 || (*to)[0] != c.to {
			t.Errorf("%v, %s: connected to %v: %v", c.allowed, c.address, *to, err)
		}
	}
}

func TestDialerCountsAndSpeaksTCPAlone(t *testing.T) {
	d := NewDialer("10.0.0.10:6443")
	dialed(d)
	for _, a := range []string{"10.0.0.10:6443", "10.0.0.10:6443", "1.1.1.1:53"} {
		if c, err := d.DialContext(t.Context(), "tcp", a); err == nil {
			_ = c.Close()
		}
	}
	got := d.Attempts()
	if len(got) != 2 || got[Attempt{"10.0.0.10:6443", false}] != 2 || got[Attempt{"1.1.1.1:53", true}] != 1 {
		t.Errorf("attempts: %v", got)
	}
	if _, err := d.DialContext(t.Context(), "udp", "127.0.0.1:53"); err == nil || !strings.Contains(err.Error(), "only TCP") {
		t.Errorf("udp: %v", err)
	}
	if _, err := d.DialContext(t.Context(), "tcp", "1.1.1.1:53"); err == nil || !strings.Contains(err.Error(), "and 10.0.0.10:6443") {
		t.Errorf("the error does not say what is allowed: %v", err)
	}
}
