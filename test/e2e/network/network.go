// Package network: a pod on the worker reaches a Service whose pod is on the control plane, by name; so do pods on the control
// plane; and the hosts themselves reach Services although they have no default route.
package network

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/test/e2e/suite"
)

// Test asks the web server from every node.
func Test(t *testing.T, s *suite.Suite) {
	web := suite.Get[corev1.PodList](t, s, "pods", "-n", "lab", "-l", "app=web")
	if len(web.Items) != 1 || web.Items[0].Spec.NodeName != s.Server().Name {
		t.Fatalf("want one web pod on %s, have %d", s.Server().Name, len(web.Items))
	}
	want := "hello from " + s.Server().Name
	for _, h := range s.Cluster.Hosts {
		// A pod is Ready before the kube-proxies of all nodes know it: until then a Service without endpoints refuses, on any cluster.
		suite.Eventually(t, 30*time.Second, func() error {
			_, err := s.Shell(t, h.Name, "nslookup kubernetes.default.svc.cluster.local")
			return err
		})
		for _, name := range []string{"web", "web.lab", "web.lab.svc.cluster.local", web.Items[0].Status.PodIP + ":8080"} {
			out, err := s.Shell(t, h.Name, "timeout 5 wget -q -O - http://"+name)
			if err != nil || strings.TrimSpace(out) != want {
				t.Errorf("pod on %s asks http://%s: got %q, %v; want %q", h.Name, name, out, err, want)
			}
		}
		out, err := s.Shell(t, h.Name, "nslookup kubernetes.default.svc.cluster.local")
		if err != nil || !strings.Contains(out, "10.96.0.1") {
			t.Errorf("pod on %s looks up kubernetes.default: %q, %v", h.Name, out, err)
		}
	}
	fromHosts(t, s)
}

// fromHosts reaches the API server by its service address from hosts without a default route: kube-proxy alone does not
// make that work there.
func fromHosts(t *testing.T, s *suite.Suite) {
	t.Helper()
	for _, h := range s.Cluster.Hosts {
		routes, err := h.Output(t.Context(), "ip", "route", "show", "default")
		if err != nil || strings.TrimSpace(routes) != "" {
			t.Errorf("%s has a default route: %q, %v", h.Name, routes, err)
		}
		if err := h.Run(t.Context(), "sh", "-c", "timeout 5 socat /dev/null TCP4:10.96.0.1:443"); err != nil {
			t.Errorf("%s does not reach the API server by its service address: %v", h.Name, err)
		}
	}
}
