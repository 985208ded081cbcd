package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"kubebundle/bundle/encoder"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
	"kubebundle/test/lab/upstream"
)

// bench is one run of the benchmark.
type bench struct {
	version    string // of Kubernetes
	to         string // what upgrades lead to
	arch       string
	runs       int
	containerd string // the daemon of the import
	log        *slog.Logger
	results    results

	dir       string // everything that is made, gone at the end
	env       *clusters.Env
	server    *upstream.Server
	product   clusters.Programs
	crane     string
	refs      []string          // of the images that everybody packs
	programs  []string          // paths of the node's programs below the file server
	indexes   map[string]string // ref to the digest that its tag has in the registry
	manifests map[string]string // ref to the digest of the architecture's manifest

	next  *clusters.Env // of what upgrades lead to
	newer clusters.Bundle

	extra       []string // images of the bundle with many, on a registry of their own
	extraServer *httptest.Server
}

// ownLab is the number of the bench's lab, unless the environment chooses another.
const ownLab = "6"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	only := flag.String("only", "", "measure some `parts`, as in upgrade,reset: "+strings.Join(allParts(), ", ")+" (default: all)")
	runs := flag.Int("runs", 5, "rounds; those with hosts take at most three")
	version := flag.String("version", "v1.34.4", "Kubernetes version")
	to := flag.String("to", "v1.35.4", "Kubernetes version that upgrades lead to")
	containerd := flag.String("containerd", "", "`path` of the daemon of the import, with its ctr beside it (default: the distribution's, from a host's tree)")
	doc := flag.String("doc", "docs/benchmarks.md", "the document, relative to the project; what was measured replaces its sections")
	flag.Parse()
	parts, err := chosen(*only)
	if err != nil {
		return err
	}
	if *runs < 1 || flag.NArg() > 0 {
		return errors.New("usage: bench [-only PART,…] [-runs N] [-version V] [-to V]")
	}
	if os.Getenv(hosts.EnvID) == "" { // beside the one that people and tests use
		if err := os.Setenv(hosts.EnvID, ownLab); err != nil {
			return err
		}
	}
	b := &bench{
		version: *version, to: *to, arch: runtime.GOARCH, runs: *runs, containerd: *containerd, results: results{},
		log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: plain})),
	}
	if err := b.prepare(ctx); err != nil {
		return errors.Join(err, b.close())
	}
	defer func() { err = errors.Join(err, b.close()) }()
	m, err := b.inspect(ctx)
	if err != nil {
		return err
	}
	for _, p := range parts {
		measure := map[string]func(context.Context) error{
			partBuild: b.build, partImport: b.importing, partInit: b.initing, partUpgrade: b.upgrading, partSnapshot: b.saving, partReset: b.resetting, partHA: b.available,
		}[p]
		if err := measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	if err := m.finish(); err != nil {
		return err
	}
	r := report{machine: m, results: b.results, parts: parts, runs: b.runs, version: b.version, to: b.to, images: len(b.refs)}
	if err := r.table(os.Stdout); err != nil {
		return err
	}
	file := filepath.Join(b.env.Builder.Module, *doc)
	former, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(file, r.markdown(string(former)), 0o644)
}

// chosen are the parts that -only names, in the document's order.
func chosen(only string) ([]string, error) {
	if only == "" {
		return allParts(), nil
	}
	var parts []string
	named := strings.Split(only, ",")
	for _, n := range named {
		if !slices.Contains(allParts(), n) {
			return nil, fmt.Errorf("-only %s: no part %q; there are %s", only, n, strings.Join(allParts(), ", "))
		}
	}
	for _, p := range allParts() {
		if slices.Contains(named, p) {
			parts = append(parts, p)
		}
	}
	return parts, nil
}

func plain(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
		return slog.Attr{}
	}
	return a
}

// prepare builds everything that is measured or needed by it, and starts the servers.
func (b *bench) prepare(ctx context.Context) (err error) {
	if b.env, err = clusters.NewEnv(ctx, b.version, b.log); err != nil {
		return err
	}
	b.env.Manifests = []string{filepath.Join(b.env.Builder.Module, "test/lab/manifests/kube-flannel.yml")}
	if err := os.MkdirAll(filepath.Join(b.env.Dir, "bench"), 0o755); err != nil {
		return err
	}
	// Not in /tmp, which may be in memory or on an overlay. Short, since it holds sockets.
	if b.dir, err = os.MkdirTemp(filepath.Join(b.env.Dir, "bench"), ""); err != nil {
		return err
	}
	if err := b.tools(ctx); err != nil {
		return err
	}
	if b.containerd == "" {
		tree, err := hosts.Trees{Dir: filepath.Join(b.env.Dir, "trees")}.Tree(ctx, hosts.Containerd)
		if err != nil {
			return err
		}
		b.containerd = filepath.Join(tree, "usr/bin/containerd")
	}
	if err := b.ownProduct(ctx); err != nil {
		return err
	}
	if b.server, err = upstream.Serve(ctx, nil, b.env.Upstream); err != nil {
		return err
	}
	if b.programs, err = programPaths(b.version, b.arch); err != nil {
		return err
	}
	if b.refs, err = b.plannedRefs(ctx); err != nil {
		return err
	}
	b.env.Upstream = only(b.env.Upstream, b.refs)
	b.indexes, b.manifests = map[string]string{}, map[string]string{}
	for _, i := range b.env.Upstream.Images {
		b.indexes[i.Ref()], b.manifests[i.Ref()] = i.Index, i.Manifests[b.arch]
	}
	return nil
}

// ownProduct builds our programs and copies them: the lab's copy may be built anew by somebody else meanwhile.
func (b *bench) ownProduct(ctx context.Context) error {
	p, err := b.env.BuildPrograms(ctx)
	if err != nil {
		return err
	}
	for _, f := range []*string{&p.Bundler, &p.Installer} {
		to := filepath.Join(b.dir, filepath.Base(*f))
		if _, _, err := command(ctx, "cp", *f, to); err != nil {
			return err
		}
		*f = to
	}
	b.product = p
	return nil
}

// needBundle builds the bundle that the later parts use, if there is none yet.
func (b *bench) needBundle(ctx context.Context, c encoder.Compression) error {
	if _, err := os.Stat(b.bundleFile()); err == nil {
		return nil
	}
	_, err := b.buildBundle(ctx, c, true)
	return err
}

func (b *bench) close() error {
	var errs []error
	if b.extraServer != nil {
		b.extraServer.Close()
	}
	if b.server != nil {
		errs = append(errs, b.server.Close())
	}
	if b.dir != "" {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}
