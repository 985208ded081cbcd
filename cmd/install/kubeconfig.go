package main

import (
	"slices"
	"time"

	"github.com/spf13/cobra"

	"kubebundle/installer/phase"
)

func (a *app) kubeconfigCmd() *cobra.Command {
	return group("kubeconfig", "Kubeconfigs for people and programs outside the cluster", a.kubeconfigUser())
}

// mastersWarning is said before a kubeconfig is made that no RBAC rule can limit.
const mastersWarning = "warning: members of system:masters may do everything, whatever RBAC says, and a certificate cannot be revoked: prefer a group of your own and a ClusterRoleBinding\n"

func (a *app) kubeconfigUser() *cobra.Command {
	var u phase.UserKubeconfig
	cmd := &cobra.Command{
		Use: "user --client-name NAME", Short: "Print a kubeconfig for another user", Args: noArgs,
		Long: "Print a kubeconfig for another user, on standard output: with a certificate that the CA on this host signs, or with a token. It runs on a\n" +
			"control plane; the address is that of admin.conf. The user has the rights that RBAC gives to the name and to the groups: none at first.",
		RunE: func(*cobra.Command, []string) error {
			switch {
			case u.Name == "":
				return usagef("", "--client-name: for whom?")
			case u.Token != "" && len(u.Organizations) > 0:
				return usagef("", "--org: the groups of a token are where the token is known")
			case u.Validity <= 0:
				return usagef("", "--validity-period: %s is no time to live", u.Validity)
			}
			if u.Token == "" {
				if slices.Contains(u.Organizations, "system:masters") {
					a.say("%s", mastersWarning)
				}
				if u.Validity > 365*24*time.Hour {
					a.say(validityWarning, residual(u.Validity))
				}
			}
			data, err := u.Make(a.host, time.Now())
			if err != nil {
				return err
			}
			_, err = a.out.Write(data)
			return err
		},
	}
	certDirFlag(cmd, &u.CertDir)
	cmd.Flags().StringVar(&u.Name, "client-name", "", "`name` of the user")
	cmd.Flags().StringSliceVar(&u.Organizations, "org", nil, "`groups` of the user")
	cmd.Flags().StringVar(&u.Token, "token", "", "`token` instead of a certificate")
	cmd.Flags().DurationVar(&u.Validity, "validity-period", 365*24*time.Hour, "`time` that the certificate lives, at most as long as the CA")
	return cmd
}
