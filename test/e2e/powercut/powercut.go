// Package powercut: a host whose power fails in the middle of init goes on where it was when the same command is given again. The host has a
// containerd 2.x where the version can drive one, so that one is proven as well; and in the end everything is taken back.
package powercut

import (
	"context"
	"fmt"
	"testing"
	"time"

	"kubebundle/test/e2e/reset"
	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// Test cuts the power while images are loaded, again while the control plane starts, and then lets it finish.
func Test(t *testing.T, s *suite.Suite) {
	rt := hosts.Containerd2
	if s.Before("1.26.0") { // it no longer speaks their v1alpha2
		rt = s.Runtime
	}
	h := s.BareHost(t, "pow1", rt)
	if err := clusters.Forwarding(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	cfg, err := clusters.InitConfig(s.Lab.Machine, s.Version, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile(clusters.ConfigPath, []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	clean, err := h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	// Where the power fails: a file that is there from then on.
	for _, at := range []string{"/usr/bin/kubelet", "/etc/kubernetes/manifests/kube-apiserver.yaml"} {
		cut(t, s, h, at)
	}
	s.MustInstall(t, h, clusters.InitArgs()...)
	node := &clusters.Cluster{Env: s.Env, Hosts: []*hosts.Host{h}}
	if err := node.FetchKubeconfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := node.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	reset.Host(t, s, h, clean)
}

// cut starts init and pulls the plug a moment after a file has appeared.
func cut(t *testing.T, s *suite.Suite, h *hosts.Host, file string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan clusters.Installation, 1)
	go func() { done <- s.Bundle.Install(ctx, h, clusters.InitArgs()...) }()
	suite.Eventually(t, 2*time.Minute, func() error {
		if len(done) > 0 {
			return nil
		}
		return h.Run(t.Context(), "test", "-e", file)
	})
	time.Sleep(300 * time.Millisecond)
	if err := h.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.Err == nil {
		t.Fatalf("init ended before the power was cut at %s", file)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(fmt.Errorf("after the power cut at %s: %w", file, err))
	}
}
