package main

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"kubebundle/bundle/encoder"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// resetting is the sixth part: who takes a control plane off its host sooner, with all pods of the cluster running there.
func (b *bench) resetting(ctx context.Context) (err error) {
	if err := b.nobodyThere(); err != nil {
		return err
	}
	if err := b.needBundle(ctx, encoder.Fast); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.noNetwork(context.WithoutCancel(ctx))) }()
	return contest(ctx, b.log, min(b.runs, maxInitRuns), []contender{
		{name: ourReset, run: func(ctx context.Context, _ int) (sample, error) {
			c, err := b.env.Install(ctx, clusters.InstallOptions{ControlPlanes: 1, Runtime: hosts.Containerd, Bundle: b.carried()})
			return b.reset(ctx, c, err, func(h *hosts.Host) error { return failed(b.carried().Install(ctx, h, "reset", "--force")) })
		}},
		{name: kubeadmReset, run: func(ctx context.Context, _ int) (sample, error) {
			c, err := b.env.Kubeadm(ctx, 0, hosts.Containerd)
			return b.reset(ctx, c, err, func(h *hosts.Host) error { return h.Run(ctx, "kubeadm", "reset", "--force") })
		}},
	}, b.results)
}

// reset measures a reset of a cluster's host and takes the host away.
func (b *bench) reset(ctx context.Context, c *clusters.Cluster, err error, run func(*hosts.Host) error) (s sample, _ error) {
	if err == nil {
		unix.Sync()
		start := time.Now()
		err = run(c.Hosts[0])
		s.Wall = time.Since(start)
	}
	return s, b.away(ctx, c, err)
}
