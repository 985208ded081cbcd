package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	code := run(ctx)
	stop()
	os.Exit(code)
}

func run(ctx context.Context) int {
	cmd := root(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: noTime})))
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var (
		host *commandError
		exit *exec.ExitError
	)
	if errors.As(err, &host) && errors.As(err, &exit) {
		return exit.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "lab:", err)
	if ctx.Err() != nil {
		return 130
	}
	return 1
}

func noTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
		return slog.Attr{}
	}
	return a
}

func root(log *slog.Logger) *cobra.Command {
	cmd := &cobra.Command{
		Use:           "lab",
		Short:         "Hosts without network, and a small internet to build their bundles from",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(prepareCmd(log), integrationCmd(log), upstreamCmd(log), upCmd(log))
	cmd.AddCommand(hostCommands(log)...)
	return cmd
}
