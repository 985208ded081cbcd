package hosts

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// EnvID names the environment variable that chooses one of ten labs which can stand side by side on a machine: 0 to 9.
const EnvID = "KUBEBUNDLE_LAB_ID"

const bridgeMTU = 1500

// Net is the hosts' network: a bridge with nothing behind it. The machine has an address on it, so that kubectl on the
// machine reaches the API server; nothing answers in the other direction.
type Net struct {
	Bridge  string       // kb0
	Prefix  netip.Prefix // 10.77.0.0/24
	Gateway netip.Addr   // 10.77.0.1, the machine: a gateway to nowhere
}

func newNet(id string) (Net, error) {
	if id == "" {
		id = "0"
	}
	n, err := strconv.Atoi(id)
	if err != nil || n < 0 || n > 9 {
		return Net{}, fmt.Errorf("%s is %q, want a number from 0 to 9", EnvID, id)
	}
	prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(77 + n), 0, 0}), 24)
	return Net{Bridge: "kb" + id, Prefix: prefix, Gateway: prefix.Addr().Next()}, nil
}

// firstHost is .11: the addresses below are for people.
func (n Net) firstHost() netip.Addr {
	a := n.Prefix.Addr().As4()
	a[3] = 11
	return netip.AddrFrom4(a)
}

// Spare is .250: no host gets it.
func (n Net) Spare() netip.Addr {
	a := n.Prefix.Addr().As4()
	a[3] = 250
	return netip.AddrFrom4(a)
}

func (n Net) table() string { return "kubebundle_lab_" + n.Bridge }

// guard stands where the bridge hands frames up to the machine, the only way out of the hosts' network. It counts and
// drops everything that a host sends there on its own, and lets pass the answers to what the machine asked. It hangs on
// the ingress hook because there it sees exactly these frames, whatever the machine's own firewall and br_netfilter do.
// Link-local multicast (VRRP among it) is for the hosts' own network and no router forwards it: it is dropped and not counted.
func (n Net) guard() string {
	return strings.NewReplacer("TABLE", n.table(), "BRIDGE", n.Bridge, "PREFIX", n.Prefix.String(), "GATEWAY", n.Gateway.String()).Replace(
		`table netdev TABLE {
	counter outside { comment "IPv4 packets to an address outside the hosts' network" }
	counter machine { comment "new connections and requests to the machine itself" }
	counter arp_outside { comment "ARP requests for an address outside the hosts' network" }
	counter ip6_outside { comment "IPv6 packets that are not link-local multicast" }
	chain ingress {
		type filter hook ingress device BRIDGE priority 0; policy accept;
		ip daddr 224.0.0.0/24 drop
		ip daddr != PREFIX counter name outside drop
		ip daddr GATEWAY tcp flags & (syn|ack) == syn counter name machine drop
		ip daddr GATEWAY meta l4proto udp counter name machine drop
		ip daddr GATEWAY icmp type echo-request counter name machine drop
		arp daddr ip != PREFIX counter name arp_outside drop
		ip6 daddr ff02::/16 drop
		meta protocol ip6 counter name ip6_outside drop
	}
}
`)
}

// ensureNetwork makes the bridge and the guard if they are not there.
func (l *Lab) ensureNetwork(ctx context.Context) error {
	if _, err := os.Stat("/sys/class/net/" + l.Net.Bridge); err != nil {
		if _, err := run(ctx, "ip", "link", "add", l.Net.Bridge, "mtu", strconv.Itoa(bridgeMTU), "type", "bridge", "forward_delay", "0"); err != nil {
			return err
		}
		// No IPv6 on the machine's side: its router solicitations would blur the counters.
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+l.Net.Bridge+"/disable_ipv6", []byte("1"), 0o644); err != nil {
			return fmt.Errorf("disable IPv6 on %s: %w", l.Net.Bridge, err)
		}
	}
	if _, err := run(ctx, "ip", "addr", "replace", fmt.Sprintf("%s/%d", l.Net.Gateway, l.Net.Prefix.Bits()), "dev", l.Net.Bridge); err != nil {
		return err
	}
	if _, err := run(ctx, "ip", "link", "set", l.Net.Bridge, "up"); err != nil {
		return err
	}
	if _, err := run(ctx, "nft", "list", "table", "netdev", l.Net.table()); err == nil {
		return nil
	}
	f, err := os.CreateTemp("", "guard-*.nft")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // a temporary file
	if _, err := f.WriteString(l.Net.guard()); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	_, err = run(ctx, "nft", "-f", f.Name())
	return err
}

// Escapes is how many packets hosts have sent out of their network since the bridge was made.
type Escapes struct {
	Outside, Machine, ARP, IPv6 int64
}

// Total of all kinds.
func (e Escapes) Total() int64 { return e.Outside + e.Machine + e.ARP + e.IPv6 }

func (e Escapes) String() string {
	return fmt.Sprintf("%d packets left the hosts' network (%d outside, %d to the machine, %d ARP, %d IPv6)",
		e.Total(), e.Outside, e.Machine, e.ARP, e.IPv6)
}

// Escapes reads the guard's counters.
func (l *Lab) Escapes(ctx context.Context) (Escapes, error) {
	var e Escapes
	out, err := run(ctx, "nft", "-j", "list", "counters", "table", "netdev", l.Net.table())
	if err != nil {
		return e, err
	}
	var doc struct {
		Nftables []struct {
			Counter *struct {
				Name    string `json:"name"`
				Packets int64  `json:"packets"`
			} `json:"counter"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		return e, fmt.Errorf("read the guard's counters: %w", err)
	}
	seen := 0
	for _, o := range doc.Nftables {
		if o.Counter == nil {
			continue
		}
		seen++
		switch o.Counter.Name {
		case "outside":
			e.Outside = o.Counter.Packets
		case "machine":
			e.Machine = o.Counter.Packets
		case "arp_outside":
			e.ARP = o.Counter.Packets
		case "ip6_outside":
			e.IPv6 = o.Counter.Packets
		}
	}
	if seen != 4 {
		return e, fmt.Errorf("read the guard's counters: found %d of 4 in %s", seen, strings.TrimSpace(out))
	}
	return e, nil
}

func (l *Lab) removeNetwork(ctx context.Context) error {
	if _, err := run(ctx, "nft", "list", "table", "netdev", l.Net.table()); err == nil {
		if _, err := run(ctx, "nft", "delete", "table", "netdev", l.Net.table()); err != nil {
			return err
		}
	}
	if _, err := os.Stat("/sys/class/net/" + l.Net.Bridge); err == nil {
		if _, err := run(ctx, "ip", "link", "del", l.Net.Bridge); err != nil {
			return err
		}
	}
	return nil
}
