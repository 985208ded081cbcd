package phase

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/bundle"
	"kubebundle/installer/cluster"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

func withVirtualIPImages(s *State) *State {
	s.Contract.Images = append(s.Contract.Images,
		bundle.Image{Ref: "docker.io/osixia/keepalived:2.0.20", Component: "keepalived"}, bundle.Image{Ref: "docker.io/library/haproxy:2.8.9", Component: "haproxy"})
	return s
}

func vipHost(t *testing.T) *host.Memory {
	t.Helper()
	m := goodHost(t)
	m.FactsValue.Interfaces = map[string]string{m.FactsValue.Addresses[0].IP.String(): "ens3"}
	return m
}

func TestVirtualIPOfInit(t *testing.T) {
	m := vipHost(t)
	s := withVirtualIPImages(initState(t, m, goodRuntime(), "--vip", "10.0.0.100"))
	installUnits(t, m, s)
	steps, text := planAll(t, InitPhases(), s, m)
	for _, want := range []string{
		"virtual-ip: write /etc/keepalived/keepalived.conf 0644", "virtual-ip: write /etc/haproxy/haproxy.cfg 0644",
		"virtual-ip: write /etc/kubernetes/manifests/keepalived.yaml 0600", "upload-virtual-ip: apply virtual IP 10.0.0.100:8443",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan lacks %q:\n%s", want, text)
		}
	}
	for _, st := range steps {
		f, ok := st.(step.File)
		switch {
		case ok && f.Path == "/etc/keepalived/keepalived.conf" && !strings.Contains(string(f.Data), "interface ens3\n"):
			t.Errorf("keepalived's interface:\n%s", f.Data)
		case ok && f.Path == "/etc/kubernetes/admin.conf" && !strings.Contains(string(f.Data), "https://10.0.0.100:8443"):
			t.Error("admin.conf goes elsewhere")
		}
	}
	// Once more, with everything there: preflight knows its own.
	applyFiles(t, m, steps, -1)
	again := withVirtualIPImages(initState(t, m, goodRuntime(), "--vip", "10.0.0.100"))
	problems, err := CheckHost(t.Context(), again, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.Contains(p.Message, "haproxy") || strings.Contains(p.Message, "keepalived") {
			t.Errorf("a second run meets %s: %s", p.Check, p.Message)
		}
	}
}

func TestVirtualIPWithoutImages(t *testing.T) {
	m := vipHost(t)
	problems, err := CheckHost(t.Context(), initState(t, m, goodRuntime(), "--vip", "10.0.0.100"), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if p.Check == "VirtualIP" && p.Level == LevelError && strings.Contains(p.Advice, "bundler build --vip") {
			return
		}
	}
	t.Errorf("preflight does not miss the images: %v", problems)
}

// vipCluster is a cluster with a virtual IP.
type vipCluster struct {
	*uploadingCluster

	cm *corev1.ConfigMap
}

func (v vipCluster) VirtualIP(_ context.Context, _ *cluster.ClusterInfo, name string) (*corev1.ConfigMap, error) {
	if name != manifests.VirtualIPConfigMap {
		return nil, errors.New("another name")
	}
	return v.cm, nil
}

func TestVirtualIPOfJoin(t *testing.T) {
	u, m := newUploadingCluster(t, sharedEndpoint), secondHost(t)
	m.FactsValue.Interfaces = map[string]string{m.FactsValue.Addresses[0].IP.String(): "ens4"}
	cm := &corev1.ConfigMap{Data: map[string]string{"address": "10.0.0.100", "port": "8443", "routerID": "51", "servers": "10.0.0.7:6443"}}
	s := withVirtualIPImages(joinState(t, m, u.fakeCluster, u.ca, "--control-plane", "--certificate-key", u.key).with(vipCluster{u, cm}))
	steps, _ := planAll(t, JoinControlPlanePhases(), s, m)
	found := 0
	for _, st := range steps {
		switch x := st.(type) {
		case step.File:
			if x.Path == "/etc/haproxy/haproxy.cfg" && strings.Contains(string(x.Data), "server other-1 10.0.0.7:6443\n") {
				found++
			}
		case step.Objects:
			for _, o := range x.List {
				if got, ok := o.(*corev1.ConfigMap); ok && got.Name == manifests.VirtualIPConfigMap && strings.HasPrefix(got.Data["servers"], "10.0.0.7:6443 10.0.0.") {
					found++
				}
			}
		}
	}
	if found != 2 {
		t.Errorf("found %d of HAProxy's other server and the kept list", found)
	}
}
