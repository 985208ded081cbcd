package main

import (
	"bufio"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kubebundle/installer"
	"kubebundle/installer/config"
	"kubebundle/installer/phase"
)

func (a *app) resetCmd() *cobra.Command {
	cmd := a.resetLike("reset", "Take back what init or join did to this host", noArgs, false)
	cmd.AddCommand(a.resetLike("phase NAME [PART]…", "Run only these phases of reset", someArgs(1, -1, "names of phases"), true))
	return cmd
}

// resetLike is reset, or some phases of it: then what the journal knows stays until a whole reset.
func (a *app) resetLike(use, short string, args cobra.PositionalArgs, some bool) *cobra.Command {
	var f config.ResetFlags
	var images bool
	cmd := &cobra.Command{
		Use: use, Short: short, Args: args,
		Long: short + ": a sweep of what the cluster's programs left, then the journal backwards.\n" +
			"Files that were there before are put back, and the packet filter rules of services go. Not touched: images (see --images), network\n" +
			"interfaces and packet filter rules of the pod network (a reboot removes them), kubeconfigs in home folders.\n\nPhases: " + strings.Join(installer.ResetPhases(), ", "),
		RunE: func(cmd *cobra.Command, args []string) error {
			var only []string
			if some {
				names, rest := phaseNames(args, installer.ResetPhases())
				only = append(names, rest...)
			}
			for _, n := range only { // before it asks
				if !slices.ContainsFunc(installer.ResetPhases(), func(known string) bool { return phase.Skipped([]string{n}, known) }) {
					return &installer.UnknownPhaseError{Name: n, Known: installer.ResetPhases()}
				}
			}
			ctx := cmd.Context()
			cfg, err := config.LoadReset(&f, readFile)
			if err != nil {
				return err
			}
			facts, err := a.host.Facts(ctx)
			if err != nil {
				return err
			}
			if !cfg.DryRun && !cfg.Force && facts.UID == 0 {
				if err := a.confirm("reset", "This takes Kubernetes off this host, with all data of its pods and of etcd. Go on? [y/N]: ", "--force"); err != nil {
					return err
				}
			}
			if !cfg.DryRun {
				release, err := a.lock(facts, "install reset")
				if err != nil {
					return err
				}
				defer release()
			}
			j, err := installer.OpenJournal(a.host)
			if err != nil {
				a.say("warning: %v\n", err) // reset goes on with what can be read
			}
			socket := cfg.CRISocket
			if socket == "" {
				socket = installer.NodeCRISocket(a.host) // now: the files that tell it go
			}
			t, closeAll := a.target(func() string { return socket })
			defer closeAll()
			r := &installer.Reset{Config: cfg, Target: t, Journal: j, Events: a.listener(), Images: images, Only: only}
			if cfg.DryRun {
				r.Events = a.planPrinter()
			}
			sum, err := r.Run(ctx, cfg.DryRun)
			if err != nil {
				return err
			}
			a.summary("reset", sum, cfg.DryRun)
			if !cfg.DryRun && !some && a.output != "json" {
				a.say("%s", resetLeaves)
			}
			return nil
		},
	}
	f.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&images, "images", false, "also remove the images that were loaded")
	if some {
		cmd.ValidArgs = installer.ResetPhases()
	}
	return cmd
}

// resetLeaves is what a person should know after a reset.
const resetLeaves = `not touched: images (see --images), network interfaces and packet filter rules of the pod network (a reboot removes them), kubeconfigs in home folders
`

// confirm wants a yes on standard input, as kubeadm does.
func (a *app) confirm(verb, question, flag string) error {
	a.say("%s", question)
	line, _ := bufio.NewReader(a.in).ReadString('\n') // no line is no yes
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	default:
		return usagef("answer y, or give "+flag, "%s: not confirmed; nothing was changed", verb)
	}
}
