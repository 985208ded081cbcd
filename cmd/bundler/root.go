package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"
)

// app is the program with everything that it touches handed in.
type app struct {
	out, err   io.Writer
	getenv     func(string) string
	executable string

	output  string // text or json
	verbose bool
}

// run is the program: it parses, does, reports and gives the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	cmd := a.root()
	cmd.SetArgs(args)
	cmd.SetOut(a.out)
	cmd.SetErr(a.err)
	err := cmd.ExecuteContext(ctx)
	code := exitCode(err, ctx.Err() != nil)
	if err != nil {
		a.report(err, code)
	}
	return code
}

func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundler",
		Short: "Pack Kubernetes for hosts that have no network",
		Long: "Pack Kubernetes for hosts that have no network: images, programs, units and an installer in one file.\n\n" +
			"Here:    bundler build --version v1.34.4 --arch amd64\n" +
			"There:   tar xzf k8s-v1.34.4-linux-amd64.tar.gz && cd k8s-v1.34.4-linux-amd64 && ./install init",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVarP(&a.output, "output", "o", "text", "`format` of the output, text or json")
	cmd.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false, "also tell details on standard error")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usageHint(c, "%w", err) })
	cmd.SetUsageTemplate(cmd.UsageTemplate() + "\n" + exitCodes + "\n")
	cmd.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		if !slices.Contains([]string{"text", "json"}, a.output) {
			return usageHint(c, "--output %q: neither text nor json (the file's place is --output-file or --output-dir)", a.output)
		}
		return nil
	}
	cmd.AddCommand(a.buildCmd(), a.imagesCmd(), a.versionsCmd(), a.inspectCmd(), a.verifyCmd(), a.diffCmd(), a.keygenCmd(), a.signCmd(), a.sbomCmd(), a.versionCmd())
	return cmd
}

// noArgs refuses arguments, and names an unknown verb as one.
func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasSubCommands():
		return usageHint(cmd, "unknown command %q for %q", args[0], cmd.CommandPath())
	}
	return usageHint(cmd, "%s takes no arguments, not %q", cmd.CommandPath(), args[0])
}

// oneBundle wants the path of a bundle.
func oneBundle(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageHint(cmd, "%s takes one bundle, a .tar.gz, a part of one or a folder, not %d arguments", cmd.CommandPath(), len(args))
	}
	return nil
}

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version = ""

func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.output == "json" {
				return a.printJSON(map[string]string{
					"version": programVersion(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
				})
			}
			_, err := fmt.Fprintln(a.out, programVersion())
			return err
		},
	}
}

// printJSON writes a result to standard output.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// logger tells details on standard error with --verbose.
func (a *app) logger() *slog.Logger {
	if !a.verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
