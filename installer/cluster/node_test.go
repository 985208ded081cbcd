package cluster_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer/cluster"
	"kubebundle/installer/cluster/clustertest"
)

const nodePath = "/api/v1/nodes/cp1"

func node(ready string) clustertest.Object {
	return clustertest.Object{
		"apiVersion": "v1", "kind": "Node",
		"metadata": clustertest.Object{"name": "cp1", "labels": clustertest.Object{"kubernetes.io/hostname": "cp1"}},
		"spec":     clustertest.Object{"fieldOfTheFuture": "kept", "taints": []any{clustertest.Object{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}}},
		"status":   clustertest.Object{"conditions": []any{clustertest.Object{"type": "Ready", "status": ready, "message": "no network plugin"}}},
	}
}

func patch() cluster.NodePatch {
	return cluster.NodePatch{
		Labels:      map[string]string{"node-role.kubernetes.io/control-plane": ""},
		Annotations: map[string]string{"kubeadm.alpha.kubernetes.io/cri-socket": "unix:///run/containerd/containerd.sock"},
		Taints:      []cluster.Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"}},
	}
}

func TestPatchNodeWaitsForTheNode(t *testing.T) {
	s := clustertest.New(t)
	c := s.Client(t)
	if ok, err := c.NodePatched(t.Context(), "cp1", patch()); err != nil || ok {
		t.Errorf("no node: %t, %v", ok, err)
	}
	go func() {
		time.Sleep(300 * time.Millisecond)
		s.Put(nodePath, node("False"))
	}()
	if err := c.PatchNode(t.Context(), "cp1", patch()); err != nil {
		t.Fatal(err)
	}
	got := s.Get(nodePath)
	want := clustertest.Object{"fieldOfTheFuture": "kept", "taints": []any{
		clustertest.Object{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
		clustertest.Object{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
	}}
	if diff := cmp.Diff(want, got["spec"]); diff != "" {
		t.Error(diff)
	}
	labels := got["metadata"].(clustertest.Object)["labels"].(clustertest.Object)
	if v, ok := labels["node-role.kubernetes.io/control-plane"]; !ok || v != "" || labels["kubernetes.io/hostname"] != "cp1" {
		t.Errorf("labels: %v", labels)
	}
	if ok, err := c.NodePatched(t.Context(), "cp1", patch()); err != nil || !ok {
		t.Errorf("patched: %t, %v", ok, err)
	}
	if err := c.PatchNode(t.Context(), "cp1", patch()); err != nil || len(s.Writes()) != 1 {
		t.Errorf("a second time: %v, %v", s.Writes(), err)
	}
	p := patch()
	p.Taints[0].Value = "x"
	if err := c.PatchNode(t.Context(), "cp1", p); err != nil {
		t.Fatal(err)
	}
	if taints := s.Get(nodePath)["spec"].(clustertest.Object)["taints"].([]any); len(taints) != 2 {
		t.Errorf("the taint stands twice: %v", taints)
	}
}

func TestPatchNodeThatNeverComes(t *testing.T) {
	s := clustertest.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	if err := s.Client(t).PatchNode(ctx, "cp1", patch()); err == nil || !strings.Contains(err.Error(), "mark node cp1: ") {
		t.Errorf("error: %v", err)
	}
}

func TestNodeReady(t *testing.T) {
	s := clustertest.New(t)
	c := s.Client(t)
	look := func(wantReady bool, wantReason string) {
		t.Helper()
		ready, reason, err := c.NodeReady(t.Context(), "cp1")
		if ready != wantReady || reason != wantReason || err != nil {
			t.Errorf("%t, %q, %v", ready, reason, err)
		}
	}
	look(false, "the node has not registered")
	s.Put(nodePath, node("False"))
	look(false, "no network plugin")
	if taken, err := c.NodeExistsReady(t.Context(), "cp1"); taken || err != nil {
		t.Errorf("a node that is not Ready: %t, %v", taken, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.WaitNodeReady(ctx, "cp1"); err == nil || !strings.Contains(err.Error(), "node cp1 is not Ready: no network plugin") {
		t.Errorf("error: %v", err)
	}
	s.Put(nodePath, node("True"))
	if taken, err := c.NodeExistsReady(t.Context(), "cp1"); !taken || err != nil {
		t.Errorf("a Ready node: %t, %v", taken, err)
	}
	if err := c.WaitNodeReady(t.Context(), "cp1"); err != nil {
		t.Error(err)
	}
	s.Fail = func(*http.Request) (int, string) { return http.StatusForbidden, "Forbidden" }
	if taken, err := c.NodeExistsReady(t.Context(), "cp1"); taken || err != nil {
		t.Errorf("an old cluster: %t, %v", taken, err)
	}
}

func TestHealthy(t *testing.T) {
	s := clustertest.New(t)
	c := s.Client(t)
	if err := c.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	s.Fail = func(r *http.Request) (int, string) { // v1.10 has no /livez
		if r.URL.Path == "/livez" {
			return http.StatusNotFound, "NotFound"
		}
		return 0, ""
	}
	if err := c.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	s.Fail = func(*http.Request) (int, string) { return http.StatusInternalServerError, "InternalError" }
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	if err := c.Healthy(ctx); err == nil || !strings.Contains(err.Error(), "is not healthy") || strings.Contains(err.Error(), "deadline") {
		t.Errorf("error: %v", err)
	}
	s.Close()
	ctx2, cancel2 := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel2()
	if err := c.Healthy(ctx2); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error: %v", err)
	}
}

func TestFromKubeconfigRefuses(t *testing.T) {
	s := clustertest.New(t)
	good := string(s.Kubeconfig())
	for name, c := range map[string]struct{ old, new, want string }{
		"exec":     {`"token":"abcdef.0123456789abcdef"`, `"exec":{"apiVersion":"client.authentication.k8s.io/v1","command":"aws","interactiveMode":"Never"}`, "from a program"},
		"insecure": {`"certificate-authority-data":`, `"insecure-skip-tls-verify":true,"certificate-authority-data":`, "insecure-skip-tls-verify"},
		"http":     {`"https://`, `"http://`, "not an https URL"},
		"context":  {`"cluster":"c"`, `"cluster":"x"`, "does not have"},
		"YAML":     {`{"apiVersion"`, `{{"apiVersion"`, "read kubeconfig: "},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Fatalf("%s: nothing replaced", name)
		}
		if _, err := cluster.FromKubeconfig([]byte(text), cluster.NewDialer()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
	// Neither a proxy of the kubeconfig nor of the environment is used: it would be dialed, and counted.
	t.Setenv("HTTPS_PROXY", "http://10.9.9.9:3128")
	d := cluster.NewDialer()
	c, err := cluster.FromKubeconfig([]byte(strings.Replace(good, `"certificate-authority-data":`, `"proxy-url":"http://10.9.9.9:3128","certificate-authority-data":`, 1)), d)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	for a := range d.Attempts() {
		if !strings.HasPrefix(a.Address, "127.0.0.1:") {
			t.Errorf("asked for %v", a)
		}
	}
	if got, err := cluster.ServerOf([]byte(good)); err != nil || got != s.URL {
		t.Errorf("server of the kubeconfig: %s, %v", got, err)
	}
}

// A kubeconfig that names a host which nobody allowed leads nowhere, and at once.
func TestClientCannotLeaveTheNode(t *testing.T) {
	s := clustertest.New(t)
	foreign := strings.Replace(string(s.Kubeconfig()), "https://127.0.0.1", "https://192.0.2.1", 1)
	c, err := cluster.FromKubeconfig([]byte(foreign), cluster.NewDialer())
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	_, err = c.Apply(t.Context(), configMap(nil))
	if err == nil || !strings.Contains(err.Error(), "blocked connection to 192.0.2.1:") || time.Since(begin) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}

// A kubelet with DynamicKubeletConfig is sent to a ConfigMap that is there, in the form of its version.
func TestPatchNodeConfigSource(t *testing.T) {
	s := clustertest.New(t)
	c := s.Client(t)
	s.Put("/api/v1/namespaces/kube-system/configmaps/base", clustertest.Object{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": clustertest.Object{"namespace": "kube-system", "name": "base", "uid": "u-1"},
	})
	for _, byUID := range []bool{false, true} {
		s.Put(nodePath, node("True"))
		p := cluster.NodePatch{ConfigSource: &cluster.ConfigSource{ConfigMap: "base", ByUID: byUID}}
		if ok, err := c.NodePatched(t.Context(), "cp1", p); err != nil || ok {
			t.Errorf("before: %t, %v", ok, err)
		}
		if err := c.PatchNode(t.Context(), "cp1", p); err != nil {
			t.Fatal(err)
		}
		if ok, err := c.NodePatched(t.Context(), "cp1", p); err != nil || !ok {
			t.Errorf("after: %t, %v", ok, err)
		}
		source, _ := s.Get(nodePath)["spec"].(clustertest.Object)["configSource"].(clustertest.Object)
		if ref, _ := source["configMapRef"].(clustertest.Object); byUID && ref["uid"] != "u-1" || !byUID && source["configMap"] == nil {
			t.Errorf("by UID %t: %v", byUID, source)
		}
	}
	missing := cluster.NodePatch{ConfigSource: &cluster.ConfigSource{ConfigMap: "gone"}}
	if ok, err := c.NodePatched(t.Context(), "cp1", missing); err != nil || ok {
		t.Errorf("a ConfigMap that is not there: %t, %v", ok, err)
	}
}
