package installer_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"kubebundle/installer"
	"kubebundle/installer/etcd"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// members is an etcd of which one member answers.
type members struct {
	step.Etcd

	list    []etcd.Member
	removed *[]string
}

func (m members) Members(context.Context) ([]etcd.Member, error) { return m.list, nil }
func (members) Close() error                                     { return nil }

func (m members) Remove(_ context.Context, peer string) error {
	*m.removed = append(*m.removed, peer)
	return nil
}

const joinedEtcd = `kind: Pod
spec:
  containers:
  - command:
    - etcd
    - --initial-advertise-peer-urls=https://10.0.0.12:2380
    - --initial-cluster=n1=https://10.0.0.11:2380,n2=https://10.0.0.12:2380
    - --listen-client-urls=https://127.0.0.1:2379,https://10.0.0.12:2379
`

// A reset that was cut off after its member had left finds it gone, and its own etcd with it: the others are asked.
func TestResetAsksTheOtherMembers(t *testing.T) {
	n1, n2 := etcd.Member{Name: "n1", PeerURLs: []string{"https://10.0.0.11:2380"}}, etcd.Member{Name: "n2", PeerURLs: []string{"https://10.0.0.12:2380"}}
	n3 := etcd.Member{Name: "n3", PeerURLs: []string{"https://10.0.0.13:2380"}}
	for name, c := range map[string]struct {
		list           []etcd.Member
		kubelet        bool
		asked, removed []string
	}{
		"gone": {list: []etcd.Member{n1}, asked: []string{"https://10.0.0.11:2379"}},
		// The kubelet may start its etcd again.
		"gone, kubelet": {list: []etcd.Member{n1}, kubelet: true, asked: []string{"https://127.0.0.1:2379", "https://10.0.0.11:2379"}},
		"still there": {
			list: []etcd.Member{n1, n2, n3}, asked: []string{"https://10.0.0.11:2379"}, removed: []string{"https://10.0.0.12:2380"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := stranger(t)
			m.AddUnit("kubelet.service", host.UnitState{Active: c.kubelet, Sub: "running"})
			if err := m.WriteFile("/etc/kubernetes/manifests/etcd.yaml", []byte(joinedEtcd), 0o600); err != nil {
				t.Fatal(err)
			}
			j, err := installer.OpenJournal(m)
			if err != nil {
				t.Fatal(err)
			}
			r := resetter(m, j)
			var asked, removed []string
			r.Target.Etcd = func(_ context.Context, conn step.EtcdConn) (step.Etcd, error) {
				if !slices.Contains(asked, conn.Endpoints[0]) {
					asked = append(asked, conn.Endpoints[0])
				}
				if conn.Endpoints[0] != "https://10.0.0.11:2379" {
					return nil, errors.New("connection refused")
				}
				return members{list: c.list, removed: &removed}, nil
			}
			if _, err := r.Run(t.Context(), false); err != nil {
				t.Error(err)
			}
			if !slices.Equal(asked, c.asked) || !slices.Equal(removed, c.removed) {
				t.Errorf("asked %v, removed %v; want %v, %v", asked, removed, c.asked, c.removed)
			}
		})
	}
}
