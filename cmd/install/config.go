package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"kubebundle/installer/config"
)

func (a *app) configCmd() *cobra.Command {
	return group("config", "Configuration files: defaults to begin with, older versions, a look for mistakes",
		group("print", "Print a file with every default, to be edited", a.configPrint("init"), a.configPrint("join"), a.configPrint("reset"), a.configPrint("upgrade")),
		a.configMigrate(), a.configValidate())
}

func (a *app) configPrint(verb string) *cobra.Command {
	var components bool
	long := "Print a configuration of " + verb + " with every default."
	if verb == "init" || verb == "join" {
		long += " Token, node name and address in it are placeholders."
	}
	cmd := &cobra.Command{
		Use: verb + "-defaults", Short: "Print a configuration of " + verb + " with every default", Args: noArgs, Annotations: anyHost,
		Long: long,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var data []byte
			var err error
			switch verb {
			case "join":
				data, err = config.JoinDefaults()
			case "reset":
				data, err = config.ResetDefaults()
			case "upgrade":
				data, err = config.UpgradeDefaults()
			default:
				var version string
				if version, err = a.versionAtHand(cmd.Context()); err != nil {
					return err
				}
				data, err = config.InitDefaults(version, components)
			}
			if err != nil {
				return err
			}
			_, err = a.out.Write(data)
			return err
		},
	}
	if verb == "init" {
		cmd.Flags().BoolVar(&components, "component-configs", false, "also the documents of kubelet and kube-proxy, to which only what differs from their defaults is added")
	}
	return cmd
}

// versionAtHand is the Kubernetes version of the bundle.
func (a *app) versionAtHand(ctx context.Context) (string, error) {
	b, _, err := a.openBundle(ctx)
	if err != nil {
		return "", err
	}
	return b.Contract().KubernetesVersion, nil
}

func (a *app) configMigrate() *cobra.Command {
	var from, to string
	cmd := &cobra.Command{
		Use: "migrate --old-config FILE", Short: "Turn a configuration of any kubeadm into the newest form", Args: noArgs, Annotations: anyHost,
		Long: "Turn a configuration of any kubeadm (v1alpha1 to v1beta4) into the newest form, on standard output or into --new-config. What was not\n" +
			"said in the old file is not said in the new one. A field that no later version has is an error which names its line.",
		RunE: func(*cobra.Command, []string) error {
			if from == "" {
				return usagef("", "--old-config: which file?")
			}
			data, err := config.Migrate(from, readFile)
			if err != nil {
				return err
			}
			if to == "" {
				_, err = a.out.Write(data)
				return err
			}
			have, err := os.ReadFile(to)
			if err == nil && !bytes.Equal(have, data) {
				return usagef("move it away, or name another file", "--new-config %s: is there already, with another content", to)
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return os.WriteFile(to, data, 0o600) // it may hold a token
		},
	}
	cmd.Flags().StringVar(&from, "old-config", "", "`path` of the file to read")
	cmd.Flags().StringVar(&to, "new-config", "", "`path` of the file to write (default: standard output)")
	return cmd
}

func (a *app) configValidate() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "validate --config FILE", Short: "Look for mistakes in a configuration, all at once", Args: noArgs, Annotations: anyHost,
		Long: "Look for mistakes in a configuration, all at once, each with its line: unknown fields, values that cannot be, ranges that overlap.\n" +
			"Whether this host can take it is preflight's question.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usagef("", "--config: which file?")
			}
			f, err := a.host.Facts(cmd.Context())
			if err != nil {
				return err
			}
			env := (&node{facts: f}).environment(false)
			// A bundle at hand says which version can be installed; without one any will do. One that nobody may use says nothing.
			b, _, err := a.openBundle(cmd.Context())
			if err == nil {
				env.KubernetesVersion, env.ImageRepository = b.Contract().KubernetesVersion, repositoryOf(b.Contract())
			} else if a.bundlePath != "" || !errors.Is(err, errNoBundle) {
				return err
			}
			if err := config.Validate(file, readFile, env); err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]bool{"ok": true})
			}
			_, err = fmt.Fprintln(a.out, "ok")
			return err
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "`path` of the file")
	return cmd
}
