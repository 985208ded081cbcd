package phase

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kubebundle/installer/etcd"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

const testHash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// The etcd of every version that has a golden static pod is found by what that pod says; up to v1.12 it says little.
func TestFindEtcdOfEveryVersion(t *testing.T) {
	conn := step.EtcdConn{
		CAFile: testPKI + "/etcd/ca.crt", CertFile: testPKI + "/etcd/healthcheck-client.crt", KeyFile: testPKI + "/etcd/healthcheck-client.key",
		Endpoints: []string{"https://127.0.0.1:2379"},
	}
	pods, err := filepath.Glob("../../manifests/testdata/1.*/etcd.yaml")
	if err != nil || len(pods) < 10 {
		t.Fatal(pods, err)
	}
	for _, file := range pods {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := host.NewMemory()
		if err := m.WriteFile(manifestsDir+"/etcd.yaml", data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := FindEtcd(m, manifestsDir)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(conn, got.Conn); diff != "" || !got.Local || got.DataDir != "/var/lib/etcd" || got.Name == "" || len(got.PeerURLs) != 1 {
			t.Errorf("%s: %+v\n%s", file, got, diff)
		}
		if len(got.Ports) < 2 || got.Ports[0] != 2379 || got.Ports[1] != 2380 {
			t.Errorf("%s: listens to %v", file, got.Ports)
		}
		// What it says is enough to restore it alone.
		plan := checkSnapshot{}
		if r, err := plan.decide(&State{Now: testNow()}, got, &etcd.Snapshot{SHA256: testHash}); err != nil || !r.alone() {
			t.Errorf("%s: %+v, %v", file, r, err)
		}
	}
}
