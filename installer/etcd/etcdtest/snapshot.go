// Package etcdtest makes snapshot files as an etcd writes them, for tests that have no etcd.
package etcdtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Member is a member of the etcd.
type Member struct {
	ID       uint64   `json:"id"`
	Name     string   `json:"name"`
	PeerURLs []string `json:"peerURLs"`
}

// Snapshot is what to write.
type Snapshot struct {
	CA                []byte // PEM
	KubernetesVersion string
	Nodes             []string
	Members           []Member
	Values            map[string][]byte // other keys
	Encrypted         bool              // the API server encrypts ConfigMaps
	NoSum             bool              // as the database of a data directory
}

// Write makes the file.
func (s Snapshot) Write(tb testing.TB, file string) {
	tb.Helper()
	db, err := bolt.Open(file, 0o600, nil)
	ok(tb, err)
	ok(tb, db.Update(s.fill))
	ok(tb, db.Close())
	data, err := os.ReadFile(file)
	ok(tb, err)
	if !s.NoSum {
		sum := sha256.Sum256(data)
		data = append(data, sum[:]...)
	}
	ok(tb, os.WriteFile(file, data, 0o600)) //nolint:gosec // a test says where
}

func (s Snapshot) fill(tx *bolt.Tx) error {
	for _, name := range []string{"key", "meta", "members", "members_removed", "cluster", "alarm", "auth", "authRoles", "authUsers", "lease"} {
		if _, err := tx.CreateBucket([]byte(name)); err != nil {
			return err
		}
	}
	for _, m := range s.Members {
		v, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if err := tx.Bucket([]byte("members")).Put(strconv.AppendUint(nil, m.ID, 16), v); err != nil {
			return err
		}
	}
	values := maps.Clone(s.Values)
	if values == nil {
		values = map[string][]byte{}
	}
	if s.CA != nil {
		values["/registry/configmaps/kube-public/cluster-info"] = s.configMap("kubeconfig",
			"clusters: [{name: '', cluster: {server: 'https://10.0.0.10:6443', certificate-authority-data: "+base64.StdEncoding.EncodeToString(s.CA)+"}}]\n")
	}
	if s.KubernetesVersion != "" {
		values["/registry/configmaps/kube-system/kubeadm-config"] = s.configMap("ClusterConfiguration", "kubernetesVersion: "+s.KubernetesVersion+"\n")
	}
	for _, n := range s.Nodes {
		values["/registry/minions/"+n] = []byte("k8s\x00")
	}
	for i, k := range slices.Sorted(maps.Keys(values)) {
		rev := binary.BigEndian.AppendUint64(nil, uint64(i+2)) // etcd's first is 2
		rev = binary.BigEndian.AppendUint64(append(rev, '_'), 0)
		if err := tx.Bucket([]byte("key")).Put(rev, keyValue(k, int64(i+2), values[k])); err != nil {
			return err
		}
	}
	return nil
}

// keyValue is etcd's mvccpb.KeyValue.
func keyValue(key string, rev int64, value []byte) []byte {
	kv := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), []byte(key))
	for _, n := range []protowire.Number{2, 3} { // created, modified
		kv = protowire.AppendVarint(protowire.AppendTag(kv, n, protowire.VarintType), uint64(rev))
	}
	kv = protowire.AppendVarint(protowire.AppendTag(kv, 4, protowire.VarintType), 1) // version
	return protowire.AppendBytes(protowire.AppendTag(kv, 5, protowire.BytesType), value)
}

// configMap is one as an API server stores it.
func (s Snapshot) configMap(name, value string) []byte {
	if s.Encrypted {
		return []byte("k8s:enc:aescbc:v1:key1:?")
	}
	cm := corev1.ConfigMap{Data: map[string]string{name: value}}
	raw, err := cm.Marshal()
	if err != nil {
		panic(err) // of a literal
	}
	u := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Raw: raw}
	data, err := u.Marshal()
	if err != nil {
		panic(err)
	}
	return bytes.Join([][]byte{[]byte("k8s"), data}, []byte{0})
}

func ok(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
