package main

import (
	"slices"

	"github.com/spf13/cobra"

	"kubebundle/installer/config"
)

// fromFile lays what an UpgradeConfiguration says over the defaults of a verb's flags, before anything is opened. It gives the version that
// the arguments name, or else the file.
func (f *upgradeFlags) fromFile(cmd *cobra.Command, args []string) ([]string, *config.Upgrade, error) {
	if f.config == "" {
		return args, nil, nil
	}
	c, err := config.LoadUpgrade(cmd.Name(), f.config, cmd.Flags(), readFile)
	if err != nil {
		return nil, nil, err
	}
	u := &f.upgrade
	u.PatchesDir, u.Etcd, u.Certificates = c.PatchesDir, c.EtcdUpgrade, c.CertificateRenewal
	u.Force, u.Timeouts = u.Force || c.Force, &c.Timeouts
	f.dryRun = f.dryRun || c.DryRun
	u.IgnorePreflightErrors = append(slices.Clone(c.IgnorePreflightErrors), u.IgnorePreflightErrors...)
	if len(u.SkipPhases) == 0 {
		u.SkipPhases = c.SkipPhases
	}
	if len(args) == 0 && c.KubernetesVersion != "" {
		args = []string{c.KubernetesVersion}
	}
	return args, c, nil
}
