package etcd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"
)

// Restore says what data directory to make of a snapshot. The names of its fields are etcdutl's flags.
type Restore struct {
	File string `json:"file"`
	// DataDir must be missing or empty.
	DataDir string `json:"dataDir"`
	Name    string `json:"name"`
	// PeerURLs are where this member is reached by the others, InitialCluster is NAME=PEER-URL of all of them, this one too.
	PeerURLs       []string `json:"peerURLs"`
	InitialCluster string   `json:"initialCluster"`
	// Token makes the restored cluster another one than it was: members of the former one that still run must not be taken for its own. All
	// members are restored with the same token.
	Token string `json:"token"`
	// BumpRevision is added to the revision, and all that is older counts as compacted. A watch that begins at a revision from after the
	// snapshot would else wait for that number and miss what happens until then. 0 leaves the revisions as they are.
	BumpRevision uint64 `json:"bumpRevision"`
	SkipHash     bool   `json:"skipHash"`
	// OwnedAs is a folder whose owner the data is given to (an etcd need not run as root); "" leaves it with whoever makes it.
	OwnedAs string `json:"ownedAs"`
}

// Run does it. Nothing of it is safe to use before Run has returned; a directory that was cut off is thrown away by the caller.
func (r Restore) Run() (err error) {
	defer func() { // the library's way to report a full disk
		if p := recover(); p != nil {
			err = fmt.Errorf("restore %s: %v", r.File, p)
		}
	}()
	err = snapshot.NewV3(quiet()).Restore(snapshot.RestoreConfig{
		SnapshotPath: r.File, OutputDataDir: r.DataDir, Name: r.Name, PeerURLs: r.PeerURLs, InitialCluster: r.InitialCluster, InitialClusterToken: r.Token,
		SkipHashCheck: r.SkipHash, RevisionBump: r.BumpRevision, MarkCompacted: r.BumpRevision > 0,
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", r.File, err)
	}
	return r.settle()
}

// settle gives the data to its owner and makes its names durable.
func (r Restore) settle() error {
	like := r.OwnedAs
	if like == "" {
		like = r.DataDir
	}
	var owner unix.Stat_t
	if err := unix.Stat(like, &owner); err != nil {
		return fmt.Errorf("look at %s: %w", like, err)
	}
	return filepath.WalkDir(r.DataDir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := os.Lchown(p, int(owner.Uid), int(owner.Gid)); err != nil { //nolint:gosec // the folder is 0700 and nobody else's
			return err
		}
		if d.IsDir() {
			return syncDir(p)
		}
		return nil
	})
}

// Check refuses what cannot become a cluster.
func (r Restore) Check() error {
	own := false
	for part := range strings.SplitSeq(r.InitialCluster, ",") {
		name, url, ok := strings.Cut(part, "=")
		if !ok || name == "" || url == "" {
			return fmt.Errorf("initial cluster %q: %q is not NAME=PEER-URL", r.InitialCluster, part)
		}
		own = own || name == r.Name
	}
	switch {
	case r.Name == "" || len(r.PeerURLs) == 0:
		return errors.New("the member has no name or no peer URL")
	case !own:
		return fmt.Errorf("initial cluster %q: this member, %s, is not in it", r.InitialCluster, r.Name)
	}
	return nil
}

// quiet is a logger that says nothing, and that does not end the program where etcd's code would end its own.
func quiet() *zap.Logger {
	return zap.NewNop().WithOptions(zap.WithFatalHook(zapcore.WriteThenPanic))
}
