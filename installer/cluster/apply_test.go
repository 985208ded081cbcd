package cluster_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubebundle/installer/cluster"
	"kubebundle/installer/cluster/clustertest"
)

func configMap(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kubeadm-config"}, Data: data}
}

const configMapPath = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"

func applied(t *testing.T, c *cluster.Client, want bool, o *corev1.ConfigMap) {
	t.Helper()
	if ok, err := c.Applied(t.Context(), o); err != nil || ok != want {
		t.Errorf("applied: %t, %v", ok, err)
	}
}

func TestApplyCreatesUpdatesAndLeavesAlone(t *testing.T) {
	s := clustertest.New(t)
	c := s.Client(t)
	o := configMap(map[string]string{"a": "1"})
	applied(t, c, false, o)
	if changed, err := c.Apply(t.Context(), o); err != nil || !changed {
		t.Fatalf("create: %t, %v", changed, err)
	}
	applied(t, c, true, o)

	// Somebody adds a key and a label; ours still is applied, and stays when we change ours.
	live := s.Get(configMapPath)
	live["data"].(map[string]any)["theirs"] = "x"
	live["metadata"].(map[string]any)["labels"] = map[string]any{"theirs": "y"}
	s.Put(configMapPath, live)
	applied(t, c, true, o)
	o.Data["a"] = "2"
	applied(t, c, false, o)
	if changed, err := c.Apply(t.Context(), o); err != nil || !changed {
		t.Fatalf("update: %t, %v", changed, err)
	}
	if changed, err := c.Apply(t.Context(), o); err != nil || changed {
		t.Fatalf("a second time: %t, %v", changed, err)
	}
	got := s.Get(configMapPath)
	if diff := cmp.Diff(map[string]any{"a": "2", "theirs": "x"}, got["data"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"POST " + configMapPath, "PUT " + configMapPath}, s.Writes()); diff != "" {
		t.Error(diff)
	}
	if err := c.Delete(t.Context(), o); err != nil || s.Get(configMapPath) != nil {
		t.Errorf("delete: %v", err)
	}
	if err := c.Delete(t.Context(), o); err != nil {
		t.Errorf("delete what is not there: %v", err)
	}
}

// A server fills in much that we do not say; that must not look like a difference for ever.
func TestDefaultsAreNoDifference(t *testing.T) {
	s := clustertest.New(t)
	s.Default = func(obj clustertest.Object) {
		spec, _ := obj["spec"].(map[string]any)
		if obj["kind"] == "Service" && spec["clusterIP"] == nil {
			spec["clusterIP"], spec["sessionAffinity"] = "10.96.0.77", "None"
		}
		if obj["kind"] != "Deployment" {
			return
		}
		spec["progressDeadlineSeconds"] = 600
		spec["strategy"] = map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxSurge": "25%"}}
		container := spec["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
		container["terminationMessagePath"] = "/dev/termination-log"
		container["imagePullPolicy"] = "IfNotPresent"
	}
	c := s.Client(t)
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "kube-dns"}},
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Name: "coredns", Image: "registry.k8s.io/coredns/coredns:v1.12.1",
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"memory": resource.MustParse("170Mi")}},
			}}}},
		},
	}
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "dns"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"k8s-app": "kube-dns"}, Ports: []corev1.ServicePort{{Name: "dns", Port: 53}}},
	}
	if _, err := c.Apply(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Apply(t.Context(), svc); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.Applied(t.Context(), d); err != nil || !ok {
		t.Errorf("Deployment: %t, %v", ok, err)
	}
	if ok, err := c.Applied(t.Context(), svc); err != nil || !ok {
		t.Errorf("Service: %t, %v", ok, err)
	}
	svc.Spec.Ports[0].Port = 5353
	if changed, err := c.Apply(t.Context(), svc); err != nil || !changed {
		t.Errorf("Service: %t, %v", changed, err)
	}
	got := s.Get("/api/v1/namespaces/kube-system/services/dns")["spec"].(map[string]any)
	if got["clusterIP"] != "10.96.0.77" {
		t.Errorf("the Service lost its address: %v", got)
	}
	d.Spec.Template.Spec.Containers[0].Image = "registry.k8s.io/coredns/coredns:v1.13.1"
	if ok, err := c.Applied(t.Context(), d); err != nil || ok {
		t.Errorf("Deployment with another image: %t, %v", ok, err)
	}
}

