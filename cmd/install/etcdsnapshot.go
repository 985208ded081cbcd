package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"kubebundle/installer"
	"kubebundle/installer/etcd"
	"kubebundle/installer/phase"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
)

const manifestsDir = "/etc/kubernetes/manifests"

func (a *app) etcdCmd() *cobra.Command {
	return group("etcd", "The cluster's data: take a snapshot, look at one, go back to one",
		group("snapshot", "Take a snapshot of the cluster's data, look at one, go back to one", a.etcdSave(), a.etcdRestore(), a.etcdStatus()))
}

func (a *app) etcdSave() *cobra.Command {
	var conn step.EtcdConn
	cmd := &cobra.Command{
		Use: "save FILE", Short: "Write a snapshot of the cluster's data to FILE", Args: someArgs(1, 1, "the file to write"),
		Long: "Write a snapshot of the cluster's data to FILE, mode 0600: it holds every Secret. FILE appears when all of it has arrived, the\n" +
			"checksum was right and the database was read to its end; a file that was there stays until then.\n\n" +
			"It is taken from the etcd that this node's API server uses. Keep it off this host: `install etcd snapshot restore` wants it back.",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if conn.CAFile == "" && conn.CertFile == "" && conn.KeyFile == "" {
				node, err := phase.FindEtcd(a.host, manifestsDir)
				if err != nil {
					return err
				}
				if len(conn.Endpoints) > 0 {
					node.Conn.Endpoints = conn.Endpoints
				}
				conn = node.Conn
			}
			if len(conn.Endpoints) != 1 || conn.CAFile == "" || conn.CertFile == "" || conn.KeyFile == "" {
				return usagef("", "a snapshot is of one member: --cacert, --cert and --key go together, with one --endpoints")
			}
			t, done := a.target(func() string { return "" })
			defer done()
			c, err := a.openEtcd(ctx, t, conn)
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }() // a client
			s, err := c.(step.EtcdSaver).Save(ctx, args[0], nil)
			if err != nil {
				return err
			}
			a.say("snapshot saved: %s\n", s.File)
			return a.printSnapshot(s)
		},
	}
	cmd.Flags().StringSliceVar(&conn.Endpoints, "endpoints", nil, "`URL` of the member to ask (default: this node's, or the first one of its API server)")
	cmd.Flags().StringVar(&conn.CAFile, "cacert", "", "`file` with the CA of etcd (default: what this node's static pods say)")
	cmd.Flags().StringVar(&conn.CertFile, "cert", "", "`file` with a client certificate")
	cmd.Flags().StringVar(&conn.KeyFile, "key-file", "", "`file` with the key of --cert")
	return cmd
}

func (a *app) etcdStatus() *cobra.Command {
	var noHash bool
	cmd := &cobra.Command{
		Use: "status FILE", Short: "Check a snapshot and say what it holds", Args: someArgs(1, 1, "a snapshot file"), Annotations: anyHost,
		Long: "Read a snapshot to its end, check it, and say what it holds and of which cluster it is. Hash, revision, keys and size are what\n" +
			"`etcdutl snapshot status` says; with -o json they have its names.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := etcd.ReadSnapshot(cmd.Context(), args[0], noHash)
			if err != nil {
				return err
			}
			return a.printSnapshot(s)
		},
	}
	skipHashFlag(cmd, &noHash)
	return cmd
}

func skipHashFlag(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "skip-hash-check", false, "take a database without the checksum of a snapshot, copied from a data directory while no etcd ran")
}

// snapshotJSON begins as etcdutl's.
type snapshotJSON struct {
	Hash      uint32 `json:"hash"`
	Revision  int64  `json:"revision"`
	TotalKey  int    `json:"totalKey"`
	TotalSize int64  `json:"totalSize"`
	Version   string `json:"version"`

	SHA256            string   `json:"sha256"`
	KubernetesVersion string   `json:"kubernetesVersion,omitempty"`
	CACertHashes      []string `json:"caCertHashes,omitempty"` // as in the join command
	Nodes             []string `json:"nodes,omitempty"`
	Members           []string `json:"members,omitempty"` // NAME=PEER-URL
}

