package main

import (
	"errors"

	"github.com/spf13/pflag"

	"kubebundle/bundle/builder"
)

// addChartFlags adds --chart and the flags that belong to the --chart before them on the command line.
func addChartFlags(fs *pflag.FlagSet, charts *[]builder.Chart) {
	fs.Var(chartFlag(func(s string) error {
		*charts = append(*charts, builder.Chart{Source: s})
		return nil
	}), "chart", "Helm `chart` that is rendered to a manifest: a folder, a .tgz, its URL, or oci://registry/path:version; repeat it")
	of := func(set func(c *builder.Chart, s string)) chartFlag {
		return func(s string) error {
			if len(*charts) == 0 {
				return errors.New("it belongs to a chart, and there is no --chart before it")
			}
			set(&(*charts)[len(*charts)-1], s)
			return nil
		}
	}
	fs.Var(of(func(c *builder.Chart, s string) { c.Values = append(c.Values, s) }), "values", "`file` or URL with values for the chart before it; repeat it")
	fs.Var(of(func(c *builder.Chart, s string) { c.Set = append(c.Set, s) }), "set", "`key=value` for the chart before it, as helm's --set; repeat it")
	fs.Var(of(func(c *builder.Chart, s string) { c.Namespace = s }), "namespace", "`namespace` of the chart before it, which is made if need be (default: default)")
	fs.Var(of(func(c *builder.Chart, s string) { c.Release = s }), "release-name", "`name` of the release of the chart before it (default: the chart's name)")
}

// chartFlag is a flag whose meaning depends on its place.
type chartFlag func(string) error

func (f chartFlag) Set(s string) error { return f(s) }
func (chartFlag) String() string       { return "" }
func (chartFlag) Type() string         { return "string" }
