package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kubebundle/bundle"
	"kubebundle/bundle/needs"
)

func (a *app) verifyCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE|PART|FOLDER",
		Short: "Check every byte of a bundle, and that it is complete",
		Long: `Check every byte of a bundle against its contract, and the contract against itself: from the registry's manifest to the
config to the layers. Then check that every image that an installation can ask for is inside: those of the Kubernetes
version with all add-ons, and those that the packed manifests name, at any depth. A missing one is named with the file and
line that asks. Every problem is reported; a string that only looks like an image is a warning.

Of a bundle in parts give any part, or the list. A part that is missing, cut off, foreign or out of order is named.`,
		Args: oneBundle,
		RunE: func(cmd *cobra.Command, args []string) error { return a.verify(cmd, args[0]) },
	}
}

// verified is what `verify -o json` prints.
type verified struct {
	OK           bool     `json:"ok"`
	Bundle       string   `json:"bundle,omitempty"`
	Images       int      `json:"images"`
	Files        int      `json:"files"`
	Uncompressed int64    `json:"uncompressed"`
	Problems     []string `json:"problems"`
	Warnings     []string `json:"warnings"` // what will not work without a registry, and what looks like an image that is not inside
}

func (a *app) verify(cmd *cobra.Command, path string) error {
	res := verified{Problems: []string{}}
	err := a.check(cmd, path, &res)
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
	_, err = fmt.Fprintf(a.out, "%s: ok: %d images, %d files, %s\n", res.Bundle, res.Images, res.Files, bytesOf(res.Uncompressed))
	return err
}

func (a *app) check(cmd *cobra.Command, path string, res *verified) error {
	b, err := bundle.OpenPath(path)
	if err != nil {
		return err
	}
	c := b.Contract()
	res.Bundle, res.Images, res.Files, res.Uncompressed = c.Name(), len(c.Images), len(c.Files), c.Payload.Uncompressed
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
