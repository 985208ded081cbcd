package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"
)

// machinePackages are what the lab calls on the machine: builders of C (runc, flannel), of root trees and of networks, and the yardsticks of the bench.
// No container runtime is among them: hosts have their own, and integration tests use the programs of a host's tree.
var machinePackages = []string{
	"ca-certificates", "curl", "debootstrap", "dpkg-dev", "gcc", "gcc-aarch64-linux-gnu", "iproute2", "kmod", "libc6-dev", "libc6-dev-arm64-cross",
	"libseccomp-dev", "make", "minisign", "nftables", "openssl",
	"pkg-config", "procps", "qemu-user-static", "skopeo", "systemd", "systemd-container", "util-linux", "zstd",
}

func prepareCmd(log *slog.Logger) *cobra.Command {
	return &cobra.Command{
		Use:   "prepare",
		Short: "Install the Debian packages that the lab needs on this machine",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			missing, err := missingPackages(cmd)
			if err != nil || len(missing) == 0 {
				return err
			}
			if os.Geteuid() != 0 {
				return fmt.Errorf("packages are missing and need root: apt-get install %s", strings.Join(missing, " "))
			}
			log.Info("install", "packages", strings.Join(missing, " "))
			for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-q", "-y", "--no-install-recommends"}, missing...)} {
				c := exec.CommandContext(cmd.Context(), "apt-get", args...)
				c.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
				c.Stdout, c.Stderr = cmd.ErrOrStderr(), cmd.ErrOrStderr()
				if err := c.Run(); err != nil {
					return fmt.Errorf("apt-get %s: %w", args[0], err)
				}
			}
			return nil
		},
	}
}

func missingPackages(cmd *cobra.Command) ([]string, error) {
	if _, err := exec.LookPath("dpkg-query"); err != nil {
		return nil, errors.New("the lab runs on Debian 12: dpkg-query is not here")
	}
	var missing []string
	for _, p := range machinePackages {
		out, err := exec.CommandContext(cmd.Context(), "dpkg-query", "-W", "-f", "${db:Status-Status}", p).Output()
		if err != nil || string(out) != "installed" { // an unknown package is an error of dpkg-query
			missing = append(missing, p)
		}
	}
	return missing, nil
}
