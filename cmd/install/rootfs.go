package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"kubebundle/installer"
	"kubebundle/installer/cluster"
	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/installer/phase"
	cruntime "kubebundle/runtime"
)

func addRootfs(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "rootfs", "", "`directory` of an image to prepare instead of this host: files are written and units enabled, nothing is started; what is left for the machine itself is listed")
}

const rootfsLong = "\n\nWith --rootfs an image is prepared that does not run. Give it --apiserver-advertise-address, the address that the machine will have. Once it runs,\n" +
	"the same command without --rootfs does what was left."

// at is the program on a tree of files that does not run; an empty path is the program as it is.
func (a *app) at(root, nodeName string) (*app, error) {
	if root == "" {
		return a, nil
	}
	f, err := host.FactsOf(root)
	if err != nil {
		return nil, usagef("", "--rootfs: %w", err)
	}
	if nodeName != "" && f.Hostname == "" {
		f.Hostname = nodeName
	}
	if f.Hostname == "" {
		return nil, usagef("give --node-name, or put the name into etc/hostname", "--rootfs %s: it does not say how the machine will be called", root)
	}
	b := *a
	b.rootfs = root
	if b.host, err = host.NewRooted(root, f); err != nil {
		return nil, err
	}
	b.runtime = func(context.Context, string, *slog.Logger) (cruntime.Runtime, error) {
		return nil, fmt.Errorf("ask the container runtime: %w", host.ErrNotRunning)
	}
	b.lockPath = filepath.Join(root, installer.LockPath)
	return &b, nil
}

// offline makes of a node one that asks neither this host nor a cluster.
func (a *app) offline(n *node, s *phase.State) error {
	if a.rootfs == "" {
		return nil
	}
	n.target.Cluster = func(context.Context) (*cluster.Client, error) { return nil, host.ErrNotRunning }
	if err := os.MkdirAll(filepath.Dir(a.lockPath), 0o755); err != nil { //nolint:gosec // /run of the image
		return err
	}
	return s.ReadPatches(host.NewLocal()) // the user's, not the image's
}

// joinEnvironment is what a join's defaults depend on. In an image all that depends on the node's address is left for later, so any will do.
func (a *app) joinEnvironment(n *node) config.Environment {
	e := n.environment(false)
	if a.rootfs != "" {
		u := config.Unplaced("", "")
		e.Addresses, e.DefaultRouteIP = u.Addresses, u.DefaultRouteIP
	}
	return e
}

// left tells what the machine itself has to do.
func (a *app) left(workflow string, later []installer.Deferral) {
	if a.rootfs == "" || a.output == "json" {
		return
	}
	a.say("left for the machine itself:\n")
	for _, d := range later {
		a.say("  %-22s %s\n", d.Phase, d.Step)
	}
	a.say("once it runs, do it with the same command without --rootfs: ./install %s …\n", workflow)
}
