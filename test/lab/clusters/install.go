package clusters

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kubebundle/test/lab/hosts"
)

// InstallOptions say how a cluster is made with our bundle.
type InstallOptions struct {
	ControlPlanes, Workers int
	// Endpoint gives a single control plane an address that further ones can share: the first host's.
	Endpoint bool
	// VIP makes the first free address of the network the endpoint, by --vip; the bundle must have been built for it (Env.VirtualIP).
	VIP     bool
	Runtime hosts.Runtime
	Bundle  Bundle
	// InitFlags and JoinFlags are added to the commands.
	InitFlags, JoinFlags []string
	// Before is called for every host when the bundle is there and nothing was installed yet; nil is nothing.
	Before func(ctx context.Context, h *hosts.Host) error
}

// ConfigPath is where the lab's configuration lies on a host.
const ConfigPath = "/root/lab.yaml"

// InitArgs is the lab's init command.
func InitArgs() []string { return []string{"init", "--config", ConfigPath, "--configure-runtime"} }

// Install makes a cluster with a bundle: carry, unpack, init, join.
func (e *Env) Install(ctx context.Context, o InstallOptions) (*Cluster, error) {
	c := &Cluster{Env: e}
	for i := range o.ControlPlanes + o.Workers {
		h, err := e.Lab.Create(ctx, hostName(i, o.ControlPlanes), o.Runtime)
		if err != nil {
			return c, err
		}
		c.Hosts = append(c.Hosts, h)
		if err := o.Bundle.Carry(ctx, h); err != nil {
			return c, fmt.Errorf("carry the bundle to %s: %w", h.Name, err)
		}
		if err := Forwarding(ctx, h); err != nil {
			return c, err
		}
		if o.Before != nil {
			if err := o.Before(ctx, h); err != nil {
				return c, err
			}
		}
	}
	endpoint := ""
	if o.VIP {
		endpoint = e.Lab.Net.Spare().String() + ":8443"
		o.InitFlags = append(slices.Clone(o.InitFlags), "--upload-certs", "--vip", e.Lab.Net.Spare().String())
	} else if o.ControlPlanes > 1 || o.Endpoint {
		endpoint = c.Hosts[0].IP.String() + ":6443"
		o.InitFlags = append(slices.Clone(o.InitFlags), "--upload-certs")
	}
	cfg, err := InitConfig(e.Lab.Machine, e.Upstream.Version, endpoint, RuntimeDocs(o.Runtime)...)
	if err != nil {
		return c, err
	}
	if err := c.Hosts[0].WriteFile(ConfigPath, []byte(cfg), 0o600); err != nil {
		return c, err
	}
	start := time.Now()
	c.Timing.Start = start
	res := o.Bundle.Install(ctx, c.Hosts[0], append(InitArgs(), o.InitFlags...)...)
	c.Runs = append(c.Runs, res)
	c.Timing.Init = time.Since(start)
	e.Log.Debug("init", "stdout", res.Stdout, "stderr", res.Stderr)
	if err := res.check(); err != nil {
		return c, err
	}
	join, err := JoinArgs(res.Stdout)
	if err != nil {
		return c, err
	}
	if err := c.FetchKubeconfig(ctx); err != nil {
		return c, err
	}
	for i, h := range c.Hosts[1:] {
		args := join
		if i < o.ControlPlanes-1 {
			if args, err = JoinControlPlaneArgs(res.Stdout); err != nil {
				return c, err
			}
		}
		start := time.Now()
		res := o.Bundle.Install(ctx, h, slices.Concat(args, JoinFlags(o.Runtime), o.JoinFlags)...)
		c.Timing.Join = max(c.Timing.Join, time.Since(start))
		c.Runs = append(c.Runs, res)
		e.Log.Debug("join", "stdout", res.Stdout, "stderr", res.Stderr)
		if err := res.check(); err != nil {
			return c, err
		}
	}
	return c, c.AwaitReady(ctx)
}

// Forwarding turns IPv4 forwarding on, now and after a reboot: a person does so because kubeadm's and our preflight ask for it.
func Forwarding(ctx context.Context, h *hosts.Host) error {
	if err := h.WriteFile("/etc/sysctl.d/99-kubernetes.conf", []byte("net.ipv4.ip_forward = 1\n"), 0o644); err != nil {
		return err
	}
	return h.Run(ctx, "sysctl", "-qw", "net.ipv4.ip_forward=1")
}

// JoinArgs takes the join command out of what init or `token create --print-join-command` printed.
func JoinArgs(stdout string) ([]string, error) {
	text := strings.ReplaceAll(stdout, "\\\n", " ")
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		for i := range f {
			if f[i] == "join" && i > 0 && strings.HasSuffix(f[i-1], "install") {
				return f[i:], nil
			}
		}
	}
	return nil, fmt.Errorf("no join command in %q", stdout)
}

// JoinControlPlaneArgs takes the command that joins a control plane out of what init printed.
func JoinControlPlaneArgs(stdout string) ([]string, error) {
	text := strings.ReplaceAll(stdout, "\\\n", " ")
	for line := range strings.Lines(text) {
		if strings.Contains(line, "--control-plane") {
			return JoinArgs(line)
		}
	}
	return nil, fmt.Errorf("no command for a control plane in %q", stdout)
}
