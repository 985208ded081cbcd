package etcd

import (
	"path/filepath"
	"testing"
)

// What a restore has made says that it is of the cluster that was foretold; with another token or other members it is another one.
func TestDataClusterID(t *testing.T) {
	r := Restore{
		File: write(t, someSnapshot()), DataDir: filepath.Join(t.TempDir(), "etcd"), Name: "n1", PeerURLs: []string{"https://10.0.0.1:2380"},
		InitialCluster: "n1=https://10.0.0.1:2380,n2=https://10.0.0.2:2380", Token: "monday",
	}
	if id, err := DataClusterID(r.DataDir); err != nil || id != 0 {
		t.Errorf("before: %x, %v", id, err)
	}
	if err := r.Run(); err != nil {
		t.Fatal(err)
	}
	have, err := DataClusterID(r.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := r.ClusterID(); err != nil || want != have || want == 0 {
		t.Errorf("the data is of %x, want %x, %v", have, want, err)
	}
	for _, other := range []Restore{
		{InitialCluster: r.InitialCluster, Token: "tuesday"},
		{InitialCluster: "n1=https://10.0.0.1:2380,n2=https://10.0.0.3:2380", Token: r.Token},
	} {
		if id, err := other.ClusterID(); err != nil || id == have {
			t.Errorf("%+v has the same ID %x, %v", other, id, err)
		}
	}
}
