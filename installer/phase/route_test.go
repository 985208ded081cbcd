package phase

import (
	"net"
	"strings"
	"testing"

	"kubebundle/installer/step"
)

func TestServiceRouteFile(t *testing.T) {
	m := goodHost(t)
	_, v6, err := net.ParseCIDR("fd00:77::10/64")
	if err != nil {
		t.Fatal(err)
	}
	v6.IP = net.ParseIP("fd00:77::10")
	m.FactsValue.Addresses = append(m.FactsValue.Addresses, *v6)
	s := initState(t, m, goodRuntime(), "--service-cidr", "10.96.0.0/16,fd00:10::/112")
	steps, err := ServiceRoute{}.Plan(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := steps[0].(step.File)
	if !ok || f.Path != routePath {
		t.Fatalf("got %v", steps)
	}
	golden(t, "service-route.service", string(f.Data))
}

func TestServiceRouteLeavesOutFamiliesThatTheNodeLacks(t *testing.T) {
	m := goodHost(t)
	s := initState(t, m, goodRuntime(), "--service-cidr", "10.96.0.0/16,fd00:10::/112")
	steps, err := ServiceRoute{}.Plan(t.Context(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	if f := steps[0].(step.File); strings.Contains(string(f.Data), "fd00") {
		t.Errorf("a node without IPv6 gets an IPv6 route:\n%s", f.Data)
	}
}
