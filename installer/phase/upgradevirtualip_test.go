package phase

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"kubebundle/installer/cluster/clustertest"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

// sharing lets an upgradable node hold a virtual IP together with another one.
func sharing(t *testing.T) (*host.Memory, *clustertest.Server) {
	t.Helper()
	m, srv := upgradable(t)
	own := m.FactsValue.Addresses[0]
	m.FactsValue.Interfaces = map[string]string{own.IP.String(): "ens3"}
	write(t, m, "/etc/kubernetes/manifests/keepalived.yaml", "old")
	srv.Put(kubeSystem+"configmaps/"+manifests.VirtualIPConfigMap, clustertest.Object{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": clustertest.Object{"name": manifests.VirtualIPConfigMap, "namespace": "kube-system"},
		"data": clustertest.Object{"address": "10.0.0.100", "port": "8443", "routerID": "51", "servers": own.IP.String() + ":6443 10.0.0.9:6443"},
	})
	return m, srv
}

// A node gives the address away before anything of it stops, and may have it back when all of it runs.
func TestUpgradeLeavesTheVirtualIP(t *testing.T) {
	m, srv := sharing(t)
	steps, text := planAll(t, UpgradePhases(), withVirtualIPImages(upgradeState(t, srv, upgradeTo)), m)
	at := -1
	for _, want := range []string{
		"virtual-ip/leave: write /etc/keepalived/leaving", "virtual-ip/leave: wait for another control plane to take the virtual IP 10.0.0.100",
		"virtual-ip/upgrade: write /etc/haproxy/haproxy.cfg", "virtual-ip/upgrade: wait for haproxy to run as its manifest says", "control-plane: ",
		"kubelet-config: ", "virtual-ip/return: wait for HAProxy", "virtual-ip/return: remove /etc/keepalived/leaving", "post-upgrade: ",
	} {
		next := strings.Index(text, want)
		if next < 0 || next < at {
			t.Errorf("%q is at %d, what is before it at %d, in\n%s", want, next, at, text)
		}
		at = max(at, next)
	}
	note := false
	for _, st := range steps {
		if f, ok := st.(step.File); ok && f.Path == pendingFile {
			note = strings.Contains(string(f.Data), "/etc/haproxy/haproxy.cfg") && strings.Contains(string(f.Data), "/etc/kubernetes/manifests/keepalived.yaml")
		}
		if f, ok := tended(st).(step.File); ok && f.Path == "/etc/haproxy/haproxy.cfg" && !strings.Contains(string(f.Data), "server other-2 10.0.0.9:6443\n") {
			t.Errorf("HAProxy does not learn of the other API server:\n%s", f.Data)
		}
	}
	if !note {
		t.Error("the way back does not know of HAProxy and keepalived")
	}
}

// A bundle without the images leaves the pods as they are, and the address moves all the same.
func TestUpgradeWithoutVirtualIPImages(t *testing.T) {
	m, srv := sharing(t)
	_, text := planAll(t, UpgradePhases(), upgradeState(t, srv, upgradeTo), m)
	if strings.Contains(text, "virtual-ip/upgrade") || !strings.Contains(text, "virtual-ip/leave: write") {
		t.Errorf("planned:\n%s", text)
	}
}

func TestAddressGone(t *testing.T) {
	m := goodHost(t)
	vip := net.ParseIP("10.0.0.100")
	w := AddressGone(vip)
	target := &step.Target{Host: m}
	if err := w.Check(t.Context(), target); err != nil {
		t.Error(err)
	}
	m.FactsValue.Addresses = append(slices.Clone(m.FactsValue.Addresses), net.IPNet{IP: vip, Mask: net.CIDRMask(32, 32)})
	if err := w.Check(context.WithoutCancel(t.Context()), target); err == nil {
		t.Error("this node holds it still")
	}
}

func tended(st step.Step) step.Step {
	if in, ok := st.(step.Tended); ok {
		return in.Step
	}
	return st
}
