// Command demo shows the whole sentence on one machine: real Kubernetes is built and packed into a bundle, two hosts without a network get it, and
// become a cluster. What it prints is what the hosts printed; KEEP=1 leaves the cluster running.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

const version = "v1.34.4"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	err := run(ctx, os.Stdout, os.Getenv("KEEP") == "1")
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, keep bool) (err error) {
	env, err := clusters.NewEnv(ctx, version, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	old, err := env.Lab.List()
	if err != nil {
		return err
	}
	if len(old) > 0 {
		return fmt.Errorf("the lab has %d hosts already, and the demo would take them away at its end: go run ./test/lab down", len(old))
	}
	made := false
	defer func() {
		if !made || keep && err == nil {
			return
		}
		// A demo that was interrupted still cleans up, what is its own.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, env.Lab.Down(end))
	}()
	programs, err := env.BuildPrograms(ctx)
	if err != nil {
		return err
	}
	bundle, err := env.BuildBundle(ctx, programs)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe bundle: %s\n", bundle.Path)
	if old, err = env.Lab.List(); err != nil || len(old) > 0 {
		return errors.Join(err, fmt.Errorf("somebody else made %d hosts meanwhile", len(old)))
	}
	made = true
	c, err := env.Install(ctx, clusters.InstallOptions{ControlPlanes: 1, Workers: 1, Runtime: hosts.Containerd, Bundle: bundle})
	if err != nil {
		return err
	}
	for i, r := range c.Runs {
		fmt.Fprintf(out, "\n%s# ./install %s\n%s%s", c.Hosts[i].Name, strings.Join(shown(r.Args), " "), r.Stderr, r.Stdout)
	}
	if err := show(ctx, out, c); err != nil {
		return err
	}
	escapes, err := env.Lab.Escapes(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe bridge counted: %s\n", escapes)
	if keep {
		fmt.Fprintf(out, "\nIt is left running (go run ./test/lab down takes it away):\n  export KUBECONFIG=%s\n  go run ./test/lab exec %s -- bash\n", c.Kubeconfig, c.Hosts[0].Name)
	}
	return nil
}

// show asks the cluster what a person would ask first.
func show(ctx context.Context, out io.Writer, c *clusters.Cluster) error {
	worker := c.Hosts[len(c.Hosts)-1].Name
	pod, err := c.Kubectl(ctx, "-n", "lab", "get", "pods", "-l", "app=shell", "--field-selector", "spec.nodeName="+worker, "-o", "jsonpath={.items[0].metadata.name}")
	if err != nil {
		return err
	}
	for _, q := range []struct {
		title string
		args  []string
	}{
		{"Nodes", []string{"get", "nodes", "-o", "wide"}},
		{"Pods", []string{"get", "pods", "-A", "-o", "wide"}},
		{"A pod on " + worker + " asks a Service whose pod is on " + c.Hosts[0].Name, []string{"-n", "lab", "exec", pod, "--", "wget", "-qO-", "http://web.lab.svc.cluster.local/"}},
		{"DNS", []string{"-n", "lab", "exec", pod, "--", "nslookup", "kubernetes.default.svc.cluster.local"}},
	} {
		answer, err := eventually(ctx, c, q.args)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\n%s\n$ kubectl %s\n%s", q.title, strings.Join(q.args, " "), answer)
	}
	return nil
}

// eventually asks again for a while: a pod is Ready before the kube-proxies of all nodes know it.
func eventually(ctx context.Context, c *clusters.Cluster, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		answer, err := c.Kubectl(ctx, args...)
		if err == nil {
			return answer, nil
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(time.Second):
		}
	}
}

// shown hides the token, which a terminal's history must not keep.
func shown(args []string) []string {
	out := append([]string(nil), args...)
	for i := range out {
		if i > 0 && out[i-1] == "--token" {
			out[i] = "…"
		}
	}
	return out
}
