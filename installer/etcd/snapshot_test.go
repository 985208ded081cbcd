package etcd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"kubebundle/installer/etcd/etcdtest"
)

const testCA = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"

func someSnapshot() etcdtest.Snapshot {
	return etcdtest.Snapshot{
		CA: []byte(testCA), KubernetesVersion: "v1.34.4", Nodes: []string{"n2", "n1"},
		Members: []etcdtest.Member{{ID: 7, Name: "n1", PeerURLs: []string{"https://10.0.0.1:2380"}}},
		Values:  map[string][]byte{"/registry/secrets/default/x": bytes.Repeat([]byte("x"), 100_000)},
	}
}

func write(t *testing.T, s etcdtest.Snapshot) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "snapshot.db")
	s.Write(t, file)
	return file
}

func TestReadSnapshot(t *testing.T) {
	file := write(t, someSnapshot())
	s, err := ReadSnapshot(t.Context(), file, false)
	if err != nil {
		t.Fatal(err)
	}
	want := Identity{
		CA: []byte(testCA), KubernetesVersion: "v1.34.4", Nodes: []string{"n1", "n2"},
		Members: []Member{{ID: 7, Name: "n1", PeerURLs: []string{"https://10.0.0.1:2380"}}},
	}
	if diff := cmp.Diff(want, s.Cluster); diff != "" {
		t.Errorf("whose it is (-want +got):\n%s", diff)
	}
	fi, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if s.Size != fi.Size()-32 || s.Keys != 5 || s.Revision != 6 || len(s.SHA256) != 64 || s.Hash == 0 {
		t.Errorf("read %+v", s)
	}
}

// An API server may encrypt what it stores: then only the names of objects are known.
func TestReadEncryptedSnapshot(t *testing.T) {
	in := someSnapshot()
	in.Encrypted = true
	s, err := ReadSnapshot(t.Context(), write(t, in), false)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Cluster.CA) > 0 || s.Cluster.KubernetesVersion != "" || len(s.Cluster.Nodes) != 2 {
		t.Errorf("read %+v", s.Cluster)
	}
}

func TestReadBadSnapshot(t *testing.T) {
	whole, err := os.ReadFile(write(t, someSnapshot()))
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		data   []byte
		noHash bool
		want   string
		short  bool
	}{
		"empty":                       {nil, false, "it is no snapshot of etcd", false},
		"text":                        {[]byte(strings.Repeat("hello\n", 1000)), false, "it is no snapshot of etcd", false},
		"cut short by a byte":         {whole[:len(whole)-1], false, "it is cut short", true},
		"cut short in the middle":     {whole[:len(whole)/2], false, "it is cut short", true},
		"cut at a page":               {whole[:8192], false, "it is cut short", true},
		"cut where a sum could stand": {whole[:8192+32], false, "its content does not fit its checksum", false},
		"cut, and no sum wanted":      {whole[:8192*2], true, "it is cut short", true},
		"a bit":                       {flipped, false, "its content does not fit its checksum", false},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "snapshot.db")
			if err := os.WriteFile(file, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := ReadSnapshot(t.Context(), file, c.noHash)
			var bad *SnapshotError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrCutShort) != c.short || bad.Hint() == "" {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	if _, err := ReadSnapshot(t.Context(), filepath.Join(t.TempDir(), "none"), false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// A database copied from a data directory has no sum.
func TestReadWithoutSum(t *testing.T) {
	in := someSnapshot()
	in.NoSum = true
	file := write(t, in)
	if _, err := ReadSnapshot(t.Context(), file, false); !errors.Is(err, ErrCutShort) {
		t.Errorf("error %v", err)
	}
	if s, err := ReadSnapshot(t.Context(), file, true); err != nil || s.Keys != 5 {
		t.Errorf("read %+v, %v", s, err)
	}
}

func TestSaveKeepsOnlyWhatIsWhole(t *testing.T) {
	whole, err := os.ReadFile(write(t, someSnapshot()))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "s.db")
	check := func(want []byte) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(got, want) || len(entries) != 1 {
			t.Errorf("%v: %d bytes, want %d; %d files", err, len(got), len(want), len(entries))
		}
	}
	if err := os.WriteFile(file, []byte("yesterday's"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, broken := range [][]byte{nil, whole[:len(whole)/2], append(bytes.Clone(whole[:len(whole)-1]), 'x')} {
		if _, err := save(t.Context(), file, bytes.NewReader(broken)); err == nil {
			t.Errorf("%d of %d bytes were taken for a snapshot", len(broken), len(whole))
		}
		check([]byte("yesterday's"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := save(ctx, file, bytes.NewReader(whole)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	check([]byte("yesterday's"))
	s, err := save(t.Context(), file, bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	check(whole)
	fi, err := os.Stat(file)
	if err != nil || fi.Mode() != 0o600 || s.File != file {
		t.Errorf("%v %v %s", err, fi.Mode(), s.File)
	}
	if _, err := save(t.Context(), dir, bytes.NewReader(whole)); err == nil {
		t.Error("a folder was replaced")
	}
}

func TestRestore(t *testing.T) {
	file := write(t, someSnapshot())
	r := Restore{
		File: file, DataDir: filepath.Join(t.TempDir(), "data"), Name: "n1", PeerURLs: []string{"https://10.0.0.1:2380"},
		InitialCluster: "n1=https://10.0.0.1:2380,n2=https://10.0.0.2:2380", Token: "t", BumpRevision: 1000,
	}
	if err := errors.Join(r.Check(), r.Run()); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(r.DataDir, "member/snap/db")
	s, err := ReadSnapshot(t.Context(), db, true)
	if err != nil {
		t.Fatal(err)
	}
	if s.Revision != 1006 || len(s.Cluster.Members) != 2 || s.Cluster.KubernetesVersion != "v1.34.4" {
		t.Errorf("restored %+v", s)
	}
	if wal, err := os.ReadDir(filepath.Join(r.DataDir, "member/wal")); err != nil || len(wal) == 0 {
		t.Errorf("wal: %v, %v", wal, err)
	}
	if err := r.Run(); err == nil {
		t.Error("a data directory was overwritten")
	}
	r.DataDir = filepath.Join(t.TempDir(), "unbumped")
	r.BumpRevision = 0
	if err := r.Run(); err != nil {
		t.Fatal(err)
	}
	d, err := bolt.Open(filepath.Join(r.DataDir, "member/snap/db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if err := d.View(func(tx *bolt.Tx) error {
		k, _ := tx.Bucket([]byte("key")).Cursor().Last()
		if k[7] != 6 {
			t.Errorf("the last revision is %v", k)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestRestoreCheck(t *testing.T) {
	good := Restore{Name: "n1", PeerURLs: []string{"https://10.0.0.1:2380"}, InitialCluster: "n1=https://10.0.0.1:2380"}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for _, initial := range []string{"", "n1", "n1=", "=https://10.0.0.1:2380", "n2=https://10.0.0.2:2380"} {
		r := good
		r.InitialCluster = initial
		if r.Check() == nil {
			t.Errorf("initial cluster %q was accepted", initial)
		}
	}
	r := good
	r.Name = ""
	if r.Check() == nil {
		t.Error("no name was accepted")
	}
}
