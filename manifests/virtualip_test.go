package manifests

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestVirtualIP holds the configurations and the pods of the oldest and of a new version, for a first and for a third control plane.
func TestVirtualIP(t *testing.T) {
	for _, r := range releases {
		if r.version != "1.10.6" && r.version != "1.28.15" {
			continue
		}
		c, n := r.cluster(), controlPlane()
		c.Images["keepalived"], c.Images["haproxy"] = "docker.io/osixia/keepalived:2.0.20", "docker.io/library/haproxy:2.8.9"
		v := &VirtualIP{Address: net.ParseIP("10.0.0.100"), Port: 8443, RouterID: 51}
		first, err := VirtualIPFiles(c, n, v, "eth0")
		if err != nil {
			t.Fatal(err)
		}
		if a, iface := HeldAddress(first[3].Data); !a.Equal(v.Address) || iface != "eth0" {
			t.Errorf("reset would take %v from %q", a, iface)
		}
		v.Servers = []string{"10.0.0.7:6443", "10.0.0.8:6443"}
		third, err := VirtualIPFiles(c, n, v, "eth0")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]byte{}
		for _, f := range first {
			got[filepath.Base(f.Path)] = append(fmt.Appendf(nil, "# %s %04o\n", f.Path, f.Mode), f.Data...)
		}
		got["haproxy-third.cfg"] = third[0].Data
		compareDir(t, filepath.Join("testdata", "virtual-ip-"+r.version), got)
	}
}

// What the first control plane keeps is what the next one reads, with all API servers that were there.
func TestVirtualIPTravels(t *testing.T) {
	n := controlPlane()
	v := &VirtualIP{Address: net.ParseIP("10.0.0.100"), Port: 8443, RouterID: 51, Servers: []string{"10.0.0.7:6443"}}
	for range 2 { // whoever runs init once more adds nothing
		cm := VirtualIPObjects(n, v)[0].(*corev1.ConfigMap)
		got, err := ParseVirtualIP(cm)
		if err != nil || !got.Address.Equal(v.Address) || got.Port != 8443 || got.RouterID != 51 ||
			!slices.Equal(got.Servers, []string{"10.0.0.7:6443", n.apiServer()}) {
			t.Fatalf("%+v, %v", got, err)
		}
		v = got
	}
	for _, bad := range []map[string]string{
		{},
		{"address": "10.0.0.100", "port": "0", "routerID": "51"},
		{"address": "10.0.0.100", "port": "8443", "routerID": "256"},
		{"address": "vip", "port": "8443", "routerID": "51"},
		{"address": "10.0.0.100", "port": "8443", "routerID": "51", "servers": "10.0.0.7:6443\tbackup"},
		{"address": "10.0.0.100", "port": "8443", "routerID": "51", "servers": "host:6443"},
	} {
		if got, err := ParseVirtualIP(&corev1.ConfigMap{Data: bad}); err == nil {
			t.Errorf("%v is read as %+v", bad, got)
		}
	}
}

func TestVirtualIPNeedsImages(t *testing.T) {
	r := releases[0]
	_, err := VirtualIPFiles(r.cluster(), controlPlane(), &VirtualIP{Address: net.ParseIP("10.0.0.100"), Port: 8443, RouterID: 51}, "eth0")
	if err == nil || !strings.Contains(err.Error(), "no image for haproxy") {
		t.Errorf("%v", err)
	}
}
