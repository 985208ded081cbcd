package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"kubebundle/bundle"
	"kubebundle/bundle/builder"
	"kubebundle/bundle/encoder"
	"kubebundle/bundle/trust"
	"kubebundle/imagestore"
	"kubebundle/release"
)

// buildFlags are the flags of `build`.
type buildFlags struct {
	releaseFlags

	manifests  []string
	images     []string
	imagesFile []string
	charts     []builder.Chart
	includes   []string
	noCrictl   bool
	vip        bool
	vipImages  map[string]string
	foreign    []string

	outputDir   string
	outputFile  string
	installer   string
	compression string
	split       string
	base        string
	signing     signFlags
	trustedKeys []string
	noUpstream  bool
	dryRun      bool

	jobs            int
	retries         int
	cacheDir        string
	registryMirrors []string
	binaryMirrors   []string
	insecure        []string
}

func (a *app) buildCmd() *cobra.Command {
	f := &buildFlags{}
	cmd := &cobra.Command{
		Use:   "build --version VERSION [--arch ARCH]...",
		Short: "Build a bundle for each architecture",
		Long: `Build a bundle for each architecture: k8s-VERSION-linux-ARCH.tar.gz.

It holds the images of the control plane, kube-proxy, etcd, DNS and pause, the programs kubelet, kubectl, crictl and the
CNI plugins with their published checksums checked, the kubelet's units, the given manifests as they are with every image
they name, and the installer. Standard output has one line per bundle: its path and its digest.

A Helm chart (a folder, a .tgz, its URL, or oci://registry/path:version) is rendered here, for the bundle's Kubernetes version, and
becomes a manifest. --values, --set, --namespace and --release-name belong to the --chart before them. Charts come after manifests.

What --include names travels along, with its permissions, and is put at its place on every host, owned by root; "install reset"
takes it back. Links are refused, and places that the cluster or the host itself fills, such as /etc/kubernetes/pki.

Downloads go through a cache; a build that was ended goes on from there. The same inputs give the same bytes, whatever
the cache, the mirrors and the number of jobs; SOURCE_DATE_EPOCH sets the time of the files inside.

For media that hold no large files, --split cuts the bundle into parts FILE.001, FILE.002 and so on, with a list
FILE.sha256 beside them. There: sha256sum -c FILE.sha256 && cat FILE.??? | tar xz. verify, inspect and the installer's
--bundle take the parts as they are.

With --base the bundle is a delta: it leaves out what an older bundle has and holds patches for what changed. There, both
are needed: ./install init --base OLD. Nobody but the exact base will do.

With --sign-key the bundle is signed; with --trusted-key its installer refuses every bundle, its own included, that none of
the keys has signed.

` + passwordHelp,
		Example: `  bundler build --version v1.34.4 --arch amd64 --arch arm64 --manifest kube-flannel.yml
  bundler build --version v1.34.4 --chart oci://registry.example.com/charts/app:1.2.3 --values site.yaml --namespace apps
  bundler build --version v1.10.6 --arch arm64 --registry-mirror registry.k8s.io=mirror.example.com/k8s`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.build(cmd, f) },
	}
	fs := cmd.Flags()
	f.add(fs)
	fs.StringArrayVar(&f.manifests, "manifest", nil, "`file` or URL that the installer applies, with all images it names; repeat it, in order")
	addChartFlags(fs, &f.charts)
	fs.StringArrayVar(&f.images, "image", nil, "extra `image` to pack; repeat it")
	fs.StringArrayVar(&f.imagesFile, "images-file", nil, "`file` with one extra image per line; # begins a comment")
	fs.StringArrayVar(&f.includes, "include", nil, "file or folder that is put on every host before anything is started, `PATH:DEST`, as in audit.yaml:/etc/kubernetes/audit.yaml; repeat it")
	fs.BoolVar(&f.vip, "vip", false, "pack keepalived and HAProxy too, for a virtual IP of the control planes (install init --vip)")
	fs.StringToStringVar(&f.vipImages, "vip-image", nil, "with --vip: other images, `NAME=IMAGE`, as in haproxy=docker.io/library/haproxy:2.8.9 or keepalived=…; repeat it")
	fs.BoolVar(&f.noCrictl, "no-crictl", false, "leave crictl out (it is left out with a warning where its release cannot be had)")
	fs.StringArrayVar(&f.foreign, "allow-foreign-arch", nil, "extra `image` in which programs for other architectures may lie; repeat it")
	fs.StringVar(&f.outputDir, "output-dir", ".", "`folder` to write to")
	fs.StringVar(&f.outputFile, "output-file", "", "`file` to write instead, for one architecture")
	fs.StringVar(&f.installer, "installer", "", "`path` of the installer to pack; %ARCH stands for the architecture (default: install-linux-ARCH beside this program)")
	fs.StringVar(&f.compression, "compression", string(encoder.Default), "`effort` of the encoder: fast (a fifth larger, in half the time), default, or best (for a release: a fifth smaller, in minutes)")
	fs.StringVar(&f.split, "split", "", "cut each bundle into parts of this `size`, as in 4GB (the most that FAT holds is 4GiB less one byte) or 700MB")
	fs.StringVar(&f.base, "base", "", "make a delta of this older bundle, a `path` of a file, a part or a folder; %ARCH stands for the architecture")
	f.signing.add(fs)
	fs.StringArrayVar(&f.trustedKeys, "trusted-key", nil, "public `key`, a file or the key itself, that the bundle's installer demands of every bundle; repeat it")
	fs.BoolVar(&f.noUpstream, "no-upstream-signatures", false, "leave out the signatures that registries hold beside the images")
	fs.BoolVar(&f.dryRun, "dry-run", false, "only print what would be packed")
	fs.IntVarP(&f.jobs, "jobs", "j", 4, "`number` of downloads at a time")
	fs.IntVar(&f.retries, "retries", 5, "`number` of new tries after a download failed; 0 for none")
	fs.StringVar(&f.cacheDir, "cache-dir", "", "`folder` that keeps downloads (default: $XDG_CACHE_HOME/kubebundle)")
	fs.StringArrayVar(&f.registryMirrors, "registry-mirror", nil, "pull from another place, `FROM=TO`, as in registry.k8s.io=mirror.example.com/k8s; repeat it")
	fs.StringArrayVar(&f.binaryMirrors, "binary-mirror", nil, "`URL` that stands for both https://dl.k8s.io and https://github.com, or FROM=TO; repeat it")
	fs.StringArrayVar(&f.insecure, "insecure-registry", nil, "`host` that may speak plain HTTP or have an unknown certificate; repeat it")
	return cmd
}

