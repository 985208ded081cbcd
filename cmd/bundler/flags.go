package main

import (
	"errors"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	utilversion "k8s.io/apimachinery/pkg/util/version"

	"kubebundle/release"
)

// releaseFlags choose a release; `build` and `images list` share them.
type releaseFlags struct {
	version         string
	arches          []string
	platforms       []string
	imageRepository string
	dns             string
	allowUnknown    bool
}

func (f *releaseFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.version, "version", "", "Kubernetes `version`, as in v1.34.4 (also --kubernetes-version)")
	fs.StringSliceVar(&f.arches, "arch", nil, "`architecture` of the hosts; repeat it for several (default: this machine's, "+runtime.GOARCH+")")
	fs.StringSliceVar(&f.platforms, "platform", nil, "the same as --arch, written linux/`ARCH`")
	fs.StringVar(&f.imageRepository, "image-repository", "", "`registry` and path that hold Kubernetes' images, as kubeadm's flag of that name")
	fs.StringVar(&f.dns, "dns", "coredns", "`add-on` for cluster DNS: coredns, or kube-dns through v1.20")
	fs.BoolVar(&f.allowUnknown, "allow-unknown-version", false, "go on with a version that this program does not know, by the nearest known rules")
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "kubernetes-version" {
			name = "version"
		}
		return pflag.NormalizedName(name)
	})
}

// selection is what the flags mean.
type selection struct {
	version *utilversion.Version
	arches  []release.Arch
	options release.Options
}

func (f *releaseFlags) parse(cmd *cobra.Command) (*selection, error) {
	if f.version == "" {
		return nil, &usageError{err: errors.New("which Kubernetes? --version is missing"), hint: "as in `" + cmd.CommandPath() + " --version v1.34.4`; `bundler versions` lists the known ones"}
	}
	v, err := release.Parse(f.version)
	if err != nil {
		return nil, err
	}
	s := &selection{version: v}
	s.options = release.Options{ImageRepository: f.imageRepository, AllowUnknown: f.allowUnknown}
	switch f.dns {
	case "coredns":
	case "kube-dns":
		s.options.KubeDNS = true
	default:
		return nil, usageHint(cmd, "--dns %q: neither coredns nor kube-dns", f.dns)
	}
	names := slices.Clone(f.arches)
	for _, p := range f.platforms {
		arch, ok := strings.CutPrefix(p, "linux/")
		if !ok {
			return nil, usageHint(cmd, "--platform %q: only linux/ARCH, as in linux/arm64", p)
		}
		arch, _, _ = strings.Cut(arch, "/") // arm/v7: Kubernetes was published for one arm only
		names = append(names, arch)
	}
	if len(names) == 0 {
		names = []string{runtime.GOARCH}
	}
	for _, n := range names {
		if a := release.Arch(n); !slices.Contains(s.arches, a) {
			s.arches = append(s.arches, a)
		}
	}
	return s, nil
}
