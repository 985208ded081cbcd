package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"kubebundle/bundle"
	"kubebundle/bundle/trust"
	"kubebundle/installer"
	"kubebundle/installer/cluster"
	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/installer/phase"
	"kubebundle/installer/step"
	"kubebundle/release"
	cruntime "kubebundle/runtime"
)

// errPinned says that this program cannot tell whom it shall trust.
var errPinned = errors.New("this program is damaged")

// trusted says whose signature a bundle needs; nobody's is an empty list.
func (a *app) trusted() (trust.Keys, error) {
	if len(a.keys) > 0 {
		keys, err := trust.LoadKeys(a.keys)
		if err != nil {
			return nil, usagef("", "--key: %w", err)
		}
		return keys, nil
	}
	keys, err := a.pinned()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPinned, err)
	}
	return keys, nil
}

// errNoBundle: where a bundle was looked for, there is none.
var errNoBundle = errors.New("no bundle")

// openBundle opens the bundle that --bundle names, or the one beside this program. Where keys are trusted, nothing is made of the bundle
// before one of them has vouched for all of it.
func (a *app) openBundle(ctx context.Context) (*bundle.Bundle, *trust.Signature, error) {
	keys, err := a.trusted()
	if err != nil {
		return nil, nil, err
	}
	p := a.bundlePath
	if p == "" {
		exe, err := os.Executable()
		if err != nil {
			return nil, nil, fmt.Errorf("find the bundle: %w", err)
		}
		if exe, err = filepath.EvalSymlinks(exe); err != nil {
			return nil, nil, fmt.Errorf("find the bundle: %w", err)
		}
		p = filepath.Dir(exe)
	}
	b, sig, err := keys.Open(ctx, p)
	if errors.Is(err, fs.ErrNotExist) {
		// %v: that its first file is missing does not make it a damaged bundle.
		return nil, nil, usagef("run this program from the folder of an unpacked bundle, or name one with --bundle", "%w at %s: %v", errNoBundle, p, err)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := a.useBase(b); err != nil {
		return nil, nil, err
	}
	return b, sig, nil
}

// releaseOf finds the rules of a bundle's version. One that is newer than the catalog was built because its builder allowed that.
func releaseOf(c *bundle.Contract) (*release.Release, error) {
	v, err := release.Parse(c.KubernetesVersion)
	if err != nil {
		return nil, err
	}
	kubeDNS := slices.ContainsFunc(c.Images, func(i bundle.Image) bool { return i.Component == string(release.KubeDNS) })
	return release.Find(v, release.Options{ImageRepository: c.ImageRepository, AllowUnknown: true, KubeDNS: kubeDNS})
}

// node is what a workflow needs to know about this host and its bundle.
type node struct {
	bundle  *bundle.Bundle
	release *release.Release
	facts   host.Facts
	journal *installer.Journal
	target  *step.Target
	close   func()
	found   string // the runtime's socket
	several error  // why found is undecided
}

func (a *app) openNode(ctx context.Context, socket func() string) (*node, error) {
	b, err := a.openOwnBundle(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.BaseError(); err != nil {
		return nil, err
	}
	rel, err := releaseOf(b.Contract())
	if err != nil {
		return nil, err
	}
	facts, err := a.host.Facts(ctx)
	if err != nil {
		return nil, err
	}
	j, err := installer.OpenJournal(a.host)
	if err != nil && facts.UID == 0 {
		return nil, err
	}
	n := &node{bundle: b, release: rel, facts: facts, journal: j}
	n.found, n.several = findSocket(a.host, rel.Dockershim())
	n.target, n.close = a.target(socket)
	n.target.Bundle = b
	return n, nil
}

// target makes what steps act on. The connections are opened on first use; close ends them.
func (a *app) target(socket func() string) (*step.Target, func()) {
	var mu sync.Mutex
	var rt cruntime.Runtime
	var api *cluster.Client
	log := a.logger()
	t := &step.Target{
		Host: a.host, Log: log, Out: a.out,
		Runtime: func(ctx context.Context) (cruntime.Runtime, error) {
			mu.Lock()
			defer mu.Unlock()
			if rt != nil {
				return rt, nil
			}
			var err error
			rt, err = a.runtime(ctx, socket(), log)
			return rt, err
		},
		Cluster: func(context.Context) (*cluster.Client, error) {
			mu.Lock()
			defer mu.Unlock()
			if api != nil {
				return api, nil
			}
			var err error
			api, err = nodeClient(a.host)
			return api, err
		},
	}
	t.Etcd = func(ctx context.Context, conn step.EtcdConn) (step.Etcd, error) { return a.openEtcd(ctx, t, conn) }
	return t, func() {
		if rt != nil {
			_ = rt.Close() // the end of the program
		}
	}
}

// nodeKubeconfigs are the credentials of this node, the mightiest first: until init has bound admin.conf's group to its rights (v1.29 on)
// only super-admin.conf has any; a worker has only its kubelet's.
var nodeKubeconfigs = []string{"/etc/kubernetes/super-admin.conf", "/etc/kubernetes/admin.conf", "/etc/kubernetes/kubelet.conf"}

// nodeClient talks to the API server that this node's own kubeconfig names: the user gave it to init or join.
func nodeClient(h host.Reader) (*cluster.Client, error) {
	for _, p := range nodeKubeconfigs {
		data, err := h.ReadFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return clientFor(data)
	}
	return nil, errNoKubeconfig
}

var errNoKubeconfig = errors.New("this host has no kubeconfig of a cluster: " + strings.Join(nodeKubeconfigs, ", ") + " are missing")

func clientFor(kubeconfig []byte) (*cluster.Client, error) {
	server, err := cluster.ServerOf(kubeconfig)
	if err != nil {
		return nil, err
	}
	return cluster.FromKubeconfig(kubeconfig, cluster.NewDialer(strings.TrimPrefix(server, "https://")))
}

// state is what phases start from.
func (a *app) state(n *node, configureRuntime bool) *phase.State {
	return &phase.State{
		Bundle: n.bundle, Release: n.release, Facts: n.facts, Now: time.Now(), Rand: rand.Reader, Log: a.logger(),
		Runtime: n.target.Runtime, EtcdVersion: etcdVersion, Environ: a.environ, ConfigureRuntime: configureRuntime,
		OpenEtcd: openEtcdFor,
	}
}

// readFile reads a file that the user named: from where the user stands, which need not be the host that is installed.
func readFile(p string) ([]byte, error) { return os.ReadFile(p) }

// settle decides what a configuration leaves to where and on which host it is read.
func (n *node) settle(patches *string, socket string) error {
	if socket == undecided {
		return n.several
	}
	if *patches == "" {
		return nil
	}
	abs, err := filepath.Abs(*patches)
	*patches = abs
	return err
}

// repositoryOf is the image repository of an installation that asks for none: what the bundle was built with, or the registry of its version.
func repositoryOf(c *bundle.Contract) string {
	rel, err := releaseOf(c)
	if err != nil {
		return c.ImageRepository
	}
	return rel.ImageRepository()
}

// environment is what the defaults of a configuration depend on.
func (n *node) environment(init bool) config.Environment {
	e := config.Environment{Hostname: n.facts.Hostname, Addresses: n.facts.Addresses, DefaultRouteIP: n.facts.DefaultRouteIP, CRISocket: n.found}
	if init {
		e.KubernetesVersion = n.bundle.Contract().KubernetesVersion
		e.ImageRepository = repositoryOf(n.bundle.Contract())
	}
	return e
}

// standing lets a host that has a control plane keep its address: beside it there may be the virtual IP by now, and those of a pod network.
func (a *app) standing(e config.Environment) config.Environment {
	has := phase.Advertised(a.host)
	if e.DefaultRouteIP == nil && slices.ContainsFunc(e.Addresses, func(n net.IPNet) bool { return n.IP.Equal(has) }) {
		e.DefaultRouteIP = has
	}
	return e
}

// lock takes the right to change this host. Who is not root cannot, and hears of it from preflight with everything else.
func (a *app) lock(f host.Facts, command string) (func(), error) {
	if f.UID != 0 {
		return func() {}, nil
	}
	p := a.lockPath
	if p == "" {
		p = installer.LockPath
	}
	l, err := installer.AcquireLock(p, command)
	if err != nil {
		return nil, err
	}
	return func() { _ = l.Release() }, nil // the kernel would release it anyway
}
