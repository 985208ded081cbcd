package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kubebundle/bundle"
	"kubebundle/bundle/needs"
)

// errDiffer is the answer of `diff --exit-code`, not a mishap.
var errDiffer = errors.New("the bundles differ")

func (a *app) diffCmd() *cobra.Command {
	var exitCode bool
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Tell what changes from one bundle to another",
		Long: `Tell what changes from one bundle to another: the Kubernetes version, what a host must have, image by image (added, removed,
or with another digest, and how much of it the old bundle has already), file by file, and the images that changed manifests ask
for. OLD and NEW are .tar.gz files or folders.

The contracts are compared, and believed: "bundler verify" says whether a bundle is what its contract says. Exit code 0 does
not mean that nothing differs; with --exit-code a difference is exit code 1, and nothing is said on standard error.`,
		Example: `  bundler diff k8s-v1.34.3-linux-amd64.tar.gz k8s-v1.34.4-linux-amd64.tar.gz
  bundler diff -o json old new | jq '.images[] | select(.kind == "added") | .new'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageHint(cmd, "%s takes two bundles, .tar.gz files or folders, not %d arguments", cmd.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.diff(cmd, args[0], args[1])
			if err == nil && exitCode && !d.Same() {
				return errDiffer
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "end with exit code 1 if anything differs")
	return cmd
}

func (a *app) diff(cmd *cobra.Command, old, new string) (*bundle.Difference, error) {
	first, err := bundle.OpenPath(old)
	if err != nil {
		return nil, err
	}
	second, err := bundle.OpenPath(new)
	if err != nil {
		return nil, err
	}
	d, err := needs.Diff(cmd.Context(), first, second)
	if err != nil {
		return nil, err
	}
	if a.output == "json" {
		return d, a.printJSON(d)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	describeDiff(w, d)
	return d, w.Flush()
}

// describeDiff writes to a tabwriter, which keeps its first error for Flush.
func describeDiff(w io.Writer, d *bundle.Difference) {
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	if d.Same() {
		line("nothing differs")
		return
	}
	for _, f := range append(append([]bundle.FactChange{}, d.Facts...), d.Requirements...) {
		line("%s\t%s -> %s", f.Name, fact(f.Old), fact(f.New))
	}
	if len(d.Images) > 0 {
		line("\nIMAGE\t\tLAYERS\tNEW\tMANIFEST")
	}
	for _, m := range d.Images {
		switch m.Kind {
		case bundle.Added:
			line("+ %s\t\t%s\t%s\t%.19s", m.New, layersOf(m), bytesOf(m.NewBytes), m.NewDigest)
		case bundle.Removed:
			line("- %s\t\t\t\t%.19s", m.Old, m.OldDigest)
		case bundle.Changed:
			was := ""
			if m.Old != m.New {
				was = "was " + m.Old[strings.LastIndexAny(m.Old, "/")+1:]
			}
			line("~ %s\t%s\t%s\t%s\t%.19s -> %.19s", m.New, was, layersOf(m), bytesOf(m.NewBytes), m.OldDigest, m.NewDigest)
		}
	}
	if len(d.Files) > 0 {
		line("\nFILE\tSIZE\tMODE\tDIGEST")
	}
	for _, f := range d.Files {
		switch f.Kind {
		case bundle.Added:
			line("+ %s\t%s\t%04o\t%.19s", f.Path, bytesOf(f.NewSize), f.NewMode, f.NewSHA256)
		case bundle.Removed:
			line("- %s\t%s\t%04o\t%.19s", f.Path, bytesOf(f.OldSize), f.OldMode, f.OldSHA256)
		case bundle.Changed:
			line("~ %s\t%s\t%s\t%s", f.Path, arrow(bytesOf(f.OldSize), bytesOf(f.NewSize)), arrow(fmt.Sprintf("%04o", f.OldMode), fmt.Sprintf("%04o", f.NewMode)),
				arrow(fmt.Sprintf("%.19s", f.OldSHA256), fmt.Sprintf("%.19s", f.NewSHA256)))
		}
		for _, ref := range f.AddedImages {
			line("    asks for\t%s", ref)
		}
		for _, ref := range f.RemovedImages {
			line("    no longer asks for\t%s", ref)
		}
	}
	line("\n%s of layers and files, unpacked, that the old bundle has not", bytesOf(d.NewBytes))
}

func layersOf(m bundle.ImageChange) string {
	return fmt.Sprintf("%d, %d shared", m.Layers, m.Shared)
}

func arrow(old, new string) string {
	if old == new {
		return old
	}
	return old + " -> " + new
}

// fact writes bytes for people; a fact that one bundle lacks is a dash.
func fact(v any) string {
	if n, ok := v.(int64); ok {
		return bytesOf(n)
	}
	return cmp.Or(fmt.Sprint(v), "-")
}
