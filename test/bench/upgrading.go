package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kubebundle/bundle/encoder"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// upgrading is the fourth part: who brings a control plane to the next minor sooner, for how long the API is away meanwhile, and how long an upgrade that
// cannot succeed takes until the API serves again.
func (b *bench) upgrading(ctx context.Context) (err error) {
	if err := b.nobodyThere(); err != nil {
		return err
	}
	if err := b.needBundle(ctx, encoder.Fast); err != nil {
		return err
	}
	if err := b.needNewer(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.noNetwork(context.WithoutCancel(ctx))) }()
	return contest(ctx, b.log, min(b.runs, maxInitRuns), []contender{
		{name: ourUpgrade, run: func(ctx context.Context, _ int) (sample, error) { return b.ourUpgrade(ctx) }},
		{name: kubeadmUpgrade, run: func(ctx context.Context, _ int) (sample, error) { return b.kubeadmUpgrade(ctx) }},
		{name: ourFailed, run: func(ctx context.Context, _ int) (sample, error) { return b.ourFailed(ctx) }},
	}, b.results)
}

// needNewer makes what the upgrades lead to: the bundle of the next minor, with the same manifests.
func (b *bench) needNewer(ctx context.Context) (err error) {
	if b.next, err = clusters.NewEnv(ctx, b.to, b.log); err != nil {
		return err
	}
	b.next.Manifests, b.next.Compression = b.env.Manifests, string(encoder.Fast)
	b.newer, err = b.next.BuildBundle(ctx, b.product)
	return err
}

// upgradable is a cluster of ours on one host, with the newer bundle there and its images loaded.
func (b *bench) upgradable(ctx context.Context) (*clusters.Cluster, error) {
	c, err := b.env.Install(ctx, clusters.InstallOptions{ControlPlanes: 1, Runtime: hosts.Containerd, Bundle: b.carried()})
	if err != nil {
		return c, err
	}
	if err := b.newer.Carry(ctx, c.Hosts[0]); err != nil {
		return c, err
	}
	return c, failed(b.newer.Install(ctx, c.Hosts[0], "images", "load"))
}

// failed is the error of an install that did not succeed, with all that it said.
func failed(i clusters.Installation) error {
	if i.Err == nil {
		return nil
	}
	return fmt.Errorf("install %s: %w\n%s%s", strings.Join(i.Args, " "), i.Err, i.Stdout, i.Stderr)
}

// ourUpgrade counts until the command has ended, with the kubelet of the new version; the API is watched on until all is quiet.
func (b *bench) ourUpgrade(ctx context.Context) (s sample, err error) {
	c, err := b.upgradable(ctx)
	defer func() { err = b.away(ctx, c, err) }()
	if err != nil {
		return s, err
	}
	w := clusters.WatchAPI(ctx, c.Hosts[0])
	unix.Sync()
	start := time.Now()
	err = failed(b.newer.Install(ctx, c.Hosts[0], "upgrade", "apply", "--yes"))
	s.Wall = time.Since(start)
	if err == nil {
		err = b.quiet(ctx, c)
	}
	s.outage(w.Stop())
	return s, err
}

func (s *sample) outage(o clusters.Outage) { s.Away, s.Back = o.Total, o.Last.Sub(o.First) }

// kubeadmUpgrade counts until kubeadm's command has ended, which leaves the kubelet alone. For the other contender the new kubelet is put into place by
// hand, and it counts until the node is Ready with it.
func (b *bench) kubeadmUpgrade(ctx context.Context) (s sample, err error) {
	c, err := b.env.Kubeadm(ctx, 0, hosts.Containerd)
	defer func() { err = b.away(ctx, c, err) }()
	if err != nil {
		return s, err
	}
	h := c.Hosts[0]
	if _, err := b.next.ImportImages(ctx, h); err != nil {
		return s, err
	}
	if err := b.next.CarryProgram(ctx, h, "kubeadm"); err != nil {
		return s, err
	}
	w := clusters.WatchAPI(ctx, h)
	unix.Sync()
	start := time.Now()
	err = h.Run(ctx, "kubeadm", "upgrade", "apply", b.to, "--yes", "--ignore-preflight-errors", clusters.KubeadmIgnores)
	s.Wall = time.Since(start)
	whole := s
	if err == nil {
		err = b.kubeletByHand(ctx, c)
		whole.Wall = time.Since(start)
	}
	if err == nil {
		err = b.quiet(ctx, c)
	}
	whole.outage(w.Stop())
	if err != nil {
		return s, err
	}
	b.log.Info(kubeadmWhole, "wall", whole.Wall.Round(time.Millisecond), "away", whole.Away.Round(time.Millisecond))
	b.results[kubeadmWhole] = append(b.results[kubeadmWhole], whole)
	return s, nil
}

// kubeletByHand is the rest of kubeadm's upgrade: what its documentation leaves to packages.
func (b *bench) kubeletByHand(ctx context.Context, c *clusters.Cluster) error {
	h := c.Hosts[0]
	if err := b.next.CarryProgram(ctx, h, "kubelet"); err != nil {
		return err
	}
	if err := h.Run(ctx, "systemctl", "restart", "kubelet"); err != nil {
		return err
	}
	for {
		out, err := c.Kubectl(ctx, "get", "nodes", "-o", `jsonpath={.items[0].status.nodeInfo.kubeletVersion} {.items[0].status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && out == b.to+" True" {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// quiet waits until a kubelet that has just been changed has started its static pods anew, the API server among them, and a while on.
func (b *bench) quiet(ctx context.Context, c *clusters.Cluster) error {
	const calm = 10 * time.Second
	for range 2 {
		if err := c.AwaitReady(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(calm):
		}
	}
	return nil
}

// ourFailed is given an API server with a flag that none knows. The node returns by itself to what it was, and the command says so.
func (b *bench) ourFailed(ctx context.Context) (s sample, err error) {
	c, err := b.upgradable(ctx)
	defer func() { err = b.away(ctx, c, err) }()
	if err != nil {
		return s, err
	}
	h := c.Hosts[0]
	if err := h.Run(ctx, "mkdir", "/root/poison"); err != nil {
		return s, err
	}
	poison := "- {op: add, path: /spec/containers/0/command/-, value: --nonsense=1}\n"
	if err := h.WriteFile("/root/poison/kube-apiserver+json.yaml", []byte(poison), 0o600); err != nil {
		return s, err
	}
	w := clusters.WatchAPI(ctx, h)
	unix.Sync()
	start := time.Now()
	r := b.newer.Install(ctx, h, "upgrade", "apply", "--yes", "--patches", "/root/poison")
	s.Wall = time.Since(start)
	if want := "the node is what it was: Kubernetes " + b.version + " serves again"; r.Code() != 1 || !strings.Contains(r.Stderr, want) {
		err = fmt.Errorf("install upgrade apply, poisoned: exit code %d, and not %q\n%s%s", r.Code(), want, r.Stdout, r.Stderr)
	} else {
		err = b.quiet(ctx, c)
	}
	s.outage(w.Stop())
	b.log.Info(ourFailed, slog.Duration("away", s.Away.Round(time.Millisecond)), slog.Duration("back", s.Back.Round(time.Millisecond)))
	return s, err
}
