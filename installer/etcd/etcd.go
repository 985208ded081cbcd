package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// Config says how to reach an etcd.
type Config struct {
	Endpoints []string // https://10.0.0.10:2379
	// CA, Cert and Key are PEM: the etcd CA, and a client certificate of it.
	CA, Cert, Key []byte
	Dial          func(ctx context.Context, network, address string) (net.Conn, error)
}

// Member is one member.
type Member struct {
	ID       uint64
	Name     string // "" until it has started for the first time
	PeerURLs []string
	// ClientURLs is empty until it has started.
	ClientURLs []string
	Learner    bool
}

// requestTimeout bounds one request.
const requestTimeout = 10 * time.Second

// Client is a connection to an etcd.
type Client struct{ c *clientv3.Client }

// Open prepares a connection; nothing is sent yet.
func Open(cfg Config) (*Client, error) {
	pair, err := tls.X509KeyPair(cfg.Cert, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("open etcd: client certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cfg.CA) {
		return nil, errors.New("open etcd: its CA holds no certificate")
	}
	c, err := clientv3.New(clientv3.Config{
		Endpoints: cfg.Endpoints, DialTimeout: requestTimeout, Logger: zap.NewNop(), // it logs by itself otherwise, and not where we say
		TLS: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return cfg.Dial(ctx, "tcp", address)
		})},
	})
	if err != nil {
		return nil, fmt.Errorf("open etcd: %w", err)
	}
	return &Client{c}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.c.Close() }

// Members lists all members.
func (c *Client) Members(ctx context.Context) ([]Member, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	resp, err := c.c.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("list etcd members: %w", err)
	}
	out := make([]Member, 0, len(resp.Members))
	for _, m := range resp.Members {
		out = append(out, Member{ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, Learner: m.IsLearner})
	}
	return out, nil
}

// Find gives the member with a peer URL.
func Find(members []Member, peerURL string) (Member, bool) {
	i := slices.IndexFunc(members, func(m Member) bool { return slices.Contains(m.PeerURLs, peerURL) })
	if i < 0 {
		return Member{}, false
	}
	return members[i], true
}

// Add makes room for a new member, as a learner if so asked; one that is there already is left as it is.
func (c *Client) Add(ctx context.Context, peerURL string, learner bool) error {
	members, err := c.Members(ctx)
	if err != nil {
		return err
	}
	if _, there := Find(members, peerURL); there {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if learner {
		_, err = c.c.MemberAddAsLearner(ctx, []string{peerURL})
	} else {
		_, err = c.c.MemberAdd(ctx, []string{peerURL})
	}
	if errors.Is(err, rpctypes.ErrPeerURLExist) || errors.Is(err, rpctypes.ErrMemberExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("add etcd member %s: %w", peerURL, err)
	}
	return nil
}

// Promote gives a learner its vote. It fails until the learner has caught up, which is what to wait for; a member that votes already is
// left as it is.
func (c *Client) Promote(ctx context.Context, peerURL string) error {
	members, err := c.Members(ctx)
	if err != nil {
		return err
	}
	m, there := Find(members, peerURL)
	if !there {
		return fmt.Errorf("promote etcd member %s: etcd does not know it", peerURL)
	}
	if !m.Learner {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err = c.c.MemberPromote(ctx, m.ID); err != nil && !errors.Is(err, rpctypes.ErrMemberNotLearner) {
		return fmt.Errorf("promote etcd member %s: %w", peerURL, err)
	}
	return nil
}

// ErrLastMember says that the only member cannot leave.
var ErrLastMember = errors.New("it is the only member")

// Remove takes a member out. One that is not there is no error; the last one is ErrLastMember.
func (c *Client) Remove(ctx context.Context, peerURL string) error {
	others, err := c.remove(ctx, peerURL)
	if err == nil || len(others) == 0 {
		return err
	}
	// A member that takes itself out stops, maybe before it has answered. The others know.
	c.c.SetEndpoints(others...)
	if _, again := c.remove(ctx, peerURL); again != nil {
		return errors.Join(err, again)
	}
	return nil
}

// remove also tells where the other members are reached.
func (c *Client) remove(ctx context.Context, peerURL string) (others []string, err error) {
	members, err := c.Members(ctx)
	if err != nil {
		return nil, err
	}
	m, there := Find(members, peerURL)
	if !there {
		return nil, nil
	}
	if len(members) == 1 {
		return nil, fmt.Errorf("remove etcd member %s: %w", peerURL, ErrLastMember)
	}
	for _, o := range members {
		if o.ID != m.ID {
			others = append(others, o.ClientURLs...)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := c.c.MemberRemove(ctx, m.ID); err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) {
		return others, fmt.Errorf("remove etcd member %s: %w", peerURL, err)
	}
	return others, nil
}

// Healthy asks every started member for itself whether it can serve. All that fail are named, and those that have not started, unless they are to be
// reached at one of coming: whoever joins may have come so far in an earlier run.
func (c *Client) Healthy(ctx context.Context, coming ...string) error {
	members, err := c.Members(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range members {
		if len(m.ClientURLs) == 0 && slices.ContainsFunc(m.PeerURLs, func(u string) bool { return slices.Contains(coming, u) }) {
			continue
		}
		if len(m.ClientURLs) == 0 {
			errs = append(errs, fmt.Errorf("member %s has not started", m.PeerURLs))
			continue
		}
		one, cancel := context.WithTimeout(ctx, requestTimeout)
		st, err := c.c.Status(one, m.ClientURLs[0])
		cancel()
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("member %s at %s: %w", m.Name, m.ClientURLs[0], err))
		case len(st.Errors) > 0:
			errs = append(errs, fmt.Errorf("member %s at %s: %v", m.Name, m.ClientURLs[0], st.Errors))
		case st.Leader == 0:
			errs = append(errs, fmt.Errorf("member %s at %s sees no leader", m.Name, m.ClientURLs[0]))
		}
	}
	return errors.Join(errs...)
}