// built is what `build -o json` prints per bundle.
type built struct {
	Path         string      `json:"path"`
	SHA256       string      `json:"sha256"`
	Size         int64       `json:"size"`
	Parts        []builtPart `json:"parts,omitempty"` // then there is no file at Path
	List         string      `json:"list,omitempty"`  // names the parts
	Arch         string      `json:"arch"`
	Uncompressed int64       `json:"uncompressed"`
	Warnings     []string    `json:"warnings"`
}

type builtPart struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

func (a *app) build(cmd *cobra.Command, f *buildFlags) error {
	ctx := cmd.Context()
	reqs, err := a.requests(cmd, f)
	if err != nil {
		return err
	}
	ui := a.newProgress()
	defer ui.close()
	options, err := a.storeOptions(cmd, f)
	if err != nil {
		return err
	}
	options.Progress = ui.pull
	b := &builder.Builder{Log: a.logger(), Progress: ui.event, Jobs: f.jobs}
	open := func() error {
		if b.Store != nil {
			return nil
		}
		store, err := imagestore.New(*options)
		if err == nil {
			b.Store = store
		}
		return err
	}
	if reqs[0].PullsCharts() {
		if err := open(); err != nil {
			return err
		}
	}
	plans := make([]*builder.Plan, 0, len(reqs))
	for _, r := range reqs {
		p, err := b.Plan(ctx, r)
		if err != nil {
			return err
		}
		plans = append(plans, p)
	}
	if f.dryRun {
		return a.printPlans(plans)
	}
	if err := open(); err != nil {
		return err
	}
	for _, p := range plans {
		if err := b.Gather(ctx, p); err != nil {
			return err
		}
	}
	results := []built{}
	for _, p := range plans {
		res, err := b.Build(ctx, p)
		if err != nil {
			return err
		}
		ui.warn(res.Warnings)
		r := built{
			Path: res.Path, SHA256: res.SHA256, Size: res.Size, List: res.List, Arch: string(p.Arch), Uncompressed: res.Contract.Payload.Uncompressed,
			Warnings: append([]string{}, res.Warnings...),
		}
		for _, part := range res.Parts {
			r.Parts = append(r.Parts, builtPart(part))
		}
		results = append(results, r)
		if a.output == "text" {
			ui.close() // the result must not land in a bar
			if err := r.print(a.out); err != nil {
				return err
			}
		}
	}
	if a.output == "json" {
		return a.printJSON(results)
	}
	return nil
}

