package etcd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"google.golang.org/protobuf/proto"
)

// ClusterID is the ID of the cluster that the restored member belongs to. It is made of the peer URLs of all members and of the token, so every member of
// one restore has the same, and the former cluster has another.
func (r Restore) ClusterID() (uint64, error) {
	urls, err := types.NewURLsMap(r.InitialCluster)
	if err != nil {
		return 0, fmt.Errorf("initial cluster %q: %w", r.InitialCluster, err)
	}
	c, err := membership.NewClusterFromURLsMap(quiet(), r.Token, urls)
	if err != nil {
		return 0, fmt.Errorf("initial cluster %q: %w", r.InitialCluster, err)
	}
	return uint64(c.ID()), nil
}

// DataClusterID reads of which cluster the member is that has this data directory; 0 if it has no data yet. The answer is in the head of each file of the
// write-ahead log, which does not change once it is there: an etcd may run meanwhile.
func DataClusterID(dataDir string) (uint64, error) {
	logs, err := filepath.Glob(filepath.Join(dataDir, "member", "wal", "*.wal"))
	if err != nil || len(logs) == 0 {
		return 0, err
	}
	last := slices.Max(logs)
	id, err := walClusterID(last)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", last, err)
	}
	return id, nil
}

func walClusterID(file string) (uint64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it was only read
	d := wal.NewDecoder(fileutil.NewFileReader(f))
	for {
		var rec walpb.Record
		if err := d.Decode(&rec); errors.Is(err, io.EOF) {
			return 0, nil // it was being begun
		} else if err != nil {
			return 0, err
		}
		switch rec.GetType() {
		case wal.CrcType: // goes on from the file before
			d.UpdateCRC(rec.GetCrc())
		case wal.MetadataType:
			var m etcdserverpb.Metadata
			if err := proto.Unmarshal(rec.GetData(), &m); err != nil {
				return 0, err
			}
			return m.GetClusterID(), nil
		}
	}
}
