package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kubebundle/test/lab/hosts"
	"kubebundle/test/lab/measured"
)

// available is the seventh part: what a client notices when one of three control planes loses its power, and while all of them are upgraded. kubeadm has no
// address that moves, so there is no opponent. test/ha does it and measures it.
func (b *bench) available(ctx context.Context) error {
	if err := b.nobodyThere(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-ha-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a folder of ours
	file := filepath.Join(dir, "measured")
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=45m", "-v", "./test/ha")
	cmd.Dir = b.env.Builder.Module
	cmd.Env = append(os.Environ(), "KUBEBUNDLE_E2E=1", measured.EnvFile+"="+file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGTERM) } // it takes its hosts down
	cmd.WaitDelay = time.Minute
	if out, err := cmd.CombinedOutput(); err != nil {
		return &hosts.Error{Args: cmd.Args, Output: string(out), Err: err}
	}
	n, err := measured.Read(file)
	if err != nil {
		return err
	}
	var missing []error
	worst := func(what string) float64 {
		if len(n[what]) == 0 {
			missing = append(missing, fmt.Errorf("test/ha has not measured %q", what))
			return 0
		}
		return slices.Max(n[what])
	}
	b.results[ourPowerCut] = []sample{{Away: seconds(worst(measured.PowerCutGap)), Failed: int(worst(measured.PowerCutLost))}}
	b.results[ourUpgradeOfThree] = []sample{{Away: seconds(worst(measured.UpgradeGap)), Failed: int(worst(measured.UpgradeFailed))}}
	b.log.Info(ourUpgradeOfThree, "hops", len(n[measured.UpgradeFailed]), "requests", n[measured.UpgradeAsked])
	return errors.Join(missing...)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
