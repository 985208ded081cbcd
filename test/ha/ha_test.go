package ha

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/e2e/suitekubeadm"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
	"kubebundle/test/lab/measured"
)

var (
	shared *suite.Suite
	hops   = []hop{{version: "v1.35.4"}, {version: "v1.36.3"}}
	newer  clusters.Bundle // of the last of them
)

// hop is a minor version that the cluster is upgraded to.
type hop struct {
	version string
	bundle  clusters.Bundle
}

// envTo names the last version of hops that the cluster is upgraded to.
const envTo = "KUBEBUNDLE_HA_TO"

// shorten leaves out the hops after the one that the environment names.
func shorten() error {
	to := os.Getenv(envTo)
	if to == "" {
		return nil
	}
	i := slices.IndexFunc(hops, func(h hop) bool { return h.version == to })
	if i < 0 {
		return fmt.Errorf("%s=%s: no such hop", envTo, to)
	}
	hops = hops[:i+1]
	return nil
}

// TestMain runs nothing unless KUBEBUNDLE_E2E=1 asks for it; then everything that is missing is a failure, never a skip.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("KUBEBUNDLE_E2E") != "1" {
		fmt.Println("the tests of a highly available cluster are off; KUBEBUNDLE_E2E=1 turns them on (root, three hosts, about ten minutes)")
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err := shorten(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var err error
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	shared, err = suite.SetupWith(ctx, log, suite.Options{ControlPlanes: 3, VIP: true})
	if shared != nil {
		defer func() {
			if err := shared.Close(context.WithoutCancel(ctx)); err != nil {
				fmt.Fprintln(os.Stderr, "take the lab down:", err)
			}
		}()
	}
	if err == nil {
		err = carryNewer(ctx, log)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make the cluster:", err)
		if shared != nil {
			fmt.Fprintln(os.Stderr, shared.Report(context.WithoutCancel(ctx)))
		}
		return 1
	}
	return m.Run()
}

// carryNewer brings the bundles of the next versions to all hosts.
func carryNewer(ctx context.Context, log *slog.Logger) error {
	for i := range hops {
		e, err := clusters.NewEnv(ctx, hops[i].version, log)
		if err != nil {
			return err
		}
		e.VirtualIP = true
		if err := e.Upstream.AddVirtualIP(ctx); err != nil {
			return err
		}
		if newer, err = e.BuildBundle(ctx, shared.Programs); err != nil {
			return err
		}
		hops[i].bundle = newer
		for _, h := range shared.Cluster.Hosts {
			if err := newer.Carry(ctx, h); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestHA is all of it, in the order in which one cluster can show it.
func TestHA(t *testing.T) {
	s := shared
	for _, b := range []struct {
		name string
		test func(t *testing.T, s *suite.Suite)
	}{
		{"suitekubeadm", suitekubeadm.Test},
		{"endpoint", endpoint},
		{"reset", leaveAndReturn},
		{"upgrade", upgrade},
		{"restore", restore},
		{"powercut", powercut},
	} {
		ok := t.Run(b.name, func(t *testing.T) {
			start := time.Now()
			b.test(t, s)
			t.Logf("%s took %v", b.name, time.Since(start).Round(time.Second))
		})
		if !ok {
			t.Log(s.Report(context.WithoutCancel(t.Context())))
		}
	}
}

// endpoint: everybody uses the address that moves, and not one node's; a kubelet of a control plane may use its own API server.
func endpoint(t *testing.T, s *suite.Suite) {
	vip := s.Lab.Net.Spare().String() + ":8443"
	if holder(t, s) == nil {
		t.Fatal("no control plane holds the virtual IP")
	}
	for _, h := range s.Cluster.Hosts {
		out, err := h.Output(t.Context(), "grep", "-h", "server:", "/etc/kubernetes/admin.conf")
		if err != nil || !strings.Contains(out, vip) {
			t.Errorf("admin.conf of %s says %q, %v", h.Name, out, err)
		}
	}
	proxy := suite.Get[corev1.ConfigMap](t, s, "configmap", "-n", "kube-system", "kube-proxy").Data["kubeconfig.conf"]
	if !strings.Contains(proxy, vip) {
		t.Errorf("kube-proxy goes to %q", proxy)
	}
	info := suite.Get[corev1.ConfigMap](t, s, "configmap", "-n", "kube-public", "cluster-info").Data["kubeconfig"]
	if !strings.Contains(info, vip) {
		t.Errorf("cluster-info says %q", info)
	}
}

// holder is the control plane that has the address; nil if none has, and a failure if two have.
func holder(t *testing.T, s *suite.Suite) *hosts.Host {
	t.Helper()
	var found *hosts.Host
	for _, h := range s.Cluster.Hosts {
		out, err := h.Output(t.Context(), "ip", "-o", "-4", "address")
		if err != nil {
			continue // switched off
		}
		if strings.Contains(out, s.Lab.Net.Spare().String()+"/32") {
			if found != nil {
				t.Errorf("%s and %s both hold the address", found.Name, h.Name)
			}
			found = h
		}
	}
	return found
}

// note keeps a number for make bench.
func note(t *testing.T, what string, value float64) {
	t.Helper()
	if err := measured.Add(what, value); err != nil {
		t.Error(err)
	}
}

// patience is the promise: after a power cut the API answers through the address again within this time.
const patience = 20 * time.Second

// powercut: a client writes all the time while the holder of the address loses its power.
func powercut(t *testing.T, s *suite.Suite) {
	w := startClient(t, s, "powercut", 2*time.Second)
	time.Sleep(3 * time.Second)
	victim := holder(t, s)
	if victim == nil {
		t.Fatal("no control plane holds the virtual IP")
	}
	if err := victim.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	cut := time.Now()
	suite.Eventually(t, 2*time.Minute, func() error {
		if last, err := w.lastWrite(); last.Before(cut.Add(time.Second)) {
			return fmt.Errorf("nothing was written since %v: %w", last, err)
		}
		return nil
	})
	time.Sleep(5 * time.Second)
	w.stop()
	t.Logf("MEASURED without %s, which held the address: longest time without a write %v, %d writes acknowledged", victim.Name, w.longest.Round(100*time.Millisecond), len(w.names))
	if w.longest > patience {
		t.Errorf("no write for %v, want at most %v", w.longest, patience)
	}
	note(t, measured.PowerCutGap, w.longest.Seconds())
	note(t, measured.PowerCutLost, float64(w.kept(t, s)))
	if err := victim.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Cluster.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if holder(t, s) == nil {
		t.Error("nobody holds the address after the host has come back")
	}
}
