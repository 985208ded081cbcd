package ha

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"kubebundle/installer/etcd"
	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/hosts"
)

// openEtcd asks the members of hosts, with the credentials of the first of them.
func openEtcd(t *testing.T, on ...*hosts.Host) *etcd.Client {
	t.Helper()
	cfg := etcd.Config{Dial: (&net.Dialer{}).DialContext}
	for _, h := range on {
		cfg.Endpoints = append(cfg.Endpoints, "https://"+net.JoinHostPort(h.IP.String(), "2379"))
	}
	for name, to := range map[string]*[]byte{"ca.crt": &cfg.CA, "healthcheck-client.crt": &cfg.Cert, "healthcheck-client.key": &cfg.Key} {
		data, err := os.ReadFile(filepath.Join(on[0].Root(), "etc/kubernetes/pki/etcd", name))
		if err != nil {
			t.Fatal(err)
		}
		*to = data
	}
	c, err := etcd.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// wholeEtcd waits until etcd has a voting, healthy member on each of the hosts, and no others.
func wholeEtcd(t *testing.T, on ...*hosts.Host) {
	t.Helper()
	c := openEtcd(t, on...)
	suite.Eventually(t, time.Minute, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		members, err := c.Members(ctx)
		if err != nil {
			return err
		}
		if len(members) != len(on) {
			return fmt.Errorf("etcd has %d members, want %d: %+v", len(members), len(on), members)
		}
		for _, h := range on {
			m, there := etcd.Find(members, "https://"+net.JoinHostPort(h.IP.String(), "2380"))
			if !there || m.Learner || m.Name != h.Name {
				return fmt.Errorf("the member of %s: %v, %+v", h.Name, there, m)
			}
		}
		return c.Healthy(ctx)
	})
}
