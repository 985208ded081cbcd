package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"kubebundle/test/lab/cache"
	"kubebundle/test/lab/hosts"
	"kubebundle/test/lab/upstream"
)

func openLab(log *slog.Logger) (*hosts.Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("hosts need root: sudo -E go run ./test/lab …")
	}
	dir, err := cache.Dir()
	if err != nil {
		return nil, err
	}
	return hosts.New(dir, log)
}

// hostCommands are the words about single hosts: host, list, exec, copy, kill, reboot, escapes, down.
func hostCommands(log *slog.Logger) []*cobra.Command {
	return []*cobra.Command{hostCmd(log), listCmd(log), execCmd(log), copyCmd(log), killCmd(log), rebootCmd(log), escapesCmd(log), downCmd(log)}
}

func hostCmd(log *slog.Logger) *cobra.Command {
	rt := string(hosts.Containerd)
	cmd := &cobra.Command{
		Use:   "host NAME",
		Short: "Make one bare host",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := openLab(log)
			if err != nil {
				return err
			}
			b, err := upstream.NewBuilder(cmd.Context(), lab.Dir, log)
			if err != nil {
				return err
			}
			lab.Binaries = b.HostPrograms
			h, err := lab.Create(cmd.Context(), args[0], hosts.Runtime(rt))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\t%s\n", h.Name, h.IP, h.Root())
			return err
		},
	}
	cmd.Flags().StringVar(&rt, "runtime", rt, fmt.Sprintf("what it has installed, one of %v", hosts.Runtimes()))
	return cmd
}

func listCmd(log *slog.Logger) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Print name, address, runtime and root tree of every host",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lab, err := openLab(log)
			if err != nil {
				return err
			}
			all, err := lab.List()
			if err != nil {
				return err
			}
			for _, h := range all {
				fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\t%s\t%s\n", h.Name, h.IP, h.Runtime, h.Root())
			}
			return nil
		},
	}
}

func execCmd(log *slog.Logger) *cobra.Command {
	return &cobra.Command{
		Use:   "exec NAME -- CMD…",
		Short: "Run a command in a host as root; its exit code is the lab's",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := findHost(log, args[0])
			if err != nil {
				return err
			}
			err = h.Exec(cmd.Context(), hosts.Streams{In: cmd.InOrStdin(), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr()}, args[1:]...)
			if err != nil {
				return &commandError{err}
			}
			return nil
		},
	}
}

// commandError is a failure of the host's command, which has said on stderr what it had to say.
type commandError struct{ error }

func (e *commandError) Unwrap() error { return e.error }

func copyCmd(log *slog.Logger) *cobra.Command {
	return &cobra.Command{
		Use:   "copy NAME FILE PATH",
		Short: "Carry a file or a folder of the machine into a host's tree",
		Args:  cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := findHost(log, args[0])
			if err != nil {
				return err
			}
			return h.CopyIn(cmd.Context(), args[1], args[2])
		},
	}
}

func killCmd(log *slog.Logger) *cobra.Command {
	return &cobra.Command{
		Use:   "kill NAME",
		Short: "Cut a host's power",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := findHost(log, args[0])
			if err != nil {
				return err
			}
			return h.Kill(cmd.Context())
		},
	}
}

func rebootCmd(log *slog.Logger) *cobra.Command {
	return &cobra.Command{
		Use:   "reboot NAME",
		Short: "Shut a host down and start it again; start it if it is off",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := findHost(log, args[0])
			if err != nil {
				return err
			}
			return h.Reboot(cmd.Context())
		},
	}
}

func escapesCmd(log *slog.Logger) *cobra.Command {
	return &cobra.Command{
		Use:   "escapes",
		Short: "Print how many packets hosts have sent out of their network",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lab, err := openLab(log)
			if err != nil {
				return err
			}
			e, err := lab.Escapes(cmd.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), e)
			return err
		},
	}
}

func downCmd(log *slog.Logger) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Take everything away: hosts, processes, mounts, bridge",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lab, err := openLab(log)
			if err != nil {
				return err
			}
			return lab.Down(cmd.Context())
		},
	}
}

func findHost(log *slog.Logger, name string) (*hosts.Host, error) {
	lab, err := openLab(log)
	if err != nil {
		return nil, err
	}
	return lab.Host(name)
}
