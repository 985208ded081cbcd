package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"kubebundle/bundle/trust"
	"kubebundle/installer/host"
	cruntime "kubebundle/runtime"
)

// app is the program with everything that it touches handed in.
type app struct {
	in       io.Reader
	out, err io.Writer
	host     host.Host
	environ  []string
	runtime  func(ctx context.Context, socket string, log *slog.Logger) (cruntime.Runtime, error)

	// pinned are the keys that the builder wrote into this program. A bundle must be signed with one of them, or of those that --key names.
	pinned func() (trust.Keys, error)

	bundlePath string
	basePath   string
	keys       []string
	output     string
	verbose    int
	rootfs     string // of an image that is prepared; "" for this host
	lockPath   string // "" means the usual one
	keptPath   string // of the bundle that a node keeps; "" means the usual one
}

// run is the program: it parses, does, reports and gives the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	cmd := a.root()
	cmd.SetArgs(args)
	cmd.SetIn(a.in)
	cmd.SetOut(a.out)
	cmd.SetErr(a.err)
	err := cmd.ExecuteContext(ctx)
	if err != nil {
		a.report(err, ctx.Err() != nil)
	}
	return exitCode(err, ctx.Err() != nil)
}

func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Make this host a Kubernetes node from the bundle beside this program, without a network",
		Long: "Make this host a Kubernetes node from the bundle beside this program, without a network.\n\n" +
			"The first node:   ./install init\nevery other one:  the join command that init prints\nand back:         ./install reset",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		Annotations:   anyHost,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&a.bundlePath, "bundle", "", "`path` of the bundle, a folder, a .tar.gz or a part of one (default: the folder of this program)")
	cmd.PersistentFlags().StringVar(&a.basePath, "base", "", "`path` of the bundle that a delta was made from (default: looked for beside the bundle and where this host was installed from)")
	cmd.PersistentFlags().StringArrayVar(&a.keys, "key", nil, "public `key`, a file or the key itself, one of which must have signed the bundle; repeat it (default: the keys that were pinned when the bundle was built)")
	cmd.PersistentFlags().StringVarP(&a.output, "output", "o", "text", "text or json")
	cmd.PersistentFlags().IntVarP(&a.verbose, "v", "v", 0, "`level` of detail: 1 also tells each step, 2 also why")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("see `"+c.CommandPath()+" --help`", "%w", err)
	})
	cmd.SetUsageTemplate(cmd.UsageTemplate() + "\n" + exitCodes + "\n")
	cmd.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		if _, also := c.Annotations["yaml"]; a.output != "text" && a.output != "json" && (!also || a.output != "yaml") {
			return usagef("", "--output %q: neither text nor json", a.output)
		}
		return a.checkProgram(c)
	}
	cmd.AddCommand(
		a.preflightCmd(), a.initCmd(), a.joinCmd(), a.tokenCmd(), a.imagesCmd(), a.certsCmd(), a.etcdCmd(), a.configCmd(), a.kubeconfigCmd(), a.upgradeCmd(), a.resetCmd(), a.statusCmd(),
		a.verifyCmd(), a.renderCmd(), a.phaseCmd(), a.versionCmd(),
	)
	return cmd
}

// noArgs refuses arguments, and names an unknown verb as one.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return usagef("see `"+cmd.CommandPath()+" --help`", "unknown command %q for %q", args[0], cmd.CommandPath())
	}
	return usagef("see `"+cmd.CommandPath()+" --help`", "%s takes no arguments, not %q", cmd.CommandPath(), args[0])
}

// someArgs wants between least and most arguments.
func someArgs(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return usagef("see `"+cmd.CommandPath()+" --help`", "%s takes %s, not %d arguments", cmd.CommandPath(), what, len(args))
		}
		return nil
	}
}

// group is a command that only holds others.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: noArgs, Annotations: anyHost, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(subs...)
	return cmd
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
		Use: "version", Short: "Print the version of this program", Args: noArgs, Annotations: anyHost,
		RunE: func(*cobra.Command, []string) error {
			if a.output == "json" {
				return a.printJSON(map[string]string{"version": programVersion(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
			}
			_, err := fmt.Fprintln(a.out, programVersion())
			return err
		},
	}
}
