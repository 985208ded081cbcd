// Package badjoin: a join with a wrong token, an expired token, a wrong pin or a wrong address is one clear error and leaves nothing behind;
// the same host then joins, by every way of discovery, and leaves again.
package badjoin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// Test tries wrong commands, then right ones.
func Test(t *testing.T, s *suite.Suite) {
	h := s.BareHost(t, "w9", s.Runtime)
	if err := clusters.Forwarding(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	c := &command{s: s, h: h}
	good, err := clusters.JoinArgs(s.MustInstall(t, s.Server(), "token", "create", "--print-join-command").Stdout)
	if err != nil {
		t.Fatal(err)
	}
	if len(good) != 6 { // join ADDR --token T --discovery-token-ca-cert-hash H
		t.Fatalf("join command is %q", good)
	}
	addr, token, pin := good[1], good[3], good[5]
	expired := strings.TrimSpace(s.MustInstall(t, s.Server(), "token", "create", "--ttl", "1s").Stdout)
	time.Sleep(2 * time.Second)

	c.refused(t, addr, "abcdef.0123456789abcdef", pin, "token")
	c.refused(t, addr, expired, pin, "token")
	c.refused(t, addr, token, "sha256:"+strings.Repeat("0", 64), "pin")
	c.refused(t, s.Server().IP.Next().Next().Next().String()+":6443", token, pin, "dial tcp")

	if err := h.WriteFile("/root/discovery.conf", []byte(s.Kubectl(t, "-n", "kube-public", "get", "configmap", "cluster-info",
		"-o", "jsonpath={.data.kubeconfig}")), 0o600); err != nil {
		t.Fatal(err)
	}
	c.joins(t, "join", addr, "--token", token, "--discovery-token-ca-cert-hash", pin)
	c.joins(t, "join", addr, "--token", token, "--discovery-token-unsafe-skip-ca-verification")
	c.joins(t, "join", "--discovery-file", "/root/discovery.conf", "--tls-bootstrap-token", token)
}

type command struct {
	s *suite.Suite
	h *hosts.Host
}

// refused gives the join by a file, since patience with a server that does not answer is set there.
func (c *command) refused(t *testing.T, addr, token, pin, about string) {
	t.Helper()
	cfg := fmt.Sprintf("apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\ndiscovery:\n  bootstrapToken:\n    apiServerEndpoint: %s\n"+
		"    token: %s\n    caCertHashes: [%q]\ntimeouts: {discovery: 5s, tlsBootstrap: 10s}\n", addr, token, pin)
	if err := c.h.WriteFile("/root/join.yaml", []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := c.h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r := c.s.Refused(t, c.h, 1, []string{"error: ", "hint: ", about}, "join", "--config", "/root/join.yaml", "--configure-runtime")
	if took := time.Since(start); took > time.Minute {
		t.Errorf("join with a bad %s took %v to be refused", about, took)
	}
	if strings.Contains(r.Stdout+r.Stderr, token) {
		t.Errorf("the token is in what join says: %s%s", r.Stdout, r.Stderr)
	}
	after, err := c.h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := before.Diff(after); len(diff) > 0 {
		t.Errorf("a refused join (%s) changed the host:\n%s", about, strings.Join(diff, "\n"))
	}
}

// joins joins, waits until the node is Ready, and takes it away again.
func (c *command) joins(t *testing.T, args ...string) {
	t.Helper()
	c.s.MustInstall(t, c.h, append(args, "--configure-runtime")...)
	suite.Eventually(t, 2*time.Minute, func() error {
		out, err := c.s.Cluster.Kubectl(t.Context(), "get", "node", c.h.Name, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && out != string(corev1.ConditionTrue) {
			err = fmt.Errorf("node %s: Ready is %q", c.h.Name, out)
		}
		return err
	})
	c.s.MustInstall(t, c.h, "reset", "--force")
	c.s.Kubectl(t, "delete", "node", c.h.Name)
}
