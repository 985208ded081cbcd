package step

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kubebundle/installer/etcd"
)

// Etcd is what steps need of the cluster's etcd.
type Etcd interface {
	Members(ctx context.Context) ([]etcd.Member, error)
	Add(ctx context.Context, peerURL string, learner bool) error
	Promote(ctx context.Context, peerURL string) error
	Remove(ctx context.Context, peerURL string) error
	Healthy(ctx context.Context, coming ...string) error
	Close() error
}

// EtcdConn says where the credentials for an etcd lie on this host, and which members to ask; none means those that the cluster's pods name.
type EtcdConn struct {
	CAFile, CertFile, KeyFile string
	Endpoints                 []string
}

// EtcdMembersHint says what to do about a member that is not healthy.
const EtcdMembersHint = "kubectl -n kube-system get pods -l component=etcd; a member that is gone for good is taken out with: ./install reset on its node, or etcdctl member remove"

// EtcdHealthy waits until every member of the cluster's etcd is healthy: a further member must not join a cluster that is about to lose
// its quorum. One that has been announced but has not started is no obstacle if it is to be reached at one of coming.
func EtcdHealthy(conn EtcdConn, timeout time.Duration, coming ...string) Await {
	return Await{
		What: "every etcd member to be healthy", Timeout: timeout, Interval: time.Second,
		Hint: EtcdMembersHint,
		Check: func(ctx context.Context, t *Target) error {
			return withEtcd(ctx, t, conn, func(c Etcd) error { return c.Healthy(ctx, coming...) })
		},
	}
}

func withEtcd(ctx context.Context, t *Target, conn EtcdConn, do func(Etcd) error) error {
	if t.Etcd == nil {
		return errors.New("no way to the cluster's etcd is at hand")
	}
	c, err := t.Etcd(ctx, conn)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // a client
	return do(c)
}

// EtcdJoin makes this node's etcd a member of the cluster's: it announces the member, writes the static pod that starts it, and gives it its
// vote when it has caught up.
type EtcdJoin struct {
	Conn     EtcdConn
	Name     string // of the node
	PeerURL  string
	Learner  bool // whether this version's etcd has learners
	Manifest string
	// Pod renders the static pod, given all members as NAME=PEER-URL.
	Pod     func(initialCluster []string) (File, error)
	Timeout time.Duration
}

func (s EtcdJoin) String() string {
	return fmt.Sprintf("join etcd as %s (%s) and write %s", s.Name, s.PeerURL, s.Manifest)
}

// Satisfied if the member has started and votes, and its static pod is there.
func (s EtcdJoin) Satisfied(ctx context.Context, t *Target) (bool, error) {
	if _, err := t.Host.Stat(s.Manifest); err != nil {
		return false, ignoreNotExist(err)
	}
	ok := false
	err := withEtcd(ctx, t, s.Conn, func(c Etcd) error {
		members, err := c.Members(ctx)
		m, there := etcd.Find(members, s.PeerURL)
		ok = there && !m.Learner && m.Name != ""
		return err
	})
	return ok && err == nil, err
}

// Apply can be repeated wherever it was cut off.
func (s EtcdJoin) Apply(ctx context.Context, t *Target) error {
	limit, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	return withEtcd(limit, t, s.Conn, func(c Etcd) error {
		if err := again(limit, func() error { return c.Add(limit, s.PeerURL, s.Learner) }); err != nil {
			return err
		}
		members, err := c.Members(limit)
		if err != nil {
			return err
		}
		pod, err := s.Pod(s.initialCluster(members))
		if err != nil {
			return err
		}
		if err := pod.Apply(limit, t); err != nil {
			return err
		}
		start := time.Now()
		return again(limit, func() error {
			t.progress(int64(time.Since(start)), int64(s.Timeout), "the new etcd member to catch up")
			return s.caughtUp(limit, c)
		})
	})
}

func (s EtcdJoin) caughtUp(ctx context.Context, c Etcd) error {
	members, err := c.Members(ctx)
	if err != nil {
		return err
	}
	m, there := etcd.Find(members, s.PeerURL)
	switch {
	case !there:
		return fmt.Errorf("etcd member %s is gone: somebody has removed it", s.PeerURL)
	case m.Name == "":
		return errors.New("the new etcd member has not started; see: " + Logs("", "etcd"))
	case m.Learner:
		if err := c.Promote(ctx, s.PeerURL); err != nil {
			return err
		}
		return errors.New("the new etcd member has just got its vote")
	}
	return nil
}

// initialCluster names all members; the new one has no name before it has started.
func (s EtcdJoin) initialCluster(members []etcd.Member) []string {
	var out []string
	for _, m := range members {
		name := m.Name
		if slices.Contains(m.PeerURLs, s.PeerURL) {
			name = s.Name
		}
		for _, u := range m.PeerURLs {
			if name != "" {
				out = append(out, name+"="+u)
			}
		}
	}
	slices.Sort(out)
	return out
}

// again repeats until it works or the time is over; what went wrong last is the error.
func again(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// Before implements Undoer.
func (s EtcdJoin) Before(_ context.Context, t *Target) ([]Record, error) {
	return recordPath(t, s.Manifest, KindFile)
}

// EtcdLeave takes this node's member out of the cluster's etcd. A single member stays: it goes with its data.
type EtcdLeave struct {
	Conn    EtcdConn
	PeerURL string
}

func (s EtcdLeave) String() string { return "take member " + s.PeerURL + " out of etcd" }

// Satisfied if etcd does not know it, or knows nobody else.
func (s EtcdLeave) Satisfied(ctx context.Context, t *Target) (bool, error) {
	ok := false
	err := withEtcd(ctx, t, s.Conn, func(c Etcd) error {
		members, err := c.Members(ctx)
		_, there := etcd.Find(members, s.PeerURL)
		ok = !there || len(members) == 1
		return err
	})
	return ok && err == nil, err
}

// Apply takes it out.
func (s EtcdLeave) Apply(ctx context.Context, t *Target) error {
	return withEtcd(ctx, t, s.Conn, func(c Etcd) error { return c.Remove(ctx, s.PeerURL) })
}
