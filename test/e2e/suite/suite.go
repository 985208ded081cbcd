// Package suite is what the end-to-end behaviours share: one cluster of real hosts without a network, made once from a real bundle, and
// the few questions that are asked of it again and again.
package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/lab/cache"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// What the suite installs and on what, unless KUBEBUNDLE_E2E_VERSION and KUBEBUNDLE_E2E_RUNTIME say otherwise.
const (
	DefaultVersion = "v1.34.4"
	DefaultRuntime = hosts.Containerd
)

func fromEnv(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// Suite is the shared cluster and what is known about it.
type Suite struct {
	*clusters.Env
	Version string        // Kubernetes' version
	Runtime hosts.Runtime // of the shared hosts
	Bundle  clusters.Bundle
	// Programs are those that made the bundle.
	Programs clusters.Programs
	Cluster  *clusters.Cluster
	// Clean is each host's file tree when the bundle lay there and nothing had been installed.
	Clean map[string]hosts.Snapshot
	// Baseline is how many packets had left the hosts' network when the installation began: those of the proof that none arrive.
	Baseline hosts.Escapes
	// Reached lists what a host could reach outside its network before the installation. It must be empty.
	Reached []string

	unlock func()
}

// Options say what cluster a suite has, if not one control plane and one worker.
type Options struct {
	ControlPlanes, Workers int
	VIP                    bool // behind a virtual IP
	InitFlags              []string
}

// Setup makes the cluster that all behaviours share.
func Setup(ctx context.Context, log *slog.Logger) (*Suite, error) {
	return SetupWith(ctx, log, Options{ControlPlanes: 1, Workers: 1})
}

// SetupWith makes another one.
func SetupWith(ctx context.Context, log *slog.Logger, o Options) (s *Suite, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the end-to-end tests need root")
	}
	s = &Suite{
		Clean: map[string]hosts.Snapshot{}, Version: fromEnv("KUBEBUNDLE_E2E_VERSION", DefaultVersion),
		Runtime: hosts.Runtime(fromEnv("KUBEBUNDLE_E2E_RUNTIME", string(DefaultRuntime))),
	}
	if s.Env, err = clusters.NewEnv(ctx, s.Version, log); err != nil {
		return s, err
	}
	// Two runs with one lab would take each other's hosts away.
	if s.unlock, err = cache.Lock(filepath.Join(s.Dir, ".e2e-"+s.Lab.Net.Bridge+".lock")); err != nil {
		return s, err
	}
	if err := s.Lab.Down(ctx); err != nil { // of a run that was killed
		return s, err
	}
	if s.VirtualIP = o.VIP; o.VIP {
		if err := s.Upstream.AddVirtualIP(ctx); err != nil {
			return s, err
		}
	}
	if s.Programs, err = s.BuildPrograms(ctx); err != nil {
		return s, err
	}
	if s.Bundle, err = s.BuildBundle(ctx, s.Programs); err != nil {
		return s, err
	}
	s.Cluster, err = s.Install(ctx, clusters.InstallOptions{
		ControlPlanes: o.ControlPlanes, Workers: o.Workers, Endpoint: true, VIP: o.VIP, InitFlags: o.InitFlags, Runtime: s.Runtime, Bundle: s.Bundle, Before: s.before,
	})
	return s, err
}

// before looks at a host to which nothing has been done yet.
func (s *Suite) before(ctx context.Context, h *hosts.Host) error {
	if err := s.tryToEscape(ctx, h); err != nil {
		return err
	}
	var err error
	if s.Clean[h.Name], err = h.Snapshot(Volatile...); err != nil {
		return err
	}
	s.Baseline, err = s.Lab.Escapes(ctx)
	return err
}

// tryToEscape has a host try to reach a server that the machine runs for it, on every address that the machine has, and an
// address outside. A registry on the machine is as unreachable as that.
func (s *Suite) tryToEscape(ctx context.Context, h *hosts.Host) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", ":0")
	if err != nil {
		return err
	}
	defer l.Close() //nolint:errcheck // a test's listener
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return err
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	targets := []string{"192.0.2.77"} // TEST-NET-1: nobody is there, but a host with a way out would send
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			targets = append(targets, ip.IP.String())
		}
	}
	for _, t := range targets {
		script := fmt.Sprintf("timeout 1 socat /dev/null TCP4:%s:%s,connect-timeout=1", t, port)
		if err := h.Run(ctx, "sh", "-c", script); err == nil {
			s.Reached = append(s.Reached, h.Name+" reached "+t)
		}
	}
	return nil
}

// Close takes everything away, unless KEEP=1.
func (s *Suite) Close(ctx context.Context) error {
	if s.unlock == nil { // it never began
		return nil
	}
	defer s.unlock()
	if os.Getenv("KEEP") == "1" {
		return nil
	}
	return s.Lab.Down(ctx)
}

