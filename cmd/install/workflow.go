package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"kubebundle/installer"
	"kubebundle/installer/config"
	"kubebundle/installer/phase"
)

// job is one run of a workflow, whatever verb asked for it.
type job struct {
	name    string
	version string // of Kubernetes, for the journal; "" is the bundle's
	phases  []phase.Phase
	state   *phase.State
	node    *node
	skip    []string
	only    []string
	dryRun  bool
	upgrade bool // a failure leads back
}

func (a *app) runJob(ctx context.Context, j job) error {
	if err := installer.CheckNames(j.phases, append(append([]string{}, j.skip...), j.only...)); err != nil {
		return err
	}
	if j.version == "" && j.node.bundle != nil {
		j.version = j.node.bundle.Contract().KubernetesVersion
	}
	e := &installer.Engine{
		Workflow: j.name, Version: j.version, Target: j.node.target, Journal: j.node.journal,
		Events: a.listener(), Skip: j.skip, Only: j.only, Offline: a.rootfs != "",
	}
	if j.dryRun {
		e.Events = a.planPrinter()
		sum, err := e.DryRun(ctx, j.phases, j.state)
		if err == nil {
			a.left(j.name, sum.Later)
			a.summary(j.name, sum, true)
		}
		return err
	}
	release, err := a.lock(j.node.facts, "install "+j.name)
	if err != nil {
		return err
	}
	defer release()
	run := e.Run
	if j.upgrade {
		run = e.RunUpgrade
	}
	sum, err := run(ctx, j.phases, j.state)
	if err == nil {
		a.left(j.name, sum.Later)
		a.summary(j.name, sum, false)
	}
	return err
}

func (a *app) initCmd() *cobra.Command {
	cmd := a.initLike("init", "Make this host the first control plane node of a cluster", noArgs, nil)
	cmd.AddCommand(a.phaseCmd())
	return cmd
}

// phaseCmd is `init phase`, and `phase` alone: as `kubeadm alpha phase` was written.
func (a *app) phaseCmd() *cobra.Command {
	known := phase.Names(installer.Init())
	return a.initLike("phase NAME [PART]…", "Run only these phases of init", someArgs(1, -1, "names of phases"), func(args []string) []string {
		names, rest := phaseNames(args, known)
		return append(names, rest...) // which are no phases, and the engine says so
	})
}

// initLike is init, or some phases of it: only picks them from the arguments.
func (a *app) initLike(use, short string, args cobra.PositionalArgs, only func(args []string) []string) *cobra.Command {
	var f config.InitFlags
	var configureRuntime bool
	var rootfs string
	cmd := &cobra.Command{
		Use: use, Short: short, Args: args,
		Long: short + ".\n\nPhases: " + phaseList(installer.Init()) + rootfsLong,
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := a.at(rootfs, f.NodeName)
			if err != nil {
				return err
			}
			n, cfg, err := a.loadInit(cmd.Context(), &f)
			if err != nil {
				return err
			}
			defer n.close()
			if cfg.CertificateKey != "" && !cfg.UploadCerts {
				return usagef("give --upload-certs as well", "--certificate-key: nothing is sealed with it, since no certificates are uploaded")
			}
			s := a.state(n, configureRuntime)
			a.warnValidity(cfg.Cluster.CertificateValidityPeriod.Duration)
			s.Init = cfg
			if err := a.offline(n, s); err != nil {
				return err
			}
			j := job{name: "init", phases: installer.Init(), state: s, node: n, skip: cfg.SkipPhases, dryRun: cfg.DryRun}
			if only != nil {
				j.only = only(args)
			}
			return a.runJob(cmd.Context(), j)
		},
	}
	f.AddFlags(cmd.Flags())
	addConfigureRuntime(cmd, &configureRuntime)
	addRootfs(cmd, &rootfs)
	if only != nil {
		cmd.ValidArgs = phase.Names(installer.Init())
	}
	return cmd
}

func addConfigureRuntime(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "configure-runtime", false, "change the container runtime's configuration where it names another sandbox image than the bundle's")
}

func (a *app) loadInit(ctx context.Context, f *config.InitFlags) (*node, *config.Init, error) {
	var socket string
	n, err := a.openNode(ctx, func() string { return socket })
	if err != nil {
		return nil, nil, err
	}
	cfg, err := config.LoadInit(f, readFile, a.standing(n.environment(true)))
	if err != nil {
		n.close()
		return nil, nil, err
	}
	if err := n.settle(&cfg.PatchesDir, cfg.NodeRegistration.CRISocket); err != nil {
		n.close()
		return nil, nil, err
	}
	socket = cfg.NodeRegistration.CRISocket
	return n, cfg, nil
}

func (a *app) joinCmd() *cobra.Command {
	cmd := a.joinLike("join [HOST:PORT]", "Make this host a worker, or with --control-plane a further control plane, of an existing cluster", someArgs(0, 1, "the cluster's host:port"), false)
	cmd.AddCommand(a.joinLike("phase NAME [PART]… [HOST:PORT]", "Run only these phases of join", someArgs(1, -1, "names of phases and the cluster's host:port"), true))
	return cmd
}

