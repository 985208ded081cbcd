package manifests

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// TestCoreDNS: probes, rules and the Corefile (facts section 7.1).
func TestCoreDNS(t *testing.T) {
	for _, v := range everyMinor() {
		c := at(t, v)
		minor := minorOf(c.Version)
		objs, err := DNS(c, true)
		if err != nil {
			t.Fatal(err)
		}
		container := objs[4].(*appsv1.Deployment).Spec.Template.Spec.Containers[0]
		ready := ""
		if container.ReadinessProbe != nil {
			ready = container.ReadinessProbe.HTTPGet.Path + ":" + container.ReadinessProbe.HTTPGet.Port.String()
		}
		if want := pick(c.Version, []row[string]{{between(14, 15), "/health:8080"}, {between(16, 33), "/ready:8181"}, {since(34), "/ready:readiness-probe"}}); ready != want {
			t.Errorf("v%s: readiness %q, want %q", v, ready, want)
		}
		file := objs[3].(*corev1.ConfigMap).Data["Corefile"]
		for directive, want := range map[string]span{
			"\n    ready\n": since(16), "proxy . ": until(13), "forward . ": since(14), "lameduck": since(17), "upstream": until(15),
			"ttl 30": since(15), "max_concurrent": since(19), "disable denial": since(32), "\n    loop\n": since(12), "\n    reload\n": since(11),
		} {
			if got := strings.Contains(file, directive); got != want.has(minor) {
				t.Errorf("v%s: Corefile has %q: %v", v, directive, got)
			}
		}
		closed := corefile(c.Version, "cluster.local", false)
		for _, l := range strings.Split(closed, "\n") {
			if l = strings.TrimSpace(l); strings.HasPrefix(l, "forward") || strings.HasPrefix(l, "proxy") {
				t.Errorf("v%s: forwards without name servers: %s", v, l)
			}
		}
	}
	c := at(t, "1.21.1")
	c.KubeDNS = true
	if _, err := DNS(c, true); err == nil || !strings.Contains(err.Error(), "CoreDNS") {
		t.Errorf("kube-dns in 1.21: %v", err)
	}
}

// TestKubeProxyFamily: kube-proxy binds in the family of the cluster.
func TestKubeProxyFamily(t *testing.T) {
	for server, want := range map[string]string{
		"https://10.0.0.1:6443": "0.0.0.0", "https://[fd00::1]:6443": "::", "https://lb.example:6443": "0.0.0.0",
	} {
		if got := kubeProxyConfig(at(t, "1.36.3"), server)["bindAddress"]; got != want {
			t.Errorf("%s: %v, want %s", server, got, want)
		}
	}
	c := at(t, "1.36.3")
	c.ServiceSubnet = "fd00::/112"
	c.KubeProxyConfig = map[string]any{"bindAddress": "fd00::9", "future": true}
	got := kubeProxyConfig(c, "https://lb.example")
	if got["bindAddress"] != "fd00::9" || got["future"] != true {
		t.Errorf("the user's document is lost: %v", got)
	}
}
