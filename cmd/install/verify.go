package main

import (
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"kubebundle/bundle"
	"kubebundle/release"
)

func (a *app) verifyCmd() *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Check every byte of the bundle, and that every image the install can need is inside", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.openBundle()
			if err != nil {
				return err
			}
			if err := b.Verify(cmd.Context()); err != nil {
				return err
			}
			needs, err := needsOf(b)
			if err != nil {
				return err
			}
			if err := b.Contract().VerifyComplete(needs); err != nil {
				return err
			}
			c := b.Contract()
			if a.output == "json" {
				return a.printJSON(map[string]any{"ok": true, "bundle": c.Name(), "images": len(c.Images), "files": len(c.Files), "uncompressed": c.Payload.Uncompressed})
			}
			_, err = fmt.Fprintf(a.out, "%s: ok: %d images, %d files, %s\n", c.Name(), len(c.Images), len(c.Files), humanize.Bytes(uint64(max(c.Payload.Uncompressed, 0))))
			return err
		},
	}
}

// needsOf lists the images that a cluster of the bundle's version asks for.
func needsOf(b *bundle.Bundle) ([]bundle.Need, error) {
	c := b.Contract()
	r, err := releaseOf(c)
	if err != nil {
		return nil, err
	}
	images, err := r.Images(release.Arch(c.Arch))
	if err != nil {
		return nil, err
	}
	var out []bundle.Need
	for _, img := range images {
		out = append(out, bundle.Need{Ref: img.Ref, By: "Kubernetes " + c.KubernetesVersion})
	}
	return out, nil
}
