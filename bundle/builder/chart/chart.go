package chart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/strvals"
	"k8s.io/apimachinery/pkg/util/version"
)

// Chart is a chart that can be rendered. Loading anew for each rendering is cheap, and rendering changes what was loaded.
type Chart struct {
	load func() (*chart.Chart, error)
}

// Open opens a chart's folder or .tgz file.
func Open(path string) (*Chart, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return checked(func() (*chart.Chart, error) { return loader.LoadDir(path) })
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Read(data)
}

// Read opens a chart's .tgz.
func Read(data []byte) (*Chart, error) {
	return checked(func() (*chart.Chart, error) { return loader.LoadArchive(bytes.NewReader(data)) })
}

func checked(load func() (*chart.Chart, error)) (*Chart, error) {
	c, err := load()
	if err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Metadata.Type == "library" {
		return nil, errors.New("is a library chart: it has nothing to apply")
	}
	have := map[string]bool{}
	for _, d := range c.Dependencies() {
		have[d.Name()] = true
	}
	for _, d := range c.Metadata.Dependencies {
		if !have[d.Name] {
			return nil, &MissingDependencyError{Name: d.Name, Version: d.Version}
		}
	}
	return &Chart{load: load}, nil
}

// MissingDependencyError is a chart whose charts folder lacks what Chart.yaml names.
type MissingDependencyError struct{ Name, Version string }

func (e *MissingDependencyError) Error() string {
	return fmt.Sprintf("its dependency %s %s is not in its charts folder", e.Name, e.Version)
}

// Hint says how to bring it there.
func (e *MissingDependencyError) Hint() string { return "helm dependency build CHART" }

// Options say how a chart is rendered.
type Options struct {
	Release    string // "" is the chart's name
	Namespace  string // "" is default
	Kubernetes *version.Version
	Values     []Values  // each overrides those before
	Set        []string  // key.of.value=value, as helm's --set; override Values
	Now        time.Time // what templates take for the present
}

// Values is one file of values.
type Values struct {
	Name string // for messages
	Data []byte
}

// Manifest is a rendered chart.
type Manifest struct {
	Name, Version string // of the chart
	Data          []byte // YAML
	Warnings      []string
}

// Render makes the manifest. Same chart, same options: same bytes.
func (c *Chart) Render(ctx context.Context, o Options) (*Manifest, error) {
	first, files, err := c.execute(ctx, o)
	if err != nil {
		return nil, err
	}
	_, again, err := c.execute(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := compare(files, again); err != nil {
		return nil, err
	}
	return compose(first, files, o)
}

// execute loads the chart and executes its templates.
func (c *Chart) execute(ctx context.Context, o Options) (*chart.Chart, map[string]string, error) {
	ch, err := c.load()
	if err != nil {
		return nil, nil, err
	}
	name := o.release(ch.Name())
	if err := chartutil.ValidateReleaseName(name); err != nil {
		return nil, nil, fmt.Errorf("release %q: %w", name, err)
	}
	caps, err := capabilities(o.Kubernetes)
	if err != nil {
		return nil, nil, err
	}
	if want := ch.Metadata.KubeVersion; want != "" && !chartutil.IsCompatibleRange(want, caps.KubeVersion.String()) {
		return nil, nil, fmt.Errorf("wants Kubernetes %s, and the bundle is for %s", want, caps.KubeVersion.Version)
	}
	values, err := o.values()
	if err != nil {
		return nil, nil, err
	}
	if err := chartutil.ProcessDependencies(ch, values); err != nil {
		return nil, nil, err
	}
	all, err := util.ToRenderValues(ch, values, common.ReleaseOptions{
		Name: name, Namespace: o.namespace(), Revision: 1, IsInstall: true,
	}, caps)
	if err != nil {
		return nil, nil, err
	}
	files, err := templates(o.Now).RenderWithContext(ctx, ch, all)
	return ch, files, err
}

func (o *Options) release(chart string) string {
	if o.Release == "" {
		return chart
	}
	return o.Release
}

func (o *Options) namespace() string {
	if o.Namespace == "" {
		return "default"
	}
	return o.Namespace
}

func (o *Options) values() (map[string]any, error) {
	all := map[string]any{}
	for _, v := range o.Values {
		one, err := loader.LoadValues(bytes.NewReader(v.Data))
		if err != nil {
			return nil, fmt.Errorf("values %s: %w", v.Name, err)
		}
		all = loader.MergeMaps(all, one)
	}
	for _, s := range o.Set {
		if err := strvals.ParseInto(s, all); err != nil {
			return nil, fmt.Errorf("set %q: %w", s, err)
		}
	}
	return all, nil
}
