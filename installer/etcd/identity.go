package etcd

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"path"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// Identity is what a snapshot's own content says about the cluster that it was taken of. What cannot be read is empty: objects may be
// encrypted at rest.
type Identity struct {
	// CA is the certificate of the cluster's CA, in PEM: every node has it, and no other cluster has.
	CA                []byte
	KubernetesVersion string
	Nodes             []string // sorted
	Members           []Member // of etcd, by name
}

// The objects that tell it, each by the end of its key: an API server may be told another prefix than /registry.
const (
	clusterInfoKey = "/configmaps/kube-public/cluster-info"
	rootCAKey      = "/configmaps/kube-system/kube-root-ca.crt"
	kubeadmKey     = "/configmaps/kube-system/kubeadm-config"
	nodesKey       = "/minions/"
)

// identify reads it. Keys lie in the order of their revisions, so the last value of each is the one that counts.
func identify(ctx context.Context, tx *bolt.Tx, id *Identity) error {
	values := map[string][]byte{}
	nodes := map[string]bool{}
	if b := tx.Bucket([]byte("key")); b != nil {
		n := 0
		err := b.ForEach(func(rev, kv []byte) error {
			if n++; n%(1<<16) == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			key := string(field(kv, 1))
			gone := len(rev) == 18 && rev[17] == 't'
			switch {
			case strings.HasSuffix(key, clusterInfoKey), strings.HasSuffix(key, rootCAKey), strings.HasSuffix(key, kubeadmKey):
				what := key[strings.Index(key, "/configmaps/"):]
				if delete(values, what); !gone {
					values[what] = bytes.Clone(field(kv, 5))
				}
			case path.Base(path.Dir(key)) == path.Base(nodesKey):
				if nodes[path.Base(key)] = true; gone {
					delete(nodes, path.Base(key))
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	id.CA = clusterCA(values)
	id.KubernetesVersion = kubernetesVersion(configMap(values[kubeadmKey]))
	for n := range nodes {
		id.Nodes = append(id.Nodes, n)
	}
	slices.Sort(id.Nodes)
	return members(tx, id)
}

// field gives a bytes field of a message; nil if it is not there. For etcd's KeyValue, 1 is the key and 5 the value (etcd's mvccpb/kv.proto).
func field(msg []byte, want protowire.Number) []byte {
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return nil
		}
		msg = msg[n:]
		if num == want && typ == protowire.BytesType {
			v, n := protowire.ConsumeBytes(msg)
			if n < 0 {
				return nil
			}
			return v
		}
		if n = protowire.ConsumeFieldValue(num, typ, msg); n < 0 {
			return nil
		}
		msg = msg[n:]
	}
	return nil
}

// protobufPrefix begins what an API server stores as protobuf; what it encrypts begins with k8s:enc:.
var protobufPrefix = []byte("k8s\x00")

// configMap gives a stored ConfigMap's data.
func configMap(stored []byte) map[string]string {
	var cm corev1.ConfigMap
	raw, binary := bytes.CutPrefix(stored, protobufPrefix)
	if !binary {
		if json.Unmarshal(stored, &cm) != nil {
			return nil
		}
		return cm.Data
	}
	var u runtime.Unknown
	if u.Unmarshal(raw) != nil || cm.Unmarshal(u.Raw) != nil {
		return nil
	}
	return cm.Data
}

func clusterCA(values map[string][]byte) []byte {
	var conf struct {
		Clusters []struct {
			Cluster struct {
				CA string `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
	}
	if yaml.Unmarshal([]byte(configMap(values[clusterInfoKey])["kubeconfig"]), &conf) == nil && len(conf.Clusters) > 0 {
		if ca, err := base64.StdEncoding.DecodeString(conf.Clusters[0].Cluster.CA); err == nil && len(ca) > 0 {
			return ca
		}
	}
	return []byte(configMap(values[rootCAKey])["ca.crt"])
}

func kubernetesVersion(kubeadm map[string]string) string {
	for _, doc := range []string{"ClusterConfiguration", "MasterConfiguration"} { // the second up to v1.11
		var c struct {
			KubernetesVersion string `json:"kubernetesVersion"`
		}
		if yaml.Unmarshal([]byte(kubeadm[doc]), &c) == nil && c.KubernetesVersion != "" {
			return c.KubernetesVersion
		}
	}
	return ""
}

// members reads who belonged to the etcd.
func members(tx *bolt.Tx, id *Identity) error {
	b := tx.Bucket([]byte("members"))
	if b == nil {
		return nil
	}
	err := b.ForEach(func(_, v []byte) error {
		var m struct {
			ID         uint64   `json:"id"`
			Name       string   `json:"name"`
			PeerURLs   []string `json:"peerURLs"`
			ClientURLs []string `json:"clientURLs"`
			Learner    bool     `json:"isLearner"`
		}
		if json.Unmarshal(v, &m) == nil {
			id.Members = append(id.Members, Member{ID: m.ID, Name: m.Name, PeerURLs: m.PeerURLs, ClientURLs: m.ClientURLs, Learner: m.Learner})
		}
		return nil
	})
	slices.SortFunc(id.Members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return err
}
