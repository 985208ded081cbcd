package installer_test

import (
	"net"
	"slices"
	"strings"
	"testing"

	"kubebundle/installer"
	"kubebundle/manifests"
)

// A node that holds the virtual IP gives it up: keepalived, killed with its pod, would leave it on the interface.
// And the bridge of its pods goes.
func TestResetTakesTheVirtualIP(t *testing.T) {
	m := installed(t)
	for p, text := range map[string]string{
		manifests.KeepalivedConf:   "vrrp_instance kubernetes {\n    interface ens3\n    virtual_ipaddress {\n        10.0.0.100/32\n    }\n}\n",
		manifests.VirtualIPLeaving: "",

		"/sys/class/net/cni0/bridge/bridge_id": "8000.000000000000\n",
	} {
		if err := m.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.FactsValue.Addresses = append(m.FactsValue.Addresses, net.IPNet{IP: net.ParseIP("10.0.0.100"), Mask: net.CIDRMask(32, 32)})
	j, err := installer.OpenJournal(m)
	if err != nil {
		t.Fatal(err)
	}
	var did []string
	r := resetter(m, j)
	r.Events = func(ev installer.Event) {
		if ev.State == installer.Planned {
			did = append(did, ev.Phase+": "+ev.Step)
		}
	}
	if _, err := r.Run(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(did, func(s string) bool {
		return strings.HasPrefix(s, "cleanup-node/containers: take the virtual IP from ens3: ip address del 10.0.0.100/32 dev ens3")
	})
	if i < 0 || !slices.Contains(did, "cleanup-node/sweep: remove "+manifests.VirtualIPLeaving) ||
		!slices.Contains(did, "cleanup-node/containers: remove the bridge of the pods: ip link delete cni0") {
		t.Errorf("reset would:\n%s", strings.Join(did, "\n"))
	}
}