func TestApplyWaitsForWhatPasses(t *testing.T) {
	for name, answer := range map[string]struct {
		code   int
		reason string
	}{
		"conflict": {http.StatusConflict, "Conflict"}, "starting": {http.StatusServiceUnavailable, "ServiceUnavailable"},
		"rights": {http.StatusForbidden, "Forbidden"}, "tokens": {http.StatusUnauthorized, "Unauthorized"}, "webhook": {http.StatusInternalServerError, "InternalError"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := clustertest.New(t)
			var n atomic.Int32
			s.Fail = func(r *http.Request) (int, string) {
				if r.Method == http.MethodPost && n.Add(1) == 1 {
					return answer.code, answer.reason
				}
				return 0, ""
			}
			if changed, err := s.Client(t).Apply(t.Context(), configMap(nil)); err != nil || !changed || n.Load() != 2 {
				t.Errorf("changed %t after %d attempts: %v", changed, n.Load(), err)
			}
		})
	}
}

func TestApplyGivesUpWhenWaitingDoesNotHelp(t *testing.T) {
	s := clustertest.New(t)
	s.Fail = func(r *http.Request) (int, string) {
		if r.Method == http.MethodPost {
			return http.StatusUnprocessableEntity, "Invalid"
		}
		return 0, ""
	}
	begin := time.Now()
	_, err := s.Client(t).Apply(t.Context(), configMap(nil))
	if err == nil || !strings.Contains(err.Error(), "apply ConfigMap kube-system/kubeadm-config: ") {
		t.Errorf("error: %v", err)
	}
	if time.Since(begin) > 10*time.Second {
		t.Error("it waited for an invalid object to become valid")
	}
}

// When the time is over, the error is the server's, not the clock's.
func TestApplySaysWhyItWaited(t *testing.T) {
	s := clustertest.New(t)
	s.Fail = func(*http.Request) (int, string) { return http.StatusForbidden, "Forbidden" }
	ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
	defer cancel()
	_, err := s.Client(t).Apply(ctx, configMap(nil))
	if err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("error: %v", err)
	}
}

func TestApplyReplacesWhatContradicts(t *testing.T) {
	s := clustertest.New(t)
	const at = "/apis/apps/v1/namespaces/kube-system/deployments/d"
	s.Put(at, clustertest.Object{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "d", "namespace": "kube-system", "finalizers": []any{"f"}},
		"spec": map[string]any{"strategy": map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxSurge": "25%"}}}, "status": map[string]any{"replicas": 2},
	})
	var puts atomic.Int32
	s.Fail = func(r *http.Request) (int, string) {
		if r.Method == http.MethodPut && puts.Add(1) == 1 { // a real server: rollingUpdate may not be specified when type is Recreate
			return http.StatusUnprocessableEntity, "Invalid"
		}
		return 0, ""
	}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "d"}, Spec: appsv1.DeploymentSpec{Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}}}
	if changed, err := s.Client(t).Apply(t.Context(), d); err != nil || !changed {
		t.Fatalf("%t, %v", changed, err)
	}
	got := s.Get(at)
	strategy := got["spec"].(map[string]any)["strategy"].(map[string]any)
	if strategy["rollingUpdate"] != nil || got["status"] == nil || got["metadata"].(map[string]any)["finalizers"] == nil {
		t.Errorf("stored: %v", got)
	}
}

const manifest = `# a CNI plugin, in the order in which people write them
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: flannel, namespace: flannel}
spec: {selector: {matchLabels: {app: flannel}}}
---
apiVersion: example.org/v1
kind: Pool
metadata: {name: default}
spec: {size: 3}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Secret
  metadata: {name: s, namespace: flannel}
  stringData: {password: hunter2}
- apiVersion: apiextensions.k8s.io/v1
  kind: CustomResourceDefinition
  metadata: {name: pools.example.org}
---
# nothing
---
apiVersion: v1
kind: Namespace
metadata: {name: flannel}
`

