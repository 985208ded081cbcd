package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"kubebundle/bundle/encoder"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// What the etcd of the snapshots holds beside a young cluster's keys.
const (
	manyKeys = 10_000
	keySize  = 10_000 // bytes, random
	perTxn   = 100    // within etcd's limits of a request, 128 operations and 1.5 MiB
)

// saving is the fifth part: who saves the cluster's data, and goes back to what was saved, sooner. Both do so on one host, in turn, each with its own file.
func (b *bench) saving(ctx context.Context) (err error) {
	if err := b.nobodyThere(); err != nil {
		return err
	}
	if err := b.needBundle(ctx, encoder.Fast); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.noNetwork(context.WithoutCancel(ctx))) }()
	c, err := b.env.Install(ctx, clusters.InstallOptions{ControlPlanes: 1, Runtime: hosts.Containerd, Bundle: b.carried()})
	defer func() { err = b.away(ctx, c, err) }()
	if err != nil {
		return err
	}
	h := c.Hosts[0]
	if err := fill(ctx, h); err != nil {
		return fmt.Errorf("fill etcd: %w", err)
	}
	etcd, err := b.env.Builder.Etcd(ctx, b.arch)
	if err != nil {
		return err
	}
	for _, n := range []string{"etcdctl", "etcdutl"} {
		if err := h.CopyIn(ctx, filepath.Join(etcd, n), "/usr/local/bin/"+n); err != nil {
			return err
		}
	}
	install := func(args ...string) func(context.Context) error {
		return func(ctx context.Context) error { return failed(b.carried().Install(ctx, h, args...)) }
	}
	script := func(text string) func(context.Context) error {
		text = strings.NewReplacer("NODE", h.Name, "PEER", "https://"+h.IP.String()+":2380").Replace(text)
		return func(ctx context.Context) error { return h.Run(ctx, "sh", "-ec", text) }
	}
	turn := func(both, save, restore string, saved, restored func(context.Context) error) contender {
		return contender{name: both, run: func(ctx context.Context, _ int) (sample, error) {
			return b.saveRestore(ctx, c, save, restore, saved, restored)
		}}
	}
	return contest(ctx, b.log, min(b.runs, maxInitRuns), []contender{
		turn(ourSnapshot, ourSave, ourRestore, install("etcd", "snapshot", "save", "/root/ours.db"), install("etcd", "snapshot", "restore", "--force", "/root/ours.db")),
		turn(etcdByHand, etcdctlSave, etcdutlRestore, script(saveByHand), script(restoreByHand)),
	}, b.results)
}

// By hand, as etcd's and Kubernetes' documentation say: the control plane is stopped by taking its static pods away, and the revision is raised so that
// no watch goes back in time, as ours does.
const (
	saveByHand = `rm -f /root/byhand.db
etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt \
  --key=/etc/kubernetes/pki/etcd/healthcheck-client.key snapshot save /root/byhand.db`
	restoreByHand = `rm -rf /root/manifests /root/former /var/lib/etcd-restored
mkdir /root/manifests
mv /etc/kubernetes/manifests/*.yaml /root/manifests/
while ss -Hltn | grep -qE ':(2379|6443) '; do sleep 0.1; done
etcdutl snapshot restore /root/byhand.db --data-dir /var/lib/etcd-restored --name NODE --initial-cluster NODE=PEER --initial-advertise-peer-urls PEER \
  --bump-revision 1000000000 --mark-compacted
mv /var/lib/etcd/member /root/former
mv /var/lib/etcd-restored/member /var/lib/etcd/member
mv /root/manifests/*.yaml /etc/kubernetes/manifests/`
)

// saveRestore measures both, and the restore until the API serves. What it gives is the sum.
func (b *bench) saveRestore(ctx context.Context, c *clusters.Cluster, save, restore string, saved, restored func(context.Context) error) (sample, error) {
	if err := b.quiet(ctx, c); err != nil {
		return sample{}, err
	}
	first, err := timed(ctx, saved)
	if err != nil {
		return sample{}, err
	}
	second, err := timed(ctx, func(ctx context.Context) error {
		if err := restored(ctx); err != nil {
			return err
		}
		return clusters.AwaitAPI(ctx, c.Hosts[0])
	})
	if err != nil {
		return sample{}, err
	}
	b.results[save], b.results[restore] = append(b.results[save], first), append(b.results[restore], second)
	return sample{Wall: first.Wall + second.Wall}, nil
}

func timed(ctx context.Context, run func(context.Context) error) (sample, error) {
	unix.Sync()
	start := time.Now()
	err := run(ctx)
	return sample{Wall: time.Since(start)}, err
}

// fill writes keys into the etcd of a control plane, beside the cluster's own.
func fill(ctx context.Context, h *hosts.Host) (err error) {
	pki := filepath.Join(h.Root(), "etc/kubernetes/pki/etcd")
	ca, err := os.ReadFile(filepath.Join(pki, "ca.crt"))
	if err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(pki, "healthcheck-client.crt"), filepath.Join(pki, "healthcheck-client.key"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client, err := clientv3.New(clientv3.Config{
		Context: ctx, Endpoints: []string{"https://" + h.IP.String() + ":2379"}, DialTimeout: 10 * time.Second,
		TLS: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	value := make([]byte, keySize)
	for n := 0; n < manyKeys; n += perTxn {
		ops := make([]clientv3.Op, 0, perTxn)
		for i := range perTxn {
			if _, err := rand.Read(value); err != nil {
				return err
			}
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("/bench/%06d", n+i), string(value)))
		}
		if _, err := client.Txn(ctx).Then(ops...).Commit(); err != nil {
			return err
		}
	}
	return nil
}
