package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

func upCmd(log *slog.Logger) *cobra.Command {
	var (
		version, rt, with string
		cps, workers      int
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
			if cps < 1 {
				return errors.New("a cluster needs a control plane")
			}
			var c *clusters.Cluster
			switch with {
			case "kubeadm":
				c, err = env.Kubeadm(ctx, workers, hosts.Runtime(rt))
			default:
				return fmt.Errorf("--with %s: want install or kubeadm", with)
			}
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "KUBECONFIG=%s\n", c.Kubeconfig) //nolint:errcheck // a terminal
			for _, h := range c.Hosts {
				fmt.Fprintf(out, "%s\t%s\n", h.Name, h.IP) //nolint:errcheck // a terminal
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
	f.StringVar(&with, "with", "install", "who makes the cluster: install (ours) or kubeadm (the yardstick)")
	return cmd
}
