package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

func upCmd(log *slog.Logger) *cobra.Command {
	var (
		version, rt, with, bundle, effort string
		cps, workers                      int
	)
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Make a cluster and leave it running; print its KUBECONFIG and hosts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			env, err := clusters.NewEnv(ctx, version, log)
			if err != nil {
				return err
			}
			if effort != "" {
				env.Compression = effort
			}
			if cps < 1 {
				return errors.New("a cluster needs a control plane")
			}
			var c *clusters.Cluster
			switch with {
			case "kubeadm":
				c, err = env.Kubeadm(ctx, workers, hosts.Runtime(rt))
			case "install":
				c, err = installUp(ctx, env, bundle, clusters.InstallOptions{ControlPlanes: cps, Workers: workers, Runtime: hosts.Runtime(rt)})
			default:
				return fmt.Errorf("--with %s: want install or kubeadm", with)
			}
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "KUBECONFIG=%s\n", c.Kubeconfig)
			for _, h := range c.Hosts {
				fmt.Fprintf(out, "%s\t%s\n", h.Name, h.IP)
			}
			t := c.Timing
			log.Info("cluster is ready", "import", t.Import.Round(time.Millisecond), "init", t.Init.Round(time.Millisecond), "join", t.Join.Round(time.Millisecond))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&version, "version", "v1.34.4", "Kubernetes version")
	f.IntVar(&cps, "control-planes", 1, "hosts with a control plane")
	f.IntVar(&workers, "workers", 1, "hosts without")
	f.StringVar(&rt, "runtime", string(hosts.Containerd), fmt.Sprintf("what the hosts have installed, one of %v", hosts.Runtimes()))
	f.StringVar(&bundle, "bundle", "", "bundle `FILE` to install instead of one that is built from the working tree")
	f.StringVar(&effort, "compression", "", "bundler's flag of that name; fast saves half a minute")
	f.StringVar(&with, "with", "install", "who makes the cluster: install (ours) or kubeadm (the yardstick)")
	return cmd
}

func installUp(ctx context.Context, env *clusters.Env, file string, o clusters.InstallOptions) (*clusters.Cluster, error) {
	if file != "" {
		path, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		o.Bundle = clusters.Bundle{Path: path, Folder: strings.TrimSuffix(filepath.Base(path), ".tar.gz")}
		return env.Install(ctx, o)
	}
	programs, err := env.BuildPrograms(ctx)
	if err != nil {
		return nil, err
	}
	if o.Bundle, err = env.BuildBundle(ctx, programs); err != nil {
		return nil, err
	}
	return env.Install(ctx, o)
}
