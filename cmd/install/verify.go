package main

import (
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"kubebundle/bundle/needs"
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
			list, err := needs.Of(cmd.Context(), b)
			if err != nil {
				return err
			}
			for _, w := range append(list.Warnings, list.Unsure(b.Contract())...) {
				a.say("warning: %s\n", w)
			}
			if err := b.Contract().VerifyComplete(list.Needs); err != nil {
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
