package step_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer/etcd"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// fakeEtcd starts a member when the static pod that names it is there, and lets it catch up at the second try. Real members are joined
// end to end.
type fakeEtcd struct {
	host    *host.Memory
	members []etcd.Member
	calls   []string
	fail    map[string]error
}

func (f *fakeEtcd) Members(context.Context) ([]etcd.Member, error) {
	for i := range f.members {
		if f.members[i].Name == "" {
			if _, err := f.host.Stat(etcdManifest); err == nil {
				f.members[i].Name = "cp2"
			}
		}
	}
	return slices.Clone(f.members), nil
}

func (f *fakeEtcd) Add(_ context.Context, peer string, learner bool) error {
	f.calls = append(f.calls, "add")
	if _, there := etcd.Find(f.members, peer); !there {
		f.members = append(f.members, etcd.Member{ID: 2, PeerURLs: []string{peer}, Learner: learner})
	}
	return f.fail["add"]
}

func (f *fakeEtcd) Promote(_ context.Context, peer string) error {
	f.calls = append(f.calls, "promote")
	for i := range f.members {
		if slices.Contains(f.members[i].PeerURLs, peer) {
			f.members[i].Learner = false
		}
	}
	return nil
}

func (f *fakeEtcd) Remove(_ context.Context, peer string) error {
	f.calls = append(f.calls, "remove")
	f.members = slices.DeleteFunc(f.members, func(m etcd.Member) bool { return slices.Contains(m.PeerURLs, peer) })
	return nil
}

func (f *fakeEtcd) Healthy(context.Context, ...string) error { return f.fail["healthy"] }
func (f *fakeEtcd) Close() error                             { return nil }

const (
	etcdManifest = "/etc/kubernetes/manifests/etcd.yaml"
	peerURL      = "https://10.0.0.2:2380"
)

func etcdTarget(m *host.Memory) (*step.Target, *fakeEtcd) {
	f := &fakeEtcd{host: m, members: []etcd.Member{{ID: 1, Name: "cp1", PeerURLs: []string{"https://10.0.0.1:2380"}}}, fail: map[string]error{}}
	return &step.Target{Host: m, Etcd: func(context.Context, step.EtcdConn) (step.Etcd, error) { return f, nil }}, f
}

func etcdJoin() step.EtcdJoin {
	return step.EtcdJoin{
		Name: "cp2", PeerURL: peerURL, Learner: true, Manifest: etcdManifest, Timeout: 20 * time.Second,
		Pod: func(initial []string) (step.File, error) {
			return step.File{Path: etcdManifest, Mode: 0o600, Data: []byte(strings.Join(initial, ","))}, nil
		},
	}
}

func TestEtcdJoin(t *testing.T) {
	m := host.NewMemory()
	tg, f := etcdTarget(m)
	s := etcdJoin()
	satisfied(t, s, tg, false)
	ok(t, s.Apply(t.Context(), tg))
	satisfied(t, s, tg, true)
	data, err := m.ReadFile(etcdManifest)
	ok(t, err)
	if want := "cp1=https://10.0.0.1:2380,cp2=https://10.0.0.2:2380"; string(data) != want {
		t.Errorf("the new member is told %q, want %q", data, want)
	}
	if diff := cmp.Diff([]string{"add", "promote"}, f.calls); diff != "" {
		t.Error(diff)
	}
	// Once more, as after a crash before the journal knew: nobody is added or promoted twice.
	ok(t, s.Apply(t.Context(), tg))
	if len(f.members) != 2 || f.members[1].Learner {
		t.Errorf("members: %+v", f.members)
	}
}

func TestEtcdJoinSaysWhatItWaitedFor(t *testing.T) {
	tg, f := etcdTarget(host.NewMemory())
	f.fail["add"] = errors.New("etcdserver: unhealthy cluster")
	s := etcdJoin()
	s.Timeout = 50 * time.Millisecond
	if err := s.Apply(t.Context(), tg); err == nil || !strings.Contains(err.Error(), "unhealthy cluster") {
		t.Errorf("error %v", err)
	}
}

func TestEtcdLeave(t *testing.T) {
	tg, f := etcdTarget(host.NewMemory())
	s := step.EtcdLeave{PeerURL: "https://10.0.0.1:2380"}
	satisfied(t, s, tg, true) // the only one goes with its data
	f.members = append(f.members, etcd.Member{ID: 2, Name: "cp2", PeerURLs: []string{peerURL}})
	satisfied(t, s, tg, false)
	ok(t, s.Apply(t.Context(), tg))
	satisfied(t, s, tg, true)
	if len(f.members) != 1 || f.members[0].Name != "cp2" {
		t.Errorf("members: %+v", f.members)
	}
}
