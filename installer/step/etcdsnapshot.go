package step

import (
	"context"
	"errors"
	"os"

	"kubebundle/installer/etcd"
)

// EtcdSaver is what an Etcd may also be.
type EtcdSaver interface {
	// Save writes a snapshot to file, which appears when it is whole.
	Save(ctx context.Context, file string, progress func(n int64)) (*etcd.Snapshot, error)
}

// EtcdSave takes a snapshot of the cluster's etcd from the member that Conn names.
type EtcdSave struct {
	Conn EtcdConn
	File string
	// Anew takes another one where the file is there.
	Anew bool
}

func (s EtcdSave) String() string { return "save a snapshot of etcd to " + s.File }

// Satisfied if the file is there: it is whole then.
func (s EtcdSave) Satisfied(context.Context, *Target) (bool, error) {
	if s.Anew {
		return false, nil
	}
	_, err := os.Stat(s.File)
	return err == nil, ignoreNotExist(err)
}

// Apply takes it.
func (s EtcdSave) Apply(ctx context.Context, t *Target) error {
	return withEtcd(ctx, t, s.Conn, func(c Etcd) error {
		saver, ok := c.(EtcdSaver)
		if !ok {
			return errors.New("this etcd takes no snapshots")
		}
		_, err := saver.Save(ctx, s.File, func(n int64) { t.progress(n, 0, "snapshot") })
		return err
	})
}