func (a *app) printSnapshot(s *etcd.Snapshot) error {
	out := snapshotJSON{
		Hash: s.Hash, Revision: s.Revision, TotalKey: s.Keys, TotalSize: s.Size, Version: s.Version, SHA256: s.SHA256,
		KubernetesVersion: s.Cluster.KubernetesVersion, Nodes: s.Cluster.Nodes, Members: phase.InitialCluster(s.Cluster.Members),
	}
	if certs, err := pki.ParseCertificates(s.Cluster.CA); err == nil {
		for _, c := range certs {
			out.CACertHashes = append(out.CACertHashes, pki.Pin(c))
		}
	}
	if a.output == "json" {
		return a.printJSON(out)
	}
	file, err := filepath.Abs(s.File)
	if err != nil {
		return err
	}
	return a.printTable([][]string{
		{"file:", file},
		{"sha256:", out.SHA256},
		{"hash:", strconv.FormatUint(uint64(out.Hash), 16)},
		{"revision:", strconv.FormatInt(out.Revision, 10)},
		{"keys:", strconv.Itoa(out.TotalKey)},
		{"size:", humanize.Bytes(uint64(max(out.TotalSize, 0)))},
		{"Kubernetes:", orNone(out.KubernetesVersion)},
		{"CA:", orNone(strings.Join(out.CACertHashes, " "))},
		{"nodes:", orNone(strings.Join(out.Nodes, " "))},
		{"members:", orNone(strings.Join(out.Members, ","))},
	})
}

// bumpDefault is what etcd's own documentation advises: more revisions than a cluster makes in the life of a snapshot.
const bumpDefault = 1_000_000_000

func (a *app) etcdRestore() *cobra.Command {
	r := phase.RestoreEtcd{}
	var dryRun, force bool
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Take this control plane node's etcd back to a snapshot", Args: someArgs(1, 1, "a snapshot file"),
		Long: "Take this control plane node's etcd back to a snapshot. What the cluster was told since then is lost; the present data is moved aside\n" +
			"within its folder and never removed. Refused, before anything is changed: a snapshot that is cut short or damaged, and one of another\n" +
			"cluster, which its CA tells.\n\n" +
			"The static pods of the control plane are stopped, the data is made and put into place, and they are started again. A run that was cut\n" +
			"off is finished by running the same command again. Several control planes: run it on each of them with the same file and\n" +
			"--initial-cluster; see docs/recovery.md.",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			var err error
			if r.File, err = filepath.Abs(args[0]); err != nil {
				return err
			}
			facts, err := a.host.Facts(ctx)
			if err != nil {
				return err
			}
			if facts.UID != 0 {
				return &installer.NotRootError{Workflow: "etcd snapshot restore"}
			}
			if _, err := os.Stat(r.File); err != nil { // nobody is asked whether to go back to what is not there
				return fmt.Errorf("etcd snapshot restore: %w", err)
			}
			if !dryRun && !force {
				if err := a.confirm("etcd snapshot restore", "This takes the cluster's data back to what "+r.File+" holds. Go on? [y/N]: ", "--force"); err != nil {
					return err
				}
			}
			r.CRISocket = installer.NodeCRISocket(a.host)
			return a.tend(ctx, "etcd snapshot restore", installer.RestoreEtcd(r), dryRun)
		},
	}
	f := cmd.Flags()
	certDirFlag(cmd, &r.CertDir)
	skipHashFlag(cmd, &r.SkipHash)
	f.StringVar(&r.Member, "name", "", "`name` of this member (default: what its static pod says)")
	f.StringSliceVar(&r.PeerURLs, "initial-advertise-peer-urls", nil, "`URLs` where the other members reach this one (default: what its static pod says)")
	f.StringVar(&r.InitialCluster, "initial-cluster", "", "all members, as `NAME=PEER-URL,…` (default: this one alone)")
	f.StringVar(&r.Token, "initial-cluster-token", "", "`token` that tells the restored cluster from the former one, the same on every node (default: made from the snapshot)")
	f.Uint64Var(&r.BumpRevision, "bump-revision", bumpDefault, "`number` to add to the revision, so that no watch goes back in time; 0 leaves the revisions as they are")
	f.BoolVar(&r.AnyCluster, "allow-other-cluster", false, "take a snapshot whose CA is not this cluster's, or that does not say which it is")
	f.BoolVarP(&force, "force", "f", false, "do not ask")
	f.BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}