func (a *app) joinLike(use, short string, args cobra.PositionalArgs, onePhase bool) *cobra.Command {
	var f config.JoinFlags
	var configureRuntime bool
	var rootfs string
	cmd := &cobra.Command{
		Use: use, Short: short, Args: args,
		Long: short + ".\n\nPhases: " + phaseList(installer.Join()) + "\n\nWith --control-plane: " + phaseList(installer.JoinControlPlane()) +
			"\n\nOn a host that has joined already, the cluster is not asked and no valid token is needed. To bring a changed configuration to such a\n" +
			"host, run `install join phase kubelet-start` with the same flags and a new token.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var only []string
			if onePhase {
				// discovery changes nothing, and every other phase needs what it finds
				names, rest := phaseNames(args, append(phase.Names(installer.JoinControlPlane()), phase.Names(installer.Join())...))
				if len(names) == 0 {
					return &installer.UnknownPhaseError{Name: args[0], Known: phase.Names(installer.JoinControlPlane())}
				}
				if len(rest) > 1 {
					return usagef("see `"+cmd.CommandPath()+" --help`", "%s takes names of phases and one host:port, not %q", cmd.CommandPath(), rest)
				}
				only, args = append([]string{"discovery"}, names...), rest
			}
			a, err := a.at(rootfs, f.NodeName)
			if err != nil {
				return err
			}
			var socket string
			n, err := a.openNode(cmd.Context(), func() string { return socket })
			if err != nil {
				return err
			}
			defer n.close()
			cfg, err := config.LoadJoin(&f, args, readFile, a.joinEnvironment(n))
			if err != nil {
				return err
			}
			if err := n.settle(&cfg.PatchesDir, cfg.NodeRegistration.CRISocket); err != nil {
				return err
			}
			socket = cfg.NodeRegistration.CRISocket
			s := a.state(n, configureRuntime)
			a.warnValidity(cfg.CertValidity)
			s.Join = cfg
			if err := a.offline(n, s); err != nil {
				return err
			}
			if s.Discovery, err = installer.NewDiscovery(cfg, readFile, func(text string) { s.Progress(text) }); err != nil {
				return err
			}
			// Who asks for one phase wants it planned from what the cluster says now.
			last, version, ended := n.journal.Workflow()
			s.JoinEnded = !onePhase && ended && last == "join" && version == n.bundle.Contract().KubernetesVersion
			phases := installer.Join()
			if cfg.ControlPlane != nil {
				phases = installer.JoinControlPlane()
			} else if err := installer.CheckNames(phases, only); err != nil && installer.CheckNames(installer.JoinControlPlane(), only) == nil {
				return usagef("give --control-plane as well", "%w for a worker", err)
			}
			return a.runJob(cmd.Context(), job{name: "join", phases: phases, state: s, node: n, skip: cfg.SkipPhases, only: only, dryRun: cfg.DryRun})
		},
	}
	f.AddFlags(cmd.Flags())
	addConfigureRuntime(cmd, &configureRuntime)
	addRootfs(cmd, &rootfs)
	if onePhase {
		cmd.ValidArgs = phase.Names(installer.JoinControlPlane())
	}
	return cmd
}

// preflightCmd looks at the host with init's eyes and changes nothing.
func (a *app) preflightCmd() *cobra.Command {
	var f config.InitFlags
	var configureRuntime bool
	cmd := &cobra.Command{
		Use: "preflight", Short: "Find everything that would stop init on this host, and change nothing", Args: noArgs,
		Long: "Find everything that would stop init on this host, and change nothing.\n\nFor a worker: `install join phase preflight HOST:PORT --token … --dry-run`.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, cfg, err := a.loadInit(cmd.Context(), &f)
			if err != nil {
				return err
			}
			defer n.close()
			s := a.state(n, configureRuntime)
			s.Init = cfg
			problems, err := phase.CheckHost(cmd.Context(), s, a.host)
			if err != nil {
				return err
			}
			refused := &phase.PreflightError{Problems: problems}
			if a.output == "json" {
				err = a.printJSON(map[string]any{"ok": len(refused.Errors()) == 0, "problems": problems})
			} else {
				a.warnings(problems)
			}
			if len(refused.Errors()) > 0 {
				return errors.Join(err, refused)
			}
			a.say("preflight: ok\n")
			return err
		},
	}
	f.AddFlags(cmd.Flags())
	addConfigureRuntime(cmd, &configureRuntime)
	return cmd
}

// warnings tells what was found and does not refuse.
func (a *app) warnings(problems []phase.Problem) {
	for _, p := range problems {
		if p.Level == phase.LevelWarning || p.Ignored {
			a.say("warning: %s\n", p)
		}
	}
}
