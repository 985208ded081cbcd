package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kubebundle/bundle"
	"kubebundle/bundle/needs"
	"kubebundle/bundle/trust"
)

func (a *app) verifyCmd() *cobra.Command {
	var keys []string
	var base string
	cmd := &cobra.Command{
		Use:   "verify FILE|PART|FOLDER",
		Short: "Check every byte of a bundle, and that it is complete",
		Long: `Check every byte of a bundle against its contract, and the contract against itself: from the registry's manifest to the
config to the layers. Then check that every image that an installation can ask for is inside: those of the Kubernetes
version with all add-ons, and those that the packed manifests name, at any depth. A missing one is named with the file and
line that asks. Every problem is reported; a string that only looks like an image is a warning.

Of a bundle in parts give any part, or the list. A part that is missing, cut off, foreign or out of order is named.

Of a delta, give the base with --base: then everything that comes out of both is checked. Without it only the delta's own
bytes are, and its patches as they are.

With --key the contract must be signed with that key. Without it nothing says who made the bundle.`,
		Example: `  bundler verify k8s-v1.34.4-linux-amd64.tar.gz --key kubebundle.pub`,
		Args:    oneBundle,
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := trust.LoadKeys(keys)
			if err != nil {
				return &usageError{err: fmt.Errorf("--key: %w", err)}
			}
			return a.verify(cmd, args[0], base, k)
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "public `key`, a file or the key itself, one of which must have signed the bundle; repeat it")
	cmd.Flags().StringVar(&base, "base", "", "`path` of the bundle that a delta was made from, a file, a part or a folder")
	return cmd
}

// verified is what `verify -o json` prints.
type verified struct {
	OK           bool     `json:"ok"`
	Bundle       string   `json:"bundle,omitempty"`
	Images       int      `json:"images"`
	Files        int      `json:"files"`
	Uncompressed int64    `json:"uncompressed"`
	Base         string   `json:"base,omitempty"`        // of a delta
	BaseChecked  bool     `json:"baseChecked,omitempty"` // it was given, so that what comes out is checked
	SignedBy     string   `json:"signedBy,omitempty"`    // the number of the key, checked
	Problems     []string `json:"problems"`
	Warnings     []string `json:"warnings"` // what will not work without a registry, and what looks like an image that is not inside
}

func (a *app) verify(cmd *cobra.Command, path, base string, keys trust.Keys) error {
	res := verified{Problems: []string{}}
	err := a.check(cmd, path, base, keys, &res)
	res.OK, res.Warnings = err == nil, append([]string{}, res.Warnings...)
	if a.output == "json" {
		for _, p := range problems(err) {
			res.Problems = append(res.Problems, p.Error())
		}
		return errors.Join(err, a.printJSON(res))
	}
	if err != nil {
		return err
	}
	signed := ""
	if res.SignedBy != "" {
		signed = ", signed with the key " + res.SignedBy
	}
	what := ""
	switch {
	case res.BaseChecked:
		what = " on " + res.Base
	case res.Base != "":
		what = ", alone: what it takes from " + res.Base + " is checked with --base"
	}
	_, err = fmt.Fprintf(a.out, "%s: ok: %d images, %d files, %s%s%s\n", res.Bundle, res.Images, res.Files, bytesOf(res.Uncompressed), signed, what)
	return err
}

func (a *app) check(cmd *cobra.Command, path, base string, keys trust.Keys, res *verified) error {
	b, sig, err := keys.Open(cmd.Context(), path)
	if err != nil {
		return err
	}
	if sig != nil {
		res.SignedBy = sig.KeyID
	}
	c := b.Contract()
	res.Bundle, res.Images, res.Files, res.Uncompressed = c.Name(), len(c.Images), len(c.Files), c.Payload.Uncompressed
	res.Base = c.BaseName()
	if base != "" {
		if err := useBase(b, base); err != nil {
			return err
		}
		res.BaseChecked = true
	}
	if err := b.Verify(cmd.Context()); err != nil {
		return err
	}
	list, err := needs.Of(cmd.Context(), b)
	if err != nil {
		return err
	}
	res.Warnings = append(list.Warnings, list.Unsure(c)...)
	for _, w := range res.Warnings {
		fmt.Fprintln(a.err, "warning: "+w)
	}
	return c.VerifyComplete(list.Needs)
}

// useBase opens a base and gives it to a delta.
func useBase(b *bundle.Bundle, path string) error {
	base, err := bundle.OpenPath(path)
	if err != nil {
		return fmt.Errorf("--base: %w", err)
	}
	return b.UseBase(base)
}

// problems takes joined errors apart.
func problems(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range j.Unwrap() {
			all = append(all, problems(e)...)
		}
		return all
	}
	return []error{err}
}
