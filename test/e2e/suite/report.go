package suite

import (
	"context"
	"fmt"
	"strings"

	"kubebundle/test/lab/hosts"
)

// Report is what a person wants to see after a failure: pods, what install said, and the end of each host's journal.
func (s *Suite) Report(ctx context.Context) string {
	var b strings.Builder
	if s.Cluster != nil {
		if s.Cluster.Kubeconfig != "" {
			out, err := s.Cluster.Kubectl(ctx, "get", "nodes,pods", "--all-namespaces", "-o", "wide")
			fmt.Fprintf(&b, "--- nodes and pods (%v)\n%s\n", err, out)
		}
		for _, r := range s.Cluster.Runs {
			fmt.Fprintf(&b, "--- install %s: exit code %d\n%s\n", r.Args[0], r.Code(), r.Stderr)
		}
	}
	if s.Env == nil {
		return b.String()
	}
	all, err := s.Lab.List()
	if err != nil {
		fmt.Fprintf(&b, "--- hosts: %v\n", err)
	}
	for _, h := range all {
		fmt.Fprintf(&b, "--- journal of %s\n%s\n", h.Name, journal(ctx, h))
	}
	return b.String()
}

func journal(ctx context.Context, h *hosts.Host) string {
	out, err := h.Output(ctx, "journalctl", "--no-pager", "-o", "short-monotonic", "-n", "40", "-u", "kubelet", "-u", "containerd", "-u", "docker",
		"-u", "cri-docker", "-u", "kubebundle-images")
	if err != nil {
		return err.Error()
	}
	return out
}
