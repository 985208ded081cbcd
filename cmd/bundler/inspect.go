package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"kubebundle/bundle"
	"kubebundle/bundle/trust"
)

func (a *app) inspectCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect FILE|PART|FOLDER",
		Short: "Tell what is in a bundle",
		Long:  "Tell what is in a bundle: its contract, for people, or with -o json as it stands in bundle.json. Of a bundle in parts\ngive any part, or the list.",
		Args:  oneBundle,
		RunE:  func(_ *cobra.Command, args []string) error { return a.inspect(args[0]) },
	}
}

func (a *app) inspect(path string) error {
	b, err := bundle.OpenPath(path)
	if err != nil {
		return err
	}
	if a.output == "json" {
		_, err := a.out.Write(b.ContractBytes())
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	describe(w, b)
	return w.Flush()
}

// describe writes to a tabwriter, which keeps its first error for Flush.
func describe(w io.Writer, b *bundle.Bundle) {
	c := b.Contract()
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	signed := "no"
	if s, ok := trust.Describe(b.Signature()); ok {
		signed = fmt.Sprintf("with the key %s, says the signature; `bundler verify --key` checks it", s.KeyID)
	} else if b.Signature() != nil {
		signed = "by something that is not a minisign signature"
	}
	line("Kubernetes\t%s", c.KubernetesVersion)
	line("Platform\t%s/%s", c.OS, c.Arch)
	line("Built by\tbundler %s, format %d", c.Builder, c.Format)
	if c.ImageRepository != "" {
		line("Image repository\t%s", c.ImageRepository)
	}
	line("Content\t%s", c.ContentDigest())
	if d := c.Delta; d != nil {
		patched := 0
		for _, t := range d.Taken {
			if t.Patch != nil {
				patched++
			}
		}
		line("Delta of\t%s, content %s", c.BaseName(), d.Base.Content)
		line("\t%d of %d entries are the base's, %d of them patched", len(d.Taken), len(c.Entries()), patched)
	}
	line("Payload\t%s, %s unpacked", bytesOf(c.Payload.Size), bytesOf(c.Payload.Uncompressed))
	line("Signed\t%s", signed)
	for _, k := range c.TrustedKeys {
		line("Installer trusts\t%s", k)
	}
	line("Needs\t%s of disk, %s of memory for a control plane", bytesOf(c.Requirements.DiskBytes), bytesOf(c.Requirements.MemoryBytes))
	line("")
	line("IMAGE\tSIZE\tLAYERS\tMANIFEST\tSIGNED UPSTREAM")
	for _, m := range c.Images {
		var size int64
		for _, l := range m.Layers {
			size += l.Size
		}
		line("%s\t%s\t%d\t%.19s\t%s", m.Ref, bytesOf(size), len(m.Layers), m.Manifest.Digest, signedBy(m))
	}
	line("")
	line("FILE\tSIZE\tMODE\tDIGEST")
	for _, f := range append(append([]bundle.File{}, c.Outer...), c.Files...) {
		line("%s\t%s\t%04o\t%.19s", f.Path, bytesOf(f.Size), f.Mode, f.SHA256)
	}
}

// signedBy says which signatures of its publisher an image carries.
func signedBy(m bundle.Image) string {
	var kinds []string
	for _, s := range m.Signatures {
		if !slices.Contains(kinds, s.Kind) {
			kinds = append(kinds, s.Kind)
		}
	}
	if len(kinds) == 0 {
		return "-"
	}
	return strings.Join(kinds, ", ")
}

func bytesOf(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }
