package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubebundle/installer"
	"kubebundle/installer/cluster"
	"kubebundle/installer/phase"
	"kubebundle/release"
)

func (a *app) upgradeCmd() *cobra.Command {
	return group("upgrade", "Bring a cluster to this bundle's version, with a way back", a.upgradePlan(), a.upgradeApply(), a.upgradeNode(), a.upgradeDiff(), a.upgradeRollback())
}

// upgradeFlags are what the verbs of upgrade share.
type upgradeFlags struct {
	upgrade          phase.Upgrade
	kubeconfig       string
	dryRun           bool
	configureRuntime bool
	config           string
}

func (f *upgradeFlags) look(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "`path` of a kubeconfig (default: /etc/kubernetes/admin.conf, on a worker kubelet.conf)")
	cmd.Flags().StringVar(&f.upgrade.PatchesDir, "patches", "", "`directory` with patches of what is rendered, named target[suffix][+patchtype].extension; give it at every upgrade")
	cmd.Flags().StringSliceVar(&f.upgrade.IgnorePreflightErrors, "ignore-preflight-errors", nil, "`checks` whose errors only warn, by name; \"all\" for all")
	cmd.Flags().BoolVar(&f.upgrade.Etcd, "etcd-upgrade", true, "upgrade etcd too")
	cmd.Flags().BoolVar(&f.upgrade.Drain.DeleteEmptyDir, "delete-emptydir-data", false, "evict pods with an emptyDir too, whose data is lost")
	cmd.Flags().BoolVar(&f.upgrade.Drain.Unmanaged, "delete-unmanaged-pods", false, "evict pods that nobody makes anew too")
	cmd.Flags().StringSliceVar(&f.upgrade.SkipPhases, "skip-phases", nil, "`phases` to leave out")
	cmd.Flags().StringVar(&f.config, "config", "", "`path` of a file with an UpgradeConfiguration (kubeadm.k8s.io/v1beta4)")
	addConfigureRuntime(cmd, &f.configureRuntime)
}

func (f *upgradeFlags) act(cmd *cobra.Command) {
	f.look(cmd)
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be done, and do nothing")
	cmd.Flags().BoolVar(&f.upgrade.Certificates, "certificate-renewal", true, "renew the certificates that end within half a year")
	const patience = 5 * time.Minute
	cmd.Flags().DurationVar(&f.upgrade.DrainTimeout, "drain-timeout", patience, "`time` that pods get to leave this node")
}

// openUpgrade opens the bundle and this node.
func (a *app) openUpgrade(ctx context.Context, f *upgradeFlags) (*node, *phase.State, error) {
	if err := phase.CheckStaticPods(a.host, "upgrade"); err != nil {
		return nil, nil, err
	}
	n, err := a.openNode(ctx, func() string { return installer.NodeCRISocket(a.host) })
	if err != nil {
		return nil, nil, err
	}
	if f.upgrade.PatchesDir != "" {
		if f.upgrade.PatchesDir, err = filepath.Abs(f.upgrade.PatchesDir); err != nil {
			n.close()
			return nil, nil, err
		}
	}
	if f.kubeconfig != "" {
		api, err := a.admin(ctx, f.kubeconfig)
		if err != nil {
			n.close()
			return nil, nil, err
		}
		n.target.Cluster = func(context.Context) (*cluster.Client, error) { return api, nil }
	}
	s := a.state(n, f.configureRuntime)
	s.Upgrade = &f.upgrade
	s.Upgrade.CRISocket = installer.NodeCRISocket(a.host)
	s.Upgrade.API = n.target.Cluster
	for i, p := range f.upgrade.SkipPhases {
		f.upgrade.SkipPhases[i] = strings.ToLower(strings.TrimSpace(p))
	}
	return n, s, nil
}

// bundleVersion accepts the version that kubeadm's verbs take as an argument, if it is the bundle's.
func bundleVersion(n *node, args []string) error {
	have := n.bundle.Contract().KubernetesVersion
	if len(args) == 0 {
		return nil
	}
	if v, err := release.Parse(args[0]); err != nil || release.Tag(v) != have {
		return usagef("leave the version out, or run install from the bundle of that version", "version %s: this bundle is of %s, and nothing else can be installed from it", args[0], have)
	}
	return nil
}

