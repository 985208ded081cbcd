package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"kubebundle/test/lab/cache"
	"kubebundle/test/lab/upstream"
)

func prepareUpstream(ctx context.Context, log *slog.Logger, version string, arches ...string) (*upstream.Upstream, error) {
	dir, err := cache.Dir()
	if err != nil {
		return nil, err
	}
	b, err := upstream.NewBuilder(ctx, dir, log)
	if err != nil {
		return nil, err
	}
	return upstream.Prepare(ctx, b, version, arches...)
}

func upstreamCmd(log *slog.Logger) *cobra.Command {
	var (
		version string
		arches  []string
		once    bool
	)
	cmd := &cobra.Command{
		Use:   "upstream",
		Short: "Build a Kubernetes release from its modules, serve it on loopback, print bundler's mirror flags; runs until stopped",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := prepareUpstream(cmd.Context(), log, version, arches...)
			if err != nil {
				return err
			}
			if once {
				return nil
			}
			s, err := upstream.Serve(cmd.Context(), log, u)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), strings.Join(s.Flags(), " "))
			<-cmd.Context().Done()
			return s.Close()
		},
	}
	cmd.Flags().StringVar(&version, "version", "v1.34.4", "Kubernetes version")
	cmd.Flags().StringSliceVar(&arches, "arch", []string{runtime.GOARCH}, "architectures")
	cmd.Flags().BoolVar(&once, "build-only", false, "build into the cache and end")
	return cmd
}
