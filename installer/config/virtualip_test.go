package config_test

import (
	"strings"
	"testing"
)

func TestVirtualIP(t *testing.T) {
	const head = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n"
	for _, c := range []struct {
		args, file, endpoint string
		port, router         int
	}{
		{"--vip 10.77.0.100", "", "10.77.0.100:8443", 8443, 51},
		{"--vip 10.77.0.100 --vip-router-id 7 --control-plane-endpoint 10.77.0.100:16443", "", "10.77.0.100:16443", 16443, 7},
		{"--vip 10.77.0.100 --control-plane-endpoint 10.77.0.100", "", "10.77.0.100:8443", 8443, 51},
		{"--vip 10.77.0.100 --config c.yaml", head + "controlPlaneEndpoint: 10.77.0.100:9443\n", "10.77.0.100:9443", 9443, 51},
	} {
		got, err := initArgs(t, c.file, strings.Fields(c.args)...)
		if err != nil {
			t.Errorf("%s: %v", c.args, err)
			continue
		}
		v := got.VirtualIP
		if v == nil || v.Address.String() != "10.77.0.100" || v.Port != c.port || v.RouterID != c.router || got.Cluster.ControlPlaneEndpoint != c.endpoint {
			t.Errorf("%s: %+v, endpoint %s", c.args, v, got.Cluster.ControlPlaneEndpoint)
		}
	}
	for args, want := range map[string]string{
		"--vip here":                                   `"here" is not an IP address`,
		"--vip 10.77.0.11":                             "this node's own address",
		"--vip 10.78.0.100":                            "is not on the network of this node's address 10.77.0.11/24",
		"--vip 10.77.0.100 --vip-router-id 256":        "VRRP has the numbers 1 to 255",
		"--vip 10.77.0.100 --apiserver-bind-port 8443": "port 8443 is the API server's own one",
		"--vip 10.77.0.100 --control-plane-endpoint cluster.example.com:8443": "is another address than --vip",
		"--vip 224.0.0.18": "224.0.0.18",
	} {
		if got, err := initArgs(t, "", strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want an error with %q", args, got, err, want)
		}
	}
	if got, err := initArgs(t, ""); err != nil || got.VirtualIP != nil {
		t.Errorf("without --vip: %+v, %v", got.VirtualIP, err)
	}
}