func TestApplyYAML(t *testing.T) {
	s := clustertest.New(t)
	s.Default = func(obj clustertest.Object) {
		if obj["kind"] == "CustomResourceDefinition" { // established some time after it was made
			go func() {
				time.Sleep(300 * time.Millisecond)
				s.AddKind("example.org", "v1", "pools", "Pool", false)
			}()
		}
	}
	c := s.Client(t)
	if ok, err := c.AppliedYAML(t.Context(), []byte(manifest)); err != nil || ok {
		t.Errorf("before: %t, %v", ok, err)
	}
	n, err := c.ApplyYAML(t.Context(), []byte(manifest))
	if err != nil || n != 5 {
		t.Fatalf("%d objects: %v", n, err)
	}
	want := []string{
		"POST /api/v1/namespaces/flannel", "POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions/pools.example.org",
		"POST /apis/apps/v1/namespaces/flannel/daemonsets/flannel", "POST /apis/example.org/v1/pools/default", "POST /api/v1/namespaces/flannel/secrets/s",
	}
	if diff := cmp.Diff(want, s.Writes()); diff != "" {
		t.Error(diff)
	}
	if got := s.Get("/api/v1/namespaces/flannel/secrets/s")["data"]; got.(map[string]any)["password"] != "aHVudGVyMg==" {
		t.Errorf("secret: %v", got)
	}
	if ok, err := c.AppliedYAML(t.Context(), []byte(manifest)); err != nil || !ok {
		t.Errorf("after: %t, %v", ok, err)
	}
	if n, err := c.ApplyYAML(t.Context(), []byte(manifest)); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
}

func TestParseManifestRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"apiVersion: v1\nkind: [":                 "document 1",
		"apiVersion: v1\nkind: Pod\nmetadata: {}": "Pod: it has no name",
		"a: 1": "no apiVersion or no kind",
		"apiVersion: v1\nkind: List\nitems: [{kind: Pod}]":         "item 1",
		"apiVersion: v1\nkind: List\nitems: [1]":                   "document 1",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n- b": "document 2",
	} {
		if _, err := cluster.ParseManifest([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(manifest))
	f.Add([]byte("{apiVersion: v1, kind: Pod, metadata: {name: a}}"))
	f.Add([]byte("kind: List\napiVersion: v1\nitems: [{}]\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := cluster.ParseManifest(data)
		if err != nil {
			return
		}
		for _, o := range objects {
			if o.GetName() == "" || o.GetKind() == "" {
				t.Errorf("an object without name or kind: %v", o.Object)
			}
		}
	})
}

func TestClusterScope(t *testing.T) {
	s := clustertest.New(t)
	if _, err := s.Client(t).Apply(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "kubeadm:get-nodes"}}); err != nil {
		t.Fatal(err)
	}
	if s.Get("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/kubeadm:get-nodes") == nil {
		t.Errorf("written to %v", s.Writes())
	}
}

// The order of a manifest is kept, but for what others need and for what stands in their way until its own pods run.
func TestParseManifestOrder(t *testing.T) {
	var in strings.Builder
	for _, kind := range []string{"ValidatingWebhookConfiguration", "Deployment", "APIService", "Thing", "CustomResourceDefinition", "Service", "Namespace", "MutatingWebhookConfiguration", "Pod"} {
		in.WriteString("---\napiVersion: x/v1\nkind: " + kind + "\nmetadata: {name: a}\n")
	}
	objects, err := cluster.ParseManifest([]byte(in.String()))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range objects {
		got = append(got, o.GetKind())
	}
	want := []string{"Namespace", "CustomResourceDefinition", "Deployment", "Thing", "Service", "Pod", "ValidatingWebhookConfiguration", "APIService", "MutatingWebhookConfiguration"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// A chart cannot know the scope of a kind that others define, so its namespace may stand in an object that has none.
func TestClusterScopedObjectsHaveNoNamespace(t *testing.T) {
	s := clustertest.New(t)
	c := s.Client(t)
	const manifest = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a, namespace: apps}\nrules: []\n"
	if n, err := c.ApplyYAML(t.Context(), []byte(manifest)); err != nil || n != 1 {
		t.Fatalf("%d objects written, %v", n, err)
	}
	live := s.Get("/apis/rbac.authorization.k8s.io/v1/clusterroles/a")
	if meta, _ := live["metadata"].(map[string]any); meta["namespace"] != nil {
		t.Errorf("the server got %v", meta)
	}
	if ok, err := c.AppliedYAML(t.Context(), []byte(manifest)); err != nil || !ok {
		t.Errorf("applied: %v, %v", ok, err)
	}
}