func (a *app) upgradeApply() *cobra.Command {
	var f upgradeFlags
	var yes bool
	cmd := &cobra.Command{
		Use: "apply [VERSION]", Short: "Upgrade the cluster from its first control plane node", Args: someArgs(0, 1, "the bundle's version"),
		Long: "Upgrade the cluster from its first control plane node to the version of this bundle.\n\n" +
			"Everything that is needed is on the node before anything stops, etcd is saved, and then the components follow one by one, each when the one\n" +
			"before is healthy. If one does not come up, the node returns by itself to what it was, and the exit code is 1. After an interruption the same\n" +
			"command goes on; `install upgrade rollback` goes back.\n\nFirst load the images on every other node: ./install images load. Afterwards: ./install upgrade node there.\n\n" +
			"Phases: " + phaseList(installer.Upgrade()),
		RunE: func(cmd *cobra.Command, args []string) error {
			args, _, err := f.fromFile(cmd, args)
			if err != nil {
				return err
			}
			return a.runUpgrade(cmd.Context(), &f, args, yes || f.upgrade.Force)
		},
	}
	f.act(cmd)
	cmd.Flags().BoolVarP(&f.upgrade.Force, "force", "f", false, "do not ask, and go back by a patch version if that is what the bundle is")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) upgradeNode() *cobra.Command {
	var f upgradeFlags
	cmd := &cobra.Command{
		Use: "node", Short: "Upgrade this worker or further control plane node", Args: noArgs,
		Long: "Upgrade this worker or further control plane node to the version of this bundle, after `install upgrade apply` on the first control plane.\n\n" +
			"Phases of a worker: " + phaseList(installer.UpgradeWorker()) + "\n\nOf a control plane: " + phaseList(installer.Upgrade()),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, _, err := f.fromFile(cmd, nil); err != nil {
				return err
			}
			f.upgrade.Node = true
			return a.runUpgrade(cmd.Context(), &f, nil, true)
		},
	}
	f.act(cmd)
	return cmd
}

// runUpgrade is apply and node.
func (a *app) runUpgrade(ctx context.Context, f *upgradeFlags, args []string, sure bool) error {
	n, s, err := a.openUpgrade(ctx, f)
	if err != nil {
		return err
	}
	defer n.close()
	if err := bundleVersion(n, args); err != nil {
		return err
	}
	name, phases := "upgrade apply", installer.Upgrade()
	switch controlPlane := phase.HasControlPlane(a.host); {
	case f.upgrade.Node:
		if name = "upgrade node"; !controlPlane {
			phases = installer.UpgradeWorker()
		}
	case !controlPlane && n.facts.UID == 0:
		if from, _, err := phase.PendingUpgrade(a.host); err != nil || from == "" {
			return errors.Join(err, usagef("on a worker it is: ./install upgrade node", "upgrade apply: this host has no control plane"))
		}
	}
	j := job{name: name, phases: phases, state: s, node: n, skip: f.upgrade.SkipPhases, dryRun: f.dryRun, upgrade: true}
	if !sure && !f.dryRun && n.facts.UID == 0 {
		// Nobody is asked about what cannot be.
		problems, err := phase.CheckUpgrade(ctx, s, a.host)
		if err != nil {
			return err
		}
		if refused := (&phase.PreflightError{Problems: problems}); len(refused.Errors()) > 0 {
			return refused
		}
		if err := a.confirm("upgrade apply", "This upgrades the cluster to Kubernetes "+n.bundle.Contract().KubernetesVersion+". Go on? [y/N]: ", "--yes"); err != nil {
			return err
		}
	}
	return a.runJob(ctx, j)
}

func (a *app) upgradeRollback() *cobra.Command {
	return &cobra.Command{
		Use: "rollback", Short: "Take an upgrade back that was interrupted", Args: noArgs,
		Long: "Take an upgrade back that was interrupted on this node: what it replaced is put back, and the components are waited for. An upgrade that fails\n" +
			"does so by itself. One that has ended is not taken back: then there is its etcd snapshot.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, _, err := phase.PendingUpgrade(a.host)
			if err != nil {
				return err
			}
			if from == "" {
				return &phase.NothingToTakeBackError{}
			}
			return a.tend(cmd.Context(), "upgrade rollback", installer.UpgradeBack(), false)
		},
	}
}

