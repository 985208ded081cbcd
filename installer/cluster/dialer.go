package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Dialer refuses every address that is not loopback, one of this node's, or allowed by name; and resolves no name but those allowed.
// It is safe for concurrent use.
type Dialer struct {
	mu       sync.Mutex
	allowed  map[string]bool // "host:port", or "host" for every port
	attempts map[Attempt]int
	own      func() ([]net.Addr, error) // this machine's addresses
	connect  func(ctx context.Context, network, address string) (net.Conn, error)
}

// Attempt is a connection that was asked for.
type Attempt struct {
	Address string // host:port
	Blocked bool
}

// BlockedError is a refused connection: nothing was sent, no name was resolved.
type BlockedError struct {
	Address string
	Allowed []string // what the user named
}

func (e *BlockedError) Error() string {
	to := "this node"
	if len(e.Allowed) > 0 {
		to += " and " + strings.Join(e.Allowed, ", ")
	}
	return fmt.Sprintf("blocked connection to %s: an air-gapped installer talks only to %s", e.Address, to)
}

// Hint says what to do.
func (e *BlockedError) Hint() string {
	return "if this is the address of the cluster, give it as the argument of join, as --control-plane-endpoint of init, or in the kubeconfig that is used"
}

// NewDialer allows hosts ("10.0.0.10:6443", "api.example:6443", "https://api.example:6443", or "api.example" for all its ports) given by
// the user, and this node's addresses. Empty texts allow nothing.
func NewDialer(allowed ...string) *Dialer {
	plain := &net.Dialer{}
	d := &Dialer{allowed: map[string]bool{}, attempts: map[Attempt]int{}, own: net.InterfaceAddrs, connect: plain.DialContext}
	d.Allow(allowed...)
	return d
}

// Allow adds hosts that the user named.
func (d *Dialer) Allow(hosts ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range hosts {
		if h = normalHost(h); h != "" {
			d.allowed[h] = true
		}
	}
}

// normalHost brings what a user wrote into the form that a dialer is asked with.
func normalHost(h string) string {
	h = strings.ToLower(strings.TrimSpace(h))
	if strings.Contains(h, "://") {
		u, err := url.Parse(h)
		if err != nil {
			return ""
		}
		if h = u.Host; u.Port() == "" && u.Scheme == "https" {
			h = net.JoinHostPort(u.Hostname(), "443")
		}
	}
	if host, port, err := net.SplitHostPort(h); err == nil {
		return net.JoinHostPort(normalIP(host), port)
	}
	return normalIP(strings.Trim(h, "[]"))
}

func normalIP(host string) string {
	if ip := net.ParseIP(host); ip != nil {
		return ip.String()
	}
	return strings.TrimSuffix(host, ".")
}

// DialContext connects to address, or gives a *BlockedError.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	if !strings.HasPrefix(network, "tcp") {
		return nil, fmt.Errorf("connect to %s: only TCP is spoken, not %s", address, network)
	}
	host = normalIP(strings.ToLower(host))
	address = net.JoinHostPort(host, port)
	ok, err := d.permitted(host, address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	d.mu.Lock()
	d.attempts[Attempt{Address: address, Blocked: !ok}]++
	allowed := slices.Sorted(maps.Keys(d.allowed))
	d.mu.Unlock()
	if !ok {
		return nil, &BlockedError{Address: address, Allowed: allowed}
	}
	if host == "localhost" {
		address = net.JoinHostPort("127.0.0.1", port) // no resolver is asked for this one
	}
	return d.connect(ctx, network, address)
}

func (d *Dialer) permitted(host, address string) (bool, error) {
	d.mu.Lock()
	named := d.allowed[address] || d.allowed[host]
	d.mu.Unlock()
	if named || host == "localhost" {
		return true, nil
	}
	ip := net.ParseIP(host)
	if ip == nil {
		return false, nil
	}
	if ip.IsLoopback() {
		return true, nil
	}
	// Asked each time: addresses come and go while a cluster is made.
	addrs, err := d.own()
	if err != nil {
		return false, errors.Join(errors.New("list this node's addresses"), err)
	}
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	}), nil
}

// Attempts tells how often each address was asked for, refused ones included.
func (d *Dialer) Attempts() map[Attempt]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.attempts)
}
