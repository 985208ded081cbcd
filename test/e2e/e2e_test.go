package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kubebundle/test/e2e/again"
	"kubebundle/test/e2e/airgap"
	"kubebundle/test/e2e/badbundle"
	"kubebundle/test/e2e/badjoin"
	"kubebundle/test/e2e/certs"
	"kubebundle/test/e2e/controlplane"
	"kubebundle/test/e2e/digests"
	"kubebundle/test/e2e/diskfull"
	"kubebundle/test/e2e/dockerdriver"
	"kubebundle/test/e2e/external"
	"kubebundle/test/e2e/logsexec"
	"kubebundle/test/e2e/network"
	"kubebundle/test/e2e/powercut"
	"kubebundle/test/e2e/preflight"
	"kubebundle/test/e2e/ready"
	"kubebundle/test/e2e/reboot"
	"kubebundle/test/e2e/reset"
	"kubebundle/test/e2e/sealed"
	"kubebundle/test/e2e/selfhosting"
	"kubebundle/test/e2e/snapshot"
	"kubebundle/test/e2e/suite"
	"kubebundle/test/e2e/suitekubeadm"
	"kubebundle/test/e2e/tokens"
	"kubebundle/test/e2e/vanished"
	"kubebundle/test/lab/hosts"
)

// behaviours in the order in which one cluster can show them: those that only look, those that use it, those that end it.
var behaviours = []struct {
	name string
	test func(t *testing.T, s *suite.Suite)
}{
	{"ready", ready.Test},
	{"network", network.Test},
	{"logsexec", logsexec.Test},
	{"digests", digests.Test},
	{"again", again.Test},
	{"airgap", airgap.Test},
	{"suitekubeadm", suitekubeadm.Test},
	{"tokens", tokens.Test},
	{"badjoin", badjoin.Test},
	{"certs", certs.Test},
	{"controlplane", controlplane.Test},
	{"vanished", vanished.Test},
	{"reboot", reboot.Test},
	{"dockerdriver", dockerdriver.Test},
	{"preflight", preflight.Test},
	{"badbundle", badbundle.Test},
	{"sealed", sealed.Test},
	{"diskfull", diskfull.Test},
	{"powercut", powercut.Test},
	{"external", external.Test},
	{"selfhosting", selfhosting.Test},
	{"snapshot", snapshot.Test},
	{"reset", reset.Test},
}

// exceptions are the behaviours that some versions or runtimes cannot show, each with the reason. Nothing else is left out anywhere.
var exceptions = []struct {
	behaviour string
	reason    string
	holds     func(s *suite.Suite) bool
}{
	{"suitekubeadm", "kubeadm's own suite is a module since v1.34", func(s *suite.Suite) bool { return s.Before("1.34.0") }},
	{"controlplane", "the etcd of older versions has one member", func(s *suite.Suite) bool { return s.Before("1.13.0") }},
	{"external", "it is shown with one version: two more control planes take five minutes", another},
	{"badbundle", "what is read of a bundle before anything is changed does not depend on the version", another},
	{"sealed", "signing and proving a bundle does not depend on the version", another},
	{"badjoin", "it is shown with v1.34.4 and with the oldest version", func(s *suite.Suite) bool { return another(s) && !s.Before("1.11.0") }},
	{"diskfull", "containerd 2 takes images as containerd 1.6 does", func(s *suite.Suite) bool { return s.Runtime == hosts.Containerd2 }},
	{"powercut", "with v1.34.4 its host has a containerd 2 already", func(s *suite.Suite) bool { return s.Runtime == hosts.Containerd2 }},
	{"selfhosting", "kubeadm had it from v1.10 to v1.12", func(s *suite.Suite) bool { return !s.Before("1.13.0") }},
	{"vanished", "containerd 2 pins its images", func(s *suite.Suite) bool { return s.Runtime == hosts.Containerd2 }},
	{"dockerdriver", "the hosts have no cri-dockerd", func(s *suite.Suite) bool { return s.Runtime != hosts.CRIDockerd }},
}

// another says that it is not the version with which everything is shown that one version can show for all.
func another(s *suite.Suite) bool { return s.Version != suite.DefaultVersion }

func exception(behaviour string, s *suite.Suite) string {
	for _, e := range exceptions {
		if e.behaviour == behaviour && e.holds(s) {
			return e.reason
		}
	}
	return ""
}

// shared is made by TestMain.
var shared *suite.Suite

// TestE2E is all of it: `go test ./test/e2e -run TestE2E/network` makes the cluster and looks at one behaviour.
func TestE2E(t *testing.T) {
	for _, b := range behaviours {
		if reason := exception(b.name, shared); reason != "" {
			t.Logf("%s cannot be shown here: %s", b.name, reason)
			continue
		}
		ok := t.Run(b.name, func(t *testing.T) {
			start := time.Now()
			b.test(t, shared)
			t.Logf("%s took %v", b.name, time.Since(start).Round(time.Second))
		})
		if !ok {
			t.Log(shared.Report(context.WithoutCancel(t.Context())))
		}
	}
}

// TestMain runs nothing unless KUBEBUNDLE_E2E=1 asks for it; then everything that is missing is a failure, never a skip.
func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv("KUBEBUNDLE_E2E") != "1" {
		fmt.Println("end-to-end tests are off; KUBEBUNDLE_E2E=1 turns them on (root, real hosts, about ten minutes)")
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	start := time.Now()
	var err error
	shared, err = suite.Setup(ctx, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if shared != nil {
		defer func() {
			if err := shared.Close(context.WithoutCancel(ctx)); err != nil {
				fmt.Fprintln(os.Stderr, "take the lab down:", err)
			}
		}()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make the cluster:", err)
		if shared != nil {
			fmt.Fprintln(os.Stderr, shared.Report(context.WithoutCancel(ctx)))
		}
		return 1
	}
	fmt.Printf("the cluster of %s on %s stands after %v\n", shared.Version, shared.Runtime, time.Since(start).Round(time.Second))
	return m.Run()
}