// planJSON is kubeadm's UpgradePlan (output.kubeadm.k8s.io/v1alpha3), current, problems and possible being ours.
type planJSON struct {
	metav1.TypeMeta `json:",inline"`

	Current           string          `json:"currentVersion"`
	AvailableUpgrades []availableJSON `json:"availableUpgrades"`
	Problems          []phase.Problem `json:"problems"`
	Possible          bool            `json:"possible"`
	Reason            string          `json:"reason,omitempty"`
}

type availableJSON struct {
	Description string                 `json:"description"`
	Components  []upgradeComponentJSON `json:"components"`
}

type upgradeComponentJSON struct {
	Name           string `json:"name"`
	CurrentVersion string `json:"currentVersion"`
	NewVersion     string `json:"newVersion"`
	NodeName       string `json:"nodeName,omitempty"`
}

func (a *app) upgradePlan() *cobra.Command {
	var f upgradeFlags
	cmd := &cobra.Command{
		Use: "plan [VERSION]", Short: "Say what an upgrade to this bundle's version would change, and what stands against it", Args: someArgs(0, 1, "the bundle's version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			args, _, err := f.fromFile(cmd, args)
			if err != nil {
				return err
			}
			n, s, err := a.openUpgrade(cmd.Context(), &f)
			if err != nil {
				return err
			}
			defer n.close()
			if err := bundleVersion(n, args); err != nil {
				return err
			}
			s.Upgrade.Node = !phase.HasControlPlane(a.host)
			p, err := phase.PlanUpgrade(cmd.Context(), s, a.host)
			if err != nil {
				return err
			}
			refused := &phase.PreflightError{Problems: p.Problems}
			if err := a.printPlan(p, len(refused.Errors()) == 0); err != nil {
				return err
			}
			switch {
			case p.Refused != nil:
				return p.Refused
			case len(refused.Errors()) > 0:
				return refused
			}
			a.warnings(p.Problems)
			if a.output != "json" {
				a.say("upgrade plan: nothing stands against it; on the first control plane: ./install upgrade apply\n")
			}
			return nil
		},
	}
	f.look(cmd)
	return cmd
}

func (a *app) printPlan(p *phase.UpgradePlan, possible bool) error {
	if a.output == "json" {
		out := planJSON{
			TypeMeta: metav1.TypeMeta{APIVersion: "output.kubeadm.k8s.io/v1alpha3", Kind: "UpgradePlan"},
			Current:  p.From, Problems: p.Problems, Possible: possible && p.Refused == nil,
		}
		up := availableJSON{Description: p.From + " to " + p.To}
		for _, c := range p.Components {
			up.Components = append(up.Components, upgradeComponentJSON{Name: c.Name, CurrentVersion: c.Current, NewVersion: c.Target, NodeName: c.Node})
		}
		out.AvailableUpgrades = []availableJSON{up}
		if p.Refused != nil {
			out.Reason = p.Refused.Error()
		}
		return a.printJSON(out)
	}
	rows := [][]string{{"COMPONENT", "NODE", "CURRENT", "TARGET"}}
	for _, c := range p.Components {
		target := c.Target
		if c.Current == c.Target {
			target = "(is so already)"
		}
		rows = append(rows, []string{c.Name, orNone(c.Node), c.Current, target})
	}
	return a.printTable(rows)
}

func (a *app) upgradeDiff() *cobra.Command {
	var f upgradeFlags
	const usual = 3
	lines := usual
	cmd := &cobra.Command{
		Use: "diff [VERSION]", Short: "Show how the manifests of this node's static pods would change", Args: someArgs(0, 1, "the bundle's version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			args, c, err := f.fromFile(cmd, args)
			if err != nil {
				return err
			}
			if c != nil && c.ContextLines > 0 {
				lines = c.ContextLines
			}
			n, s, err := a.openUpgrade(cmd.Context(), &f)
			if err != nil {
				return err
			}
			defer n.close()
			if err := bundleVersion(n, args); err != nil {
				return err
			}
			text, err := phase.UpgradeDiff(cmd.Context(), s, a.host, lines)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]string{"diff": text})
			}
			_, err = fmt.Fprint(a.out, text)
			return err
		},
	}
	f.look(cmd)
	cmd.Flags().IntVarP(&lines, "context-lines", "c", usual, "`lines` that are shown around a change")
	return cmd
}
