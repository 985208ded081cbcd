package main

import (
	"fmt"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"kubebundle/bundle"
	"kubebundle/bundle/sbom"
)

func (a *app) sbomCmd() *cobra.Command {
	var file, base string
	cmd := &cobra.Command{
		Use:   "sbom FILE|PART|FOLDER",
		Short: "List everything that a bundle is made of, as SPDX",
		Long: `List everything that a bundle is made of, as an SPDX 2.3 document in JSON: every image, file and program, the Go modules that
the programs were built from (as the Go linker wrote them into each), and the Debian packages in the images.

Every digest of the bundle is checked on the way. The same bundle gives the same document.`,
		Example: `  bundler sbom k8s-v1.34.4-linux-amd64.tar.gz --output-file k8s-v1.34.4-linux-amd64.spdx.json`,
		Args:    oneBundle,
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := bundle.OpenPath(args[0])
			if err != nil {
				return err
			}
			if base != "" {
				if err := useBase(b, base); err != nil {
					return err
				}
			}
			tool := "kubebundle-bundler-" + programVersion()
			if file == "" {
				return sbom.Write(cmd.Context(), a.out, b, tool)
			}
			// The folder of the file holds the temporary one: renaming needs that.
			t, err := renameio.NewPendingFile(file, renameio.WithTempDir(filepath.Dir(file)), renameio.WithPermissions(0o644))
			if err != nil {
				return fmt.Errorf("write %s: %w", file, err)
			}
			defer func() { _ = t.Cleanup() }() // nothing is left of what was not finished
			if err := sbom.Write(cmd.Context(), t, b, tool); err != nil {
				return err
			}
			if err := t.CloseAtomicallyReplace(); err != nil {
				return fmt.Errorf("write %s: %w", file, err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "output-file", "", "`file` to write to (default: standard output)")
	cmd.Flags().StringVar(&base, "base", "", "`path` of the bundle that a delta was made from")
	return cmd
}
