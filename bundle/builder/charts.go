package builder

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/distribution/reference"

	"kubebundle/bundle/builder/chart"
	"kubebundle/bundle/needs"
)

// Chart is a Helm chart that becomes a manifest of the bundle.
type Chart struct {
	Source    string   // folder, .tgz file, http(s) URL of one, or oci://registry/path:version (or @sha256:…)
	Values    []string // files or URLs, each overriding those before
	Set       []string // key=value
	Release   string   // "" is the chart's name
	Namespace string   // "" is default
}

const (
	ociScheme = "oci://"
	// chartLayer is the media type of a chart in a registry (helm.sh/helm/v4/pkg/registry, ChartLayerMediaType).
	chartLayer = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
)

// PullsCharts says whether a plan needs the image store, because a chart lies in a registry.
func (r *Request) PullsCharts() bool {
	for _, c := range r.Charts {
		if strings.HasPrefix(c.Source, ociScheme) {
			return true
		}
	}
	return false
}

// readChart renders a chart to the i-th manifest and finds its images.
func (b *Builder) readChart(ctx context.Context, i int, c Chart, req *Request) (*Manifest, error) {
	label := c.Source
	if u, err := url.Parse(c.Source); err == nil && isURL(c.Source) {
		label = u.Redacted()
	}
	m, err := b.renderChart(ctx, i, c, req)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", label, err)
	}
	m.Source = label
	return m, nil
}

func (b *Builder) renderChart(ctx context.Context, i int, c Chart, req *Request) (*Manifest, error) {
	loaded, err := b.openChart(ctx, c.Source)
	if err != nil {
		return nil, bare(err)
	}
	o := chart.Options{Release: c.Release, Namespace: c.Namespace, Kubernetes: req.Version, Set: c.Set, Now: req.ModTime}
	if o.Now.IsZero() {
		o.Now = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) // as the files of the bundle
	}
	for _, v := range c.Values {
		data, err := b.readSource(ctx, v)
		if err != nil {
			return nil, fmt.Errorf("values %s: %w", v, err)
		}
		o.Values = append(o.Values, chart.Values{Name: v, Data: data})
	}
	out, err := loaded.Render(ctx, o)
	if err != nil {
		return nil, err
	}
	if len(out.Data) > maxManifest {
		return nil, fmt.Errorf("gives more than %d bytes", maxManifest)
	}
	name := c.Release
	if name == "" {
		name = out.Name
	}
	m := &Manifest{Path: fmt.Sprintf("manifests/%02d-%s.yaml", i+1, name), Chart: out.Name + " " + out.Version, Size: int64(len(out.Data)), data: out.Data}
	if m.found, err = needs.Scan(m.Path, out.Data); err != nil {
		return nil, err
	}
	m.found.Warnings = append(out.Warnings, m.found.Warnings...)
	return m, nil
}

func (b *Builder) openChart(ctx context.Context, source string) (*chart.Chart, error) {
	ref, oci := strings.CutPrefix(source, ociScheme)
	switch {
	case oci:
		named, err := reference.ParseNormalizedNamed(ref)
		if err != nil {
			return nil, err
		}
		if reference.IsNameOnly(named) {
			return nil, errors.New("which version? write it as in oci://registry.example.com/charts/app:1.2.3")
		}
		if b.Store == nil {
			return nil, errors.New("no image store at hand")
		}
		a, err := b.Store.Artifact(ctx, ref, chartLayer, maxManifest)
		if err != nil {
			return nil, err
		}
		return chart.Read(a.Data)
	case isURL(source):
		data, err := b.get(ctx, source)
		if err != nil {
			return nil, err
		}
		return chart.Read(data)
	}
	return chart.Open(source)
}