// Volatile are the folders whose content changes while a host lives, whoever runs on it.
var Volatile = []string{
	"/var/log", "/var/lib/systemd", "/var/lib/containerd", "/var/lib/docker", "/run", "/tmp", "/proc", "/sys", "/dev", "/var/tmp", "/var/cache", "/root",
}

// Server is the first control plane, Worker the first worker.
func (s *Suite) Server() *hosts.Host { return s.Cluster.Hosts[0] }

// Worker is the first worker.
func (s *Suite) Worker() *hosts.Host { return s.Cluster.Hosts[1] }

// Get reads objects with kubectl into a typed list or object.
func Get[T any](t *testing.T, s *Suite, args ...string) T {
	t.Helper()
	var v T
	out := s.Kubectl(t, append([]string{"get", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("kubectl get %s: %v", strings.Join(args, " "), err)
	}
	return v
}

// NodeReady says whether a node is Ready.
func NodeReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// Kubectl runs kubectl on the machine and fails the test if it fails.
func (s *Suite) Kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.Cluster.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Shell runs a command in the tests' shell pod on a node.
func (s *Suite) Shell(t *testing.T, node, command string) (string, error) {
	t.Helper()
	return s.Cluster.Kubectl(t.Context(), "-n", "lab", "exec", s.ShellPod(t, node), "--", "sh", "-c", command)
}

// ShellPod is the name of the tests' shell pod on a node.
func (s *Suite) ShellPod(t *testing.T, node string) string {
	t.Helper()
	pods := Get[corev1.PodList](t, s, "pods", "-n", "lab", "-l", "app=shell", "--field-selector", "spec.nodeName="+node)
	if len(pods.Items) != 1 {
		t.Fatalf("%d shell pods on %s, want 1", len(pods.Items), node)
	}
	return pods.Items[0].Name
}

// Eventually tries until f returns nil, and fails the test with its last error after the patience.
func Eventually(t *testing.T, patience time.Duration, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || t.Context().Err() != nil {
			t.Fatalf("not within %v: %v", patience, err)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// AwaitStartedSince waits until every container, of all nodes or of those given, is ready and has started after a moment. Old states are believed until
// the kubelets have reported. Restarts say less than that: who removes a pod's containers lets them count from nought.
func (s *Suite) AwaitStartedSince(t *testing.T, moment time.Time, nodes ...string) {
	t.Helper()
	moment = moment.Truncate(time.Second) // a container's start has seconds
	Eventually(t, 3*time.Minute, func() error {
		if err := s.Cluster.Healthy(t.Context()); err != nil {
			return err
		}
		for _, p := range Get[corev1.PodList](t, s, "pods", "--all-namespaces").Items {
			if len(nodes) > 0 && !slices.Contains(nodes, p.Spec.NodeName) {
				continue
			}
			for _, c := range p.Status.ContainerStatuses {
				if !c.Ready || c.State.Running == nil || c.State.Running.StartedAt.Time.Before(moment) {
					return fmt.Errorf("container %s of %s/%s: ready %v, %+v; want it started after %v", c.Name, p.Namespace, p.Name, c.Ready, c.State, moment)
				}
			}
		}
		return nil
	})
}

// BareHost makes a host with the bundle on it for one test, and takes it away afterwards.
func (s *Suite) BareHost(t *testing.T, name string, rt hosts.Runtime) *hosts.Host {
	t.Helper()
	h := s.EmptyHost(t, name, rt)
	if err := s.Bundle.Carry(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	return h
}

// EmptyHost makes a host for one test, and takes it away afterwards.
func (s *Suite) EmptyHost(t *testing.T, name string, rt hosts.Runtime) *hosts.Host {
	t.Helper()
	h, err := s.Lab.Create(t.Context(), name, rt)
	if h != nil {
		t.Cleanup(func() {
			if os.Getenv("KEEP") == "1" && t.Failed() {
				return
			}
			if err := h.Destroy(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// MustInstall runs install and fails the test if it fails.
func (s *Suite) MustInstall(t *testing.T, h *hosts.Host, args ...string) clusters.Installation {
	t.Helper()
	r := s.Bundle.Install(t.Context(), h, args...)
	if r.Err != nil {
		t.Fatalf("install %s on %s: exit code %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), h.Name, r.Code(), r.Stdout, r.Stderr)
	}
	return r
}

// Refused runs install, wants an exit code and every text in what it says, and returns what it said.
func (s *Suite) Refused(t *testing.T, h *hosts.Host, code int, texts []string, args ...string) clusters.Installation {
	t.Helper()
	r := s.Bundle.Install(t.Context(), h, args...)
	if r.Code() != code {
		t.Errorf("install %s on %s: exit code %d, want %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), h.Name, r.Code(), code, r.Stdout, r.Stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.Stderr, text) {
			t.Errorf("install %s does not say %q; it says:\n%s", strings.Join(args, " "), text, r.Stderr)
		}
	}
	return r
}
