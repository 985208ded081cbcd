package host

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLocalFacts(t *testing.T) {
	f, err := NewLocal().Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f.Hostname == "" || f.OS != "linux" || f.Kernel == "" || f.CPUs < 1 || f.MemoryBytes < 64<<20 || f.CgroupVersion == 0 {
		t.Errorf("facts %+v", f)
	}
}

func TestLocalRun(t *testing.T) {
	l := NewLocal()
	out, err := l.Run(t.Context(), Command{Name: "cat", Stdin: []byte("in")})
	if err != nil || string(out) != "in" {
		t.Errorf("cat gives %q, %v", out, err)
	}
	_, err = l.Run(t.Context(), Command{Name: "sh", Args: []string{"-c", "echo out; echo 'no luck' >&2; exit 3"}})
	var ce *CommandError
	var ee *exec.ExitError
	if !errors.As(err, &ce) || !errors.As(err, &ee) || ee.ExitCode() != 3 {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"no luck", "out", `sh -c 'echo out; echo '\''no luck'\'' >&2; exit 3'`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if _, err := l.Run(t.Context(), Command{Name: "no-such-program"}); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("missing program: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := l.Run(ctx, Command{Name: "sleep", Args: []string{"60"}}); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 20*time.Second {
		t.Errorf("a command outlived its context: %v", err)
	}
}

func TestPortFree(t *testing.T) {
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	if free, err := NewLocal().PortFree(port); err != nil || free {
		t.Errorf("a busy port is free: %v %v", free, err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if free, err := NewLocal().PortFree(port); err != nil || !free {
		t.Errorf("a free port is busy: %v %v", free, err)
	}
}

func TestParseUnitState(t *testing.T) {
	wall := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	mono := time.Hour
	for name, c := range map[string]struct {
		out  string
		want UnitState
	}{
		"running": {
			"LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\nNeedDaemonReload=no\n" +
				"ActiveEnterTimestampMonotonic=3540000000\nExecMainStartTimestampMonotonic=3539000000\n",
			UnitState{Exists: true, Enabled: true, Active: true, Sub: "running", Since: wall.Add(-61 * time.Second)},
		},
		"crash loop": {
			"LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nUnitFileState=disabled\nNeedDaemonReload=yes\nActiveEnterTimestampMonotonic=0\n",
			UnitState{Exists: true, Sub: "auto-restart", NeedReload: true},
		},
		"missing": {"LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\n", UnitState{Sub: "dead"}},
		"old systemd without the property": {
			"LoadState=loaded\nActiveState=active\nSubState=exited\nUnitFileState=static\nActiveEnterTimestampMonotonic=3600000000\n",
			UnitState{Exists: true, Enabled: true, Active: true, Sub: "exited", Since: wall},
		},
		"empty": {"", UnitState{}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, parseUnitState(c.out, wall, mono)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestParseProc(t *testing.T) {
	if n, err := parseMemTotal("MemTotal:        2048 kB\nMemFree: 1 kB\n"); err != nil || n != 2<<20 {
		t.Errorf("memory %d %v", n, err)
	}
	if _, err := parseMemTotal("MemTotal: many\n"); err == nil {
		t.Error("bad memory was accepted")
	}
	if d := cmp.Diff([]string{"/dev/sda2"}, parseSwaps("Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 1 0 -2\n")); d != "" {
		t.Error(d)
	}
	if got := parseSwaps("Filename\tType\n"); got != nil {
		t.Errorf("swaps %v", got)
	}
	if d := cmp.Diff([]string{"10.0.0.2", "fd00::2"}, parseNameservers("# x\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nsearch a\nnameserver fd00::2 # y\nnameserver\n")); d != "" {
		t.Error(d)
	}
	got := parseModules("br_netfilter 32768 0 - Live 0x0\n", "kernel/fs/overlayfs/overlay.ko\nkernel/net/ipv4/netfilter/ip-tables.ko\n")
	if d := cmp.Diff(map[string]bool{"br_netfilter": true, "overlay": true, "ip_tables": true}, got); d != "" {
		t.Error(d)
	}
}

func TestDefaultRoute(t *testing.T) {
	const v4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n" +
		"lo\t00000000\t00000000\t0201\t0\t0\t1\t00000000\t0\t0\t0\n" +
		"eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n" +
		"eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"
	if got := defaultRoute4(v4); got != "eth0" {
		t.Errorf("IPv4 default route by %q", got)
	}
	if got := defaultRoute4("Iface\tDestination\n"); got != "" {
		t.Errorf("no route by %q", got)
	}
	const zero = "00000000000000000000000000000000"
	v6 := zero + " 00 " + zero + " 00 " + zero + " ffffffff 00000001 00000000 00200200       lo\n" +
		zero + " 00 " + zero + " 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n"
	if got := defaultRoute6(v6); got != "eth0" {
		t.Errorf("IPv6 default route by %q", got)
	}
}

func TestClusterInterface(t *testing.T) {
	for name, want := range map[string]bool{
		"eth0": false, "br-lan": false, "br-0123456789ab": true, "br0": false, "docker0": true, "cni0": true, "flannel.1": true, "bond0.100": false, "ens3": false,
	} {
		if got := isClusterInterface(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestCommandString(t *testing.T) {
	c := Command{Name: "env", Args: []string{"a b", "it's", "", "--x=/y"}, Env: []string{"K=v w"}, Stdin: []byte("hunter2")}
	if got, want := c.String(), `K='v w' env 'a b' 'it'\''s' '' --x=/y`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// FuzzHostText: what the kernel, systemd or a person writes must never break the reader.
func FuzzHostText(f *testing.F) {
	f.Add("MemTotal: 1 kB\n", "LoadState=loaded\nActiveEnterTimestampMonotonic=1\n")
	f.Add("nameserver 10.0.0.1\n", "eth0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, s := range []string{a, b} {
			if n, err := parseMemTotal(s); err != nil && n != 0 {
				t.Errorf("memory %d and %v", n, err)
			}
			for _, ns := range parseNameservers(s) {
				if ns == "" || strings.HasPrefix(ns, "127.") {
					t.Errorf("name server %q", ns)
				}
			}
			if st := parseUnitState(s, time.Unix(0, 0), 0); !st.Active && !st.Since.IsZero() {
				t.Errorf("a unit that is not active since %v", st.Since)
			}
			parseSwaps(s)
			parseModules(s, s)
			defaultRoute4(s)
			defaultRoute6(s)
		}
	})
}
