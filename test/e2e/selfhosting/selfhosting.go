// Package selfhosting: a control plane of v1.10 to v1.12 turns into DaemonSets, also when the installer is killed in the middle. It does its
// work, it is lost at a reboot as it says, and comes back with the manifests that were kept. On the way, what the other gates of these
// versions ask for: the kubelet follows its ConfigMap, and the API server audits.
package selfhosting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/reset"
	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

const (
	manifests = "/etc/kubernetes/manifests"
	kept      = "/etc/kubernetes/self-hosted"
)

func components() []string {
	return []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"}
}

// Test makes a control plane of its own.
func Test(t *testing.T, s *suite.Suite) {
	h := s.BareHost(t, "self1", s.Runtime)
	if err := clusters.Forwarding(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	cfg, err := clusters.InitConfig(s.Lab.Machine, s.Version, "", clusters.RuntimeDocs(s.Runtime)...)
	if err != nil {
		t.Fatal(err)
	}
	cfg = strings.Replace(cfg, "kind: ClusterConfiguration\n", "kind: ClusterConfiguration\nfeatureGates: {Auditing: true, DynamicKubeletConfig: true}\n", 1)
	if err := h.WriteFile(clusters.ConfigPath, []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	clean, err := h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	s.MustInstall(t, h, clusters.InitArgs()...)
	c := &clusters.Cluster{Env: s.Env, Hosts: []*hosts.Host{h}}
	if err := c.FetchKubeconfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	gates(t, c, h)

	killed(t, s, h)
	convert := []string{"phase", "selfhosting", "convert-from-staticpods", "--config", clusters.ConfigPath}
	r := s.MustInstall(t, h, convert...)
	if !strings.Contains(r.Stdout, "next reboot - nothing starts them again") {
		t.Errorf("the limits are not told:\n%s", r.Stdout)
	}
	if got := list(t, h, manifests); got != "etcd.yaml" {
		t.Errorf("%s has %q, want etcd's alone", manifests, got)
	}
	hostsItself(t, c)
	works(t, c, 3)
	// Neither the phase nor init has anything left to do, and init brings no static pod back.
	s.MustInstall(t, h, convert...)
	s.MustInstall(t, h, clusters.InitArgs()...)
	if got := list(t, h, manifests); got != "etcd.yaml" {
		t.Errorf("after a second init %s has %q, want etcd's alone", manifests, got)
	}
	hostsItself(t, c)

	lost(t, c, h)
	works(t, c, 2)
	reset.Host(t, s, h, clean)
}

// gates: the kubelet says that it follows the ConfigMap, and requests are logged.
func gates(t *testing.T, c *clusters.Cluster, h *hosts.Host) {
	t.Helper()
	suite.Eventually(t, 2*time.Minute, func() error {
		nodes, err := get[corev1.NodeList](t, c, "nodes")
		if err != nil {
			return err
		}
		for _, cond := range nodes.Items[0].Status.Conditions {
			if cond.Type != "KubeletConfigOk" {
				continue
			}
			if cond.Status == corev1.ConditionTrue && strings.Contains(cond.Message, "kubelet-base-config-1.9") {
				return nil
			}
			return fmt.Errorf("%s: %s %s", cond.Type, cond.Status, cond.Message)
		}
		return errors.New("the kubelet says nothing about its configuration")
	})
	if err := h.Run(t.Context(), "grep", "-q", `"level":"Metadata"`, "/var/log/kubernetes/audit/audit.log"); err != nil {
		t.Errorf("the API server does not audit: %v", err)
	}
}

// killed converts until the first manifest has been moved, and kills the installer.
func killed(t *testing.T, s *suite.Suite, h *hosts.Host) {
	t.Helper()
	done := make(chan clusters.Installation, 1)
	go func() {
		done <- s.Bundle.Install(t.Context(), h, "init", "phase", "self-hosting", "from-staticpods", "--config", clusters.ConfigPath)
	}()
	suite.Eventually(t, 3*time.Minute, func() error {
		if len(done) > 0 {
			return nil
		}
		return h.Run(t.Context(), "test", "-e", kept+"/kube-apiserver.yaml")
	})
	if err := h.Run(t.Context(), "pkill", "-KILL", "-x", "install"); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.Err == nil {
		t.Fatal("the conversion ended before it was killed")
	}
}

// hostsItself: each component runs in the pod of its DaemonSet and in no other.
func hostsItself(t *testing.T, c *clusters.Cluster) {
	t.Helper()
	suite.Eventually(t, 2*time.Minute, func() error {
		pods, err := get[corev1.PodList](t, c, "pods", "-n", "kube-system")
		if err != nil {
			return err
		}
		for _, comp := range components() {
			if err := oneReady(pods.Items, "self-hosted-"+comp+"-", comp+"-"); err != nil {
				return err
			}
		}
		return nil
	})
}

// oneReady wants one Ready pod with a prefix and none with another.
func oneReady(pods []corev1.Pod, want, not string) error {
	found := 0
	for _, p := range pods {
		switch {
		case strings.HasPrefix(p.Name, not):
			return fmt.Errorf("pod %s is there", p.Name)
		case strings.HasPrefix(p.Name, want):
			found++
			for _, c := range p.Status.ContainerStatuses {
				if !c.Ready {
					return fmt.Errorf("pod %s is not Ready: %+v", p.Name, c.State)
				}
			}
		}
	}
	if found != 1 {
		return fmt.Errorf("%d pods are called %s…, want 1", found, want)
	}
	return nil
}

// works: what is written is acted upon, by a controller, the scheduler and the kubelet.
func works(t *testing.T, c *clusters.Cluster, replicas int) {
	t.Helper()
	if _, err := c.Kubectl(t.Context(), "-n", "kube-system", "scale", "deployment", "coredns", fmt.Sprintf("--replicas=%d", replicas)); err != nil {
		t.Fatal(err)
	}
	suite.Eventually(t, 3*time.Minute, func() error {
		pods, err := get[corev1.PodList](t, c, "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")
		if err != nil {
			return err
		}
		running := 0
		for _, p := range pods.Items {
			if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
				running++
			}
		}
		if running != replicas {
			return fmt.Errorf("%d DNS servers run, want %d", running, replicas)
		}
		return nil
	})
}

// lost: after a reboot nobody serves, until the kept manifests are put back.
func lost(t *testing.T, c *clusters.Cluster, h *hosts.Host) {
	t.Helper()
	if err := h.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	suite.Eventually(t, 2*time.Minute, func() error {
		out, err := h.Output(t.Context(), "sh", "-c", "docker ps --format '{{.Names}}' | grep k8s_etcd_")
		if err == nil && out == "" {
			err = errors.New("etcd does not run yet")
		}
		return err
	})
	const grace = 15 * time.Second
	time.Sleep(grace)
	if c.Healthy(t.Context()) == nil {
		t.Error("the control plane came back by itself: the documents say that it does not")
	}
	if err := h.Run(t.Context(), "sh", "-c", "mv "+kept+"/*.yaml "+manifests+"/"); err != nil {
		t.Fatal(err)
	}
	suite.Eventually(t, 3*time.Minute, func() error { return c.Healthy(t.Context()) })
	suite.Eventually(t, 3*time.Minute, func() error {
		_, err := c.Kubectl(t.Context(), "-n", "kube-system", "delete", "daemonset", "--ignore-not-found",
			"self-hosted-kube-scheduler", "self-hosted-kube-controller-manager", "self-hosted-kube-apiserver")
		return err
	})
	suite.Eventually(t, 3*time.Minute, func() error {
		pods, err := get[corev1.PodList](t, c, "pods", "-n", "kube-system")
		if err != nil {
			return err
		}
		for _, comp := range components() {
			if err := oneReady(pods.Items, comp+"-", "self-hosted-"+comp+"-"); err != nil {
				return err
			}
		}
		return nil
	})
	if err := c.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, h *hosts.Host, dir string) string {
	t.Helper()
	out, err := h.Output(t.Context(), "ls", dir)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// get asks for a list once.
func get[T any](t *testing.T, c *clusters.Cluster, args ...string) (v T, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := c.Kubectl(ctx, append([]string{"get", "-o", "json"}, args...)...)
	if err != nil {
		return v, err
	}
	return v, json.Unmarshal([]byte(out), &v)
}
