package main

import (
	"os"
	"path/filepath"
	"testing"

	"kubebundle/installer/cluster/clustertest"
	"kubebundle/installer/etcd/etcdtest"
)

// makeSnapshots makes ours.db, short.db, which lacks its end, and three.db, of an etcd with three members.
func makeSnapshots(t *testing.T, dir string) {
	t.Helper()
	s := etcdtest.Snapshot{
		CA: clustertest.New(t).CAPEM(), KubernetesVersion: "v1.34.4", Nodes: []string{"node1"},
		Members: []etcdtest.Member{{ID: 1, Name: "node1", PeerURLs: []string{"https://10.0.0.10:2380"}}},
	}
	s.Write(t, filepath.Join(dir, "ours.db"))
	whole, err := os.ReadFile(filepath.Join(dir, "ours.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "short.db"), whole[:8192], 0o600); err != nil {
		t.Fatal(err)
	}
	s.Members = append(s.Members, etcdtest.Member{ID: 2, Name: "node2", PeerURLs: []string{"https://10.0.0.11:2380"}},
		etcdtest.Member{ID: 3, Name: "node3", PeerURLs: []string{"https://10.0.0.12:2380"}})
	s.Write(t, filepath.Join(dir, "three.db"))
}