// print writes a line per file: the bundle, or each of its parts.
func (b *built) print(w io.Writer) error {
	if len(b.Parts) == 0 {
		_, err := fmt.Fprintf(w, "%s  %s\n", b.Path, b.SHA256)
		return err
	}
	for _, p := range b.Parts {
		if _, err := fmt.Fprintf(w, "%s  %s\n", p.Path, p.SHA256); err != nil {
			return err
		}
	}
	return nil
}

// partSize reads --split.
func partSize(cmd *cobra.Command, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(s)
	if err != nil || n == 0 || n > math.MaxInt64 {
		return 0, usageHint(cmd, "--split %q: not a size; write it as in 4GB, 700MB or 650MiB", s)
	}
	return int64(n), nil
}

// virtualIP are the images of a virtual IP, if one is wanted.
func (f *buildFlags) virtualIP(cmd *cobra.Command) (map[string]string, error) {
	if !f.vip {
		if len(f.vipImages) > 0 {
			return nil, usageHint(cmd, "--vip-image says with what, and --vip is missing")
		}
		return nil, nil
	}
	images := release.VirtualIPImages()
	for name, ref := range f.vipImages {
		if _, known := images[name]; !known {
			return nil, usageHint(cmd, "--vip-image %s: want haproxy=IMAGE or keepalived=IMAGE", name)
		}
		images[name] = ref
	}
	return images, nil
}

// requests makes one request per architecture.
func (a *app) requests(cmd *cobra.Command, f *buildFlags) ([]builder.Request, error) {
	sel, err := f.parse(cmd)
	if err != nil {
		return nil, err
	}
	if f.outputFile != "" && len(sel.arches) > 1 {
		return nil, usageHint(cmd, "--output-file names one file, but there are %d architectures; use --output-dir", len(sel.arches))
	}
	if f.outputFile != "" && cmd.Flags().Changed("output-dir") {
		return nil, usageHint(cmd, "--output-file and --output-dir exclude each other")
	}
	if len(sel.arches) > 1 && f.installer != "" && !strings.Contains(f.installer, "%ARCH") {
		return nil, usageHint(cmd, "--installer names one program, but there are %d architectures; write %%ARCH in its place", len(sel.arches))
	}
	if len(sel.arches) > 1 && f.base != "" && !strings.Contains(f.base, "%ARCH") {
		return nil, usageHint(cmd, "--base names one bundle, but there are %d architectures; write %%ARCH in its place", len(sel.arches))
	}
	if !slices.Contains(encoder.Compressions(), encoder.Compression(f.compression)) {
		return nil, usageHint(cmd, "--compression %q: want one of %v", f.compression, encoder.Compressions())
	}
	if f.jobs < 1 || f.retries < 0 {
		return nil, usageHint(cmd, "--jobs must be at least 1 and --retries at least 0")
	}
	split, err := partSize(cmd, f.split)
	if err != nil {
		return nil, err
	}
	keys, err := trust.LoadKeys(f.trustedKeys)
	if err != nil {
		return nil, &usageError{err: fmt.Errorf("--trusted-key: %w", err)}
	}
	var sign bundle.SignFunc
	if f.signing.keyFile != "" && !f.dryRun {
		if sign, err = a.signer(cmd, &f.signing); err != nil {
			return nil, err
		}
	}
	epoch, err := sourceDateEpoch(a.getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return nil, err
	}
	images := slices.Clone(f.images)
	for _, path := range f.imagesFile {
		list, err := readImagesFile(path)
		if err != nil {
			return nil, err
		}
		images = append(images, list...)
	}
	includes := make([]builder.Include, 0, len(f.includes))
	for _, s := range f.includes {
		inc, err := builder.ParseInclude(s)
		if err != nil {
			return nil, usageHint(cmd, "--%w", err)
		}
		includes = append(includes, inc)
	}
	vip, err := f.virtualIP(cmd)
	if err != nil {
		return nil, err
	}
	reqs := make([]builder.Request, 0, len(sel.arches))
	for _, arch := range sel.arches {
		r := builder.Request{
			VirtualIP: vip,
			Version:   sel.version, Arch: arch, ImageRepository: sel.options.ImageRepository, KubeDNS: sel.options.KubeDNS, AllowUnknown: sel.options.AllowUnknown,
			Manifests: f.manifests, Charts: f.charts, Images: images, Includes: includes, NoCrictl: f.noCrictl, AllowForeign: f.foreign,
			Installer:   strings.ReplaceAll(f.installer, "%ARCH", string(arch)),
			Output:      f.outputFile,
			Compression: encoder.Compression(f.compression), ModTime: epoch, PartSize: split, Builder: programVersion(),
			Sign: sign, TrustedKeys: keys, NoUpstreamSignatures: f.noUpstream,
		}
		if r.Installer == "" && !f.dryRun { // a dry run needs none
			r.Installer = builder.InstallerPath(a.executable, arch)
		}
		name := "k8s-" + release.Tag(sel.version) + "-linux-" + string(arch)
		if f.base != "" {
			if r.Base, err = bundle.OpenPath(strings.ReplaceAll(f.base, "%ARCH", string(arch))); err != nil {
				return nil, fmt.Errorf("--base: %w", err)
			}
			if got := r.Base.Contract().Arch; got != string(arch) {
				return nil, usageHint(cmd, "--base %s is for %s, not for %s", r.Base.Path(), got, arch)
			}
			name += "-from-" + r.Base.Contract().KubernetesVersion
		}
		if r.Output == "" {
			r.Output = filepath.Join(f.outputDir, name+".tar.gz")
		}
		reqs = append(reqs, r)
	}
	return reqs, nil
}

