package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kubebundle/release"
)

func (a *app) versionsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "versions",
		Short: "List the Kubernetes versions that this program knows",
		Long: "List the minor versions that this program knows, oldest first, with the last patch known when it was made. Later patches\n" +
			"of a known minor are built by the rules of that one, with a warning.",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return a.versions() },
	}
}

func (a *app) versions() error {
	minors, err := release.Minors()
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(minors)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MINOR\tLAST KNOWN\tETCD\tCOREDNS\tPAUSE\tARCHITECTURES\tFACTS")
	for _, m := range minors {
		arches := make([]string, len(m.Arches))
		for i, arch := range m.Arches {
			arches[i] = string(arch)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Minor, m.LastPatch, m.Etcd, m.CoreDNS, m.Pause, strings.Join(arches, ","), m.Confidence)
	}
	return w.Flush()
}
