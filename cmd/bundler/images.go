package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kubebundle/release"
)

func (a *app) imagesCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "images", Short: "Tell about the images of a version", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := &releaseFlags{}
	list := &cobra.Command{
		Use:   "list --version VERSION [--arch ARCH]...",
		Short: "List the images that a cluster of a version needs",
		Long:  "List the images that a cluster of a version needs, by the names that its pods carry. No network is needed.",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.listImages(cmd, f) },
	}
	f.add(list.Flags())
	cmd.AddCommand(list)
	return cmd
}

// archImages is what `images list -o json` prints per architecture.
type archImages struct {
	KubernetesVersion string          `json:"kubernetesVersion"`
	Arch              release.Arch    `json:"arch"`
	Images            []release.Image `json:"images"`
}

func (a *app) listImages(cmd *cobra.Command, f *releaseFlags) error {
	sel, err := f.parse(cmd)
	if err != nil {
		return err
	}
	rel, err := release.Find(sel.version, sel.options)
	if err != nil {
		return err
	}
	var all []archImages
	for _, arch := range sel.arches {
		images, err := rel.Images(arch)
		if err != nil {
			return err
		}
		all = append(all, archImages{release.Tag(sel.version), arch, images})
	}
	for _, w := range rel.Warnings() {
		fmt.Fprintln(a.err, "warning: "+w)
	}
	if a.output == "json" {
		return a.printJSON(all)
	}
	seen := map[string]bool{} // from v1.12 on, all architectures share their names
	for _, list := range all {
		for _, img := range list.Images {
			if seen[img.Ref] {
				continue
			}
			seen[img.Ref] = true
			if _, err := fmt.Fprintln(a.out, img.Ref); err != nil {
				return err
			}
		}
	}
	return nil
}
