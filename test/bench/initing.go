package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"kubebundle/bundle/encoder"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// A host takes a while to make, and what happens on it varies less than a build does.
const maxInitRuns = 3

// initing is the third part: who makes a control plane of a host sooner. Hosts are made anew for every run, one at a time.
func (b *bench) initing(ctx context.Context) (err error) {
	if err := b.nobodyThere(); err != nil {
		return err
	}
	// After a build it is the default one; alone, the effort of the encoder is nothing that this part could notice.
	if err := b.needBundle(ctx, encoder.Fast); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.noNetwork(context.WithoutCancel(ctx))) }()
	return contest(ctx, b.log, min(b.runs, maxInitRuns), []contender{
		{name: ourInit, run: func(ctx context.Context, _ int) (sample, error) { return b.ourInit(ctx) }},
		{name: kubeadmInit, run: func(ctx context.Context, _ int) (sample, error) { return b.kubeadm(ctx) }},
		{name: ourReady, run: func(ctx context.Context, _ int) (sample, error) { return b.ourReady(ctx) }},
	}, b.results)
}

// nobodyThere refuses a lab that has hosts: they are somebody's, or of a run that was killed, and not ours to decide about.
func (b *bench) nobodyThere() error {
	there, err := b.env.Lab.List()
	if err != nil || len(there) == 0 {
		return err
	}
	return fmt.Errorf("lab %[1]s has a host %[2]s (away with it: %[3]s=%[1]s go run ./test/lab down)", os.Getenv(hosts.EnvID), there[0].Name, hosts.EnvID)
}

// noNetwork takes the lab's bridge away, unless somebody has put a host on it meanwhile.
func (b *bench) noNetwork(ctx context.Context) error {
	there, err := b.env.Lab.List()
	if err != nil || len(there) > 0 {
		return err
	}
	return b.env.Lab.Down(ctx)
}

func (b *bench) carried() clusters.Bundle {
	return clusters.Bundle{Path: b.bundleFile(), Folder: b.folder()}
}

// ourInit loads the images first and measures init alone.
func (b *bench) ourInit(ctx context.Context) (sample, error) {
	load := func(ctx context.Context, h *hosts.Host) error {
		i := b.carried().Install(ctx, h, "images", "load")
		if i.Err != nil {
			return fmt.Errorf("%w\n%s", i.Err, i.Stderr)
		}
		return nil
	}
	c, err := b.env.Install(ctx, clusters.InstallOptions{ControlPlanes: 1, Runtime: hosts.Containerd, Bundle: b.carried(), Before: load})
	return sample{Wall: c.Timing.Init}, b.away(ctx, c, err)
}

// ourReady begins with the unpacked bundle and ends when the node is Ready.
func (b *bench) ourReady(ctx context.Context) (sample, error) {
	ready := b.watch(ctx)
	c, err := b.env.Install(ctx, clusters.InstallOptions{ControlPlanes: 1, Runtime: hosts.Containerd, Bundle: b.carried()})
	return b.until(ctx, ready, c, err)
}

// kubeadm measures kubeadm's init, and the way from the import to a Ready node for the contender of that name.
func (b *bench) kubeadm(ctx context.Context) (sample, error) {
	ready := b.watch(ctx)
	c, err := b.env.Kubeadm(ctx, 0, hosts.Containerd)
	s, err := b.until(ctx, ready, c, err)
	if err != nil {
		return s, err
	}
	b.results[kubeadmReady] = append(b.results[kubeadmReady], s)
	return sample{Wall: c.Timing.Init}, nil
}

// until takes a cluster away and gives the time from its start until its node was Ready.
func (b *bench) until(ctx context.Context, w *watch, c *clusters.Cluster, err error) (sample, error) {
	at := w.stop()
	if err := b.away(ctx, c, err); err != nil {
		return sample{}, err
	}
	if at.IsZero() {
		return sample{}, fmt.Errorf("nobody saw the node get Ready; the last look: %w", w.last)
	}
	return sample{Wall: at.Sub(c.Timing.Start)}, nil
}

// away removes the hosts of a cluster, whatever became of it.
func (b *bench) away(ctx context.Context, c *clusters.Cluster, err error) error {
	if c == nil {
		return err
	}
	for _, h := range c.Hosts {
		err = errors.Join(err, h.Destroy(context.WithoutCancel(ctx)))
	}
	return err
}

// watch asks the API server of host cp1 again and again until its node is Ready. It begins before the host is there.
type watch struct {
	cancel context.CancelFunc
	ready  chan time.Time
	last   error // why the last look saw nothing; to be read after stop
}

func (b *bench) watch(ctx context.Context) *watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{cancel: cancel, ready: make(chan time.Time, 1)}
	go func() {
		var client kubernetes.Interface
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				w.ready <- time.Time{}
				return
			case <-tick.C:
			}
			if client == nil {
				client, w.last = b.client()
				continue
			}
			ready, err := nodeReady(ctx, client)
			if ready {
				w.ready <- time.Now()
				tick.Stop()
				return
			}
			if err != nil && ctx.Err() == nil { // the kubeconfig may have been read while it was being written
				client, w.last = nil, err
			}
		}
	}()
	return w
}

// stop gives the time when the node was Ready, zero if it never was.
func (w *watch) stop() time.Time {
	select {
	case at := <-w.ready:
		w.cancel()
		return at
	default:
	}
	w.cancel()
	return <-w.ready
}

// client fails as long as the host has no kubeconfig of an administrator.
func (b *bench) client() (kubernetes.Interface, error) {
	h, err := b.env.Lab.Host("cp1")
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(h.Root(), "etc/kubernetes/admin.conf"))
	if err != nil {
		return nil, err
	}
	conf, err := clientcmd.RESTConfigFromKubeConfig(raw)
	if err != nil { // half-written: the next tick reads it again
		return nil, err
	}
	conf.QPS, conf.Burst, conf.Timeout = 100, 100, 2*time.Second
	client, err := kubernetes.NewForConfig(conf)
	if err != nil {
		return nil, err
	}
	return client, nil
}

func nodeReady(ctx context.Context, client kubernetes.Interface) (bool, error) {
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, err
	}
	for _, n := range list.Items {
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return true, nil
			}
		}
	}
	return false, nil
}
