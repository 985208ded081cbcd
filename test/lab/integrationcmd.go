package main

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"kubebundle/test/lab/cache"
	"kubebundle/test/lab/hosts"
	"kubebundle/test/lab/upstream"
)

// integrationPackages are the packages whose tests start real daemons, or ask real programs what they know.
var integrationPackages = []string{"./runtime/...", "./installer/cluster/...", "./installer/etcd/...", "./installer/step/...", "./release"}

// integrationCmd runs the tests that talk to real daemons. The daemons are the programs of the hosts' root trees and those built from
// modules; nothing is installed or started on the machine itself.
func integrationCmd(log *slog.Logger) *cobra.Command {
	return &cobra.Command{
		Use:   "integration [GO TEST FLAG]…",
		Short: "Run the tests against containerd 1.6 and 2.x, Docker, etcd and kube-apiserver",
		RunE: func(cmd *cobra.Command, args []string) error {
			env, err := daemonEnv(cmd, log)
			if err != nil {
				return err
			}
			c := exec.CommandContext(cmd.Context(), "go", append(append([]string{"test", "-count=1", "-timeout=20m"}, args...), integrationPackages...)...)
			c.Env = env
			c.Stdout, c.Stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return c.Run()
		},
		DisableFlagParsing: true,
	}
}

func daemonEnv(cmd *cobra.Command, log *slog.Logger) ([]string, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("container runtimes need root: sudo -E go run ./test/lab integration")
	}
	ctx := cmd.Context()
	dir, err := cache.Dir()
	if err != nil {
		return nil, err
	}
	b, err := upstream.NewBuilder(ctx, dir, log)
	if err != nil {
		return nil, err
	}
	trees := hosts.Trees{Dir: filepath.Join(dir, "trees"), Binaries: b.HostPrograms}
	one, err := trees.Tree(ctx, hosts.Containerd)
	if err != nil {
		return nil, err
	}
	docker, err := trees.Tree(ctx, hosts.Docker)
	if err != nil {
		return nil, err
	}
	two, err := b.Containerd2(ctx)
	if err != nil {
		return nil, err
	}
	kube, err := b.Kubernetes(ctx, "v1.34.4", runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	etcd, err := b.Etcd(ctx, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	libs, err := filepath.Glob(filepath.Join(docker, "usr/lib/*-linux-gnu*"))
	if err != nil {
		return nil, err
	}
	path := []string{filepath.Join(one, "usr/bin"), filepath.Join(one, "usr/sbin"), filepath.Join(docker, "usr/sbin"), filepath.Join(docker, "usr/bin")}
	return append(os.Environ(),
		"KUBEBUNDLE_INTEGRATION=1",
		"KUBEBUNDLE_CONTAINERD="+filepath.Join(one, "usr/bin/containerd")+":"+filepath.Join(two, "containerd"),
		"KUBEBUNDLE_DOCKERD="+filepath.Join(docker, "usr/sbin/dockerd"),
		"KUBEBUNDLE_KUBE_BIN="+kube,
		"KUBEBUNDLE_ETCD="+etcd,
		// The machine's own programs come first; what only a tree has is found behind them, with its libraries.
		"PATH="+os.Getenv("PATH")+":"+strings.Join(path, ":"),
		"LD_LIBRARY_PATH="+strings.Join(libs, ":"),
	), nil
}