// sourceDateEpoch reads the variable of reproducible-builds.org.
func sourceDateEpoch(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return time.Time{}, &usageError{err: fmt.Errorf("SOURCE_DATE_EPOCH %q: not a number of seconds", s)}
	}
	return time.Unix(n, 0).UTC(), nil
}

// readImagesFile reads one reference per line.
func readImagesFile(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("images file: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	var images []string
	for s, n := bufio.NewScanner(f), 1; ; n++ {
		if !s.Scan() {
			if err := s.Err(); err != nil {
				return nil, fmt.Errorf("images file %s: %w", path, err)
			}
			return images, nil
		}
		line, _, _ := strings.Cut(s.Text(), "#")
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case strings.ContainsAny(line, " \t"):
			return nil, fmt.Errorf("images file %s:%d: one image per line, not %q", path, n, line)
		default:
			images = append(images, line)
		}
	}
}

// storeOptions says what the flags mean to the image store. The store itself, whose cache is a folder, is only opened
// when everything else is known to be right.
func (a *app) storeOptions(cmd *cobra.Command, f *buildFlags) (*imagestore.Options, error) {
	mirrors, err := imagestore.ParseMirrors(f.registryMirrors)
	if err != nil {
		return nil, usageHint(cmd, "%w", err)
	}
	binaries, err := imagestore.ParseBinaryMirrors(f.binaryMirrors)
	if err != nil {
		return nil, usageHint(cmd, "%w", err)
	}
	dir := f.cacheDir
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, &usageError{err: fmt.Errorf("find a cache folder: %w", err), hint: "name one with --cache-dir DIR"}
		}
		dir = filepath.Join(base, "kubebundle")
	}
	retries := f.retries
	if retries == 0 {
		retries = -1 // imagestore's word for none
	}
	return &imagestore.Options{
		CacheDir: dir, Mirrors: mirrors, BinaryMirrors: binaries, Insecure: f.insecure, Jobs: f.jobs, Retries: retries, Log: a.logger(),
	}, nil
}

// printPlans is the result of a dry run.
func (a *app) printPlans(plans []*builder.Plan) error {
	if a.output == "json" {
		return a.printJSON(plans)
	}
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(a.out, format+"\n", args...)
		errs = append(errs, err)
	}
	for _, p := range plans {
		for _, w := range p.Warnings {
			fmt.Fprintln(a.err, "warning: "+w)
		}
		line("%s", p.Output)
		for _, img := range p.Images {
			line("  image     %s", img.Ref)
		}
		for _, bin := range p.Binaries {
			line("  program   %s %s", bin.Name, bin.Version)
		}
		for _, m := range p.Manifests {
			line("  manifest  %s", m.Path)
			if m.Chart != "" {
				line("    chart   %s", m.Chart)
			}
		}
		for _, inc := range p.Files {
			line("  file      %s %04o", inc.Dest, inc.Mode)
		}
	}
	return errors.Join(errs...)
}
