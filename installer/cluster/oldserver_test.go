package cluster_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubebundle/installer/cluster"
	"kubebundle/installer/cluster/clustertest"
)

// oldServer answers as the API server of v1.10 does: no /livez, no server-side apply, no encoding but JSON, YAML and protobuf, and of the groups
// that the installer needs the versions that were there (pkg/master/master.go of v1.10; every later version still serves these). What
// it was asked beside that is in strange.
func oldServer(t *testing.T) (s *clustertest.Server, strange func() []string) {
	t.Helper()
	s = clustertest.New(t)
	s.Minor = 10
	var mu sync.Mutex
	var list []string
	s.Fail = func(r *http.Request) (int, string) {
		served := false
		for _, prefix := range []string{"/healthz", "/version", "/api/v1/", "/apis/apps/v1/", "/apis/rbac.authorization.k8s.io/v1/"} {
			served = served || strings.HasPrefix(r.URL.Path, prefix)
		}
		code, reason := 0, ""
		switch {
		case r.URL.Path == "/livez" || r.URL.Path == "/readyz":
			return http.StatusNotFound, "NotFound" // asked first, for newer servers
		case !served:
			code, reason = http.StatusNotFound, "NotFound"
		case r.Method == http.MethodPatch && strings.Contains(r.Header.Get("Content-Type"), "apply"):
			code, reason = http.StatusUnsupportedMediaType, "UnsupportedMediaType"
		case !strings.Contains(r.Header.Get("Accept"), "application/json") && !strings.Contains(r.Header.Get("Accept"), "*/*"):
			code, reason = http.StatusNotAcceptable, "NotAcceptable"
		case r.ContentLength > 0 && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
			code, reason = http.StatusUnsupportedMediaType, "UnsupportedMediaType"
		}
		if code != 0 {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, r.Method+" "+r.URL.Path+" "+r.Header.Get("Content-Type")+" "+r.Header.Get("Accept"))
		}
		return code, reason
	}
	return s, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return list
	}
}

// TestOldServer does all that init, join and token do to a cluster against a server of v1.10.
func TestOldServer(t *testing.T) {
	s, strange := oldServer(t)
	c, ctx := s.Client(t), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	must(c.Healthy(ctx))
	named := metav1.ObjectMeta{Namespace: "kube-system", Name: "x"}
	for range 2 { // created, then found as it should be
		_, err := c.Apply(ctx, configMap(map[string]string{"a": "1"}))
		must(err)
		_, err = c.Apply(ctx, &appsv1.Deployment{ObjectMeta: named})
		must(err)
		_, err = c.Apply(ctx, &appsv1.DaemonSet{ObjectMeta: named})
		must(err)
		_, err = c.Apply(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "x"}})
		must(err)
		_, err = c.ApplyYAML(ctx, []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: flannel}\n"))
		must(err)
	}
	_, err := c.Apply(ctx, configMap(map[string]string{"a": "2"}))
	must(err)
	must(c.Delete(ctx, configMap(nil)))

	s.Put("/api/v1/nodes/n1", clustertest.Object{
		"apiVersion": "v1", "kind": "Node", "metadata": clustertest.Object{"name": "n1", "labels": clustertest.Object{corev1.LabelHostname: "n1"}},
		"status": clustertest.Object{"conditions": []any{clustertest.Object{"type": "Ready", "status": "True"}}},
	})
	must(c.PatchNode(ctx, "n1", cluster.NodePatch{
		Labels: map[string]string{"node-role.kubernetes.io/master": ""}, Taints: []cluster.Taint{{Key: "node-role.kubernetes.io/master", Effect: "NoSchedule"}},
	}))
	must(c.WaitNodeReady(ctx, "n1"))

	must(c.PutToken(ctx, cluster.Token{ID: "abcdef", Secret: "0123456789abcdef", Usages: []string{"signing"}}))
	tokens, err := c.Tokens(ctx)
	must(err)
	if len(tokens) != 1 || tokens[0].ID != "abcdef" {
		t.Errorf("tokens: %v", tokens)
	}
	must(c.DeleteToken(ctx, "abcdef"))
	if list := strange(); len(list) > 0 {
		t.Errorf("v1.10 does not know:\n%s", strings.Join(list, "\n"))
	}
	if writes := s.Writes(); len(writes) != 10 {
		t.Errorf("%d writes: %q", len(writes), writes)
	}
}
