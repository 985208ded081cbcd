package main

import (
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"kubebundle/bundle/needs"
)

func (a *app) verifyCmd() *cobra.Command {
	return &cobra.Command{
		Use: "verify [BUNDLE]", Short: "Check every byte of the bundle, and that every image the install can need is inside", Args: someArgs(0, 1, "one bundle"), Annotations: anyHost,
		Long: `Check every byte of the bundle, and that every image the install can need is inside.

The installer of a bundle that somebody else has altered says what he wants it to say. Have a new bundle checked by a program
that you trust already: the installer of the bundle that you run, with its pinned keys or with --key.

Of a delta whose base is not at hand only its own bytes are checked, and the answer says so.`,
		Example: "  install verify --key kubebundle.pub ../k8s-v1.35.4-linux-amd64.tar.gz",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				a.bundlePath = args[0]
			}
			b, sig, err := a.openBundle(cmd.Context())
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
			result := map[string]any{"ok": true, "bundle": c.Name(), "images": len(c.Images), "files": len(c.Files), "uncompressed": c.Payload.Uncompressed}
			signed := ""
			if sig != nil {
				result["signedBy"] = sig.KeyID
				signed = ", signed with the key " + sig.KeyID
			}
			if name := c.BaseName(); name != "" {
				result["base"], result["baseChecked"] = name, b.BaseError() == nil
				if b.BaseError() == nil {
					signed += " on " + name
				} else {
					signed += ", alone: what it takes from " + name + " is checked with --base"
				}
			}
			if a.output == "json" {
				return a.printJSON(result)
			}
			_, err = fmt.Fprintf(a.out, "%s: ok: %d images, %d files, %s%s\n", c.Name(), len(c.Images), len(c.Files), humanize.Bytes(uint64(max(c.Payload.Uncompressed, 0))), signed)
			return err
		},
	}
}
