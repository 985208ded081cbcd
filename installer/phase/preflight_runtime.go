package phase

import (
	"context"
	"errors"
	"io/fs"
	"path"

	"github.com/dustin/go-humanize"
	"k8s.io/apimachinery/pkg/util/version"

	"kubebundle/bundle"
	"kubebundle/installer/step"
)

// runtime asks the container runtime about itself.
func (in *inspection) runtime(ctx context.Context) {
	info, err := in.s.runtimeInfo(ctx)
	if err != nil {
		in.noRuntime(ctx, err)
		return
	}
	if info.Name == "docker" {
		in.docker(info)
	}
	if info.Name != "containerd" {
		return
	}
	have, err := version.ParseGeneric(info.Version)
	if err != nil {
		return
	}
	if want, err := version.ParseGeneric(in.s.Release.MinContainerd()); err == nil && have.LessThan(want) {
		in.warn("ContainerRuntimeVersion", "", "containerd %s is older than %s, the oldest that its makers test with %s",
			info.Version, in.s.Release.MinContainerd(), in.contract.KubernetesVersion)
	}
	if have.Major() >= 2 && in.minor() < 23 {
		in.failAdvise("ContainerRuntimeVersion", "use containerd 1.6 or 1.7", "containerd %s does not speak the runtime interface (v1alpha2) of %s",
			info.Version, in.contract.KubernetesVersion)
	}
}

// sandbox compares what the runtime is configured with and what the bundle needs.
func (in *inspection) sandbox(ctx context.Context) {
	info, err := in.s.runtimeInfo(ctx)
	if err != nil {
		return // reported already
	}
	want := in.s.runtimeWant(in.contract, info)
	misfits := runtimeMisfits(info, want)
	if len(misfits) == 0 {
		return
	}
	e := &RuntimeConfigError{Info: info, Misfits: misfits}
	e.Edit, e.Err = in.s.runtimeEdit(ctx, in.r, info, want)
	if in.s.ConfigureRuntime && e.Err == nil {
		return
	}
	for _, m := range misfits {
		in.failAdvise(m.Check, e.Hint(), "%s: %s", info.Name, m.What)
	}
}

// disk asks for room only for what is not there yet.
func (in *inspection) disk(ctx context.Context) {
	need := in.contract.Requirements.DiskBytes
	if need <= 0 {
		return
	}
	root, kept := "/var/lib/containerd", int64(0)
	info, err := in.s.runtimeInfo(ctx)
	if err == nil {
		if info.Root != "" {
			root = info.Root
		}
		if forgets(info) && in.s.Bundle != nil && !exists(in.r, KeptBundle) {
			kept = step.NewKeepBundle(in.s.Bundle, KeptBundle).Size()
			if base := in.s.Bundle.Base(); base != nil {
				kept += step.NewKeepBase(base, KeptBundle).Size()
			}
		}
		if rt, err := in.s.Runtime(ctx); err == nil {
			if missing, err := rt.Missing(ctx, step.RuntimeImages(in.contract.Images)); err == nil && len(missing) == 0 {
				need = 0
			}
		}
	}
	what := "the bundle needs"
	if kept > 0 {
		what = "the bundle and the copy of it that is kept there for images which " + displayName(info) + " loses need"
	}
	for _, c := range []struct {
		path, what string
		need       int64
	}{{root, "the bundle needs", need}, {"/var/lib", what, need + kept}} {
		free, err := in.r.DiskFree(c.path)
		if err != nil {
			in.failAdvise("Disk", "", "free space at %s cannot be found out: %v", c.path, err)
			continue
		}
		if free < uint64(max(c.need, 0)) {
			in.failAdvise("Disk", "make room or mount a larger disk there", "%s free at %s, %s %s",
				humanize.IBytes(free), c.path, c.what, humanize.IBytes(uint64(c.need)))
		}
	}
}

// images checks that everything which the installation starts is in the bundle: nothing can be pulled later.
func (in *inspection) images(ctx context.Context) {
	missing, err := in.s.missingImages(ctx)
	if err != nil {
		in.failAdvise("ImagePull", "check the bundle with: ./install verify", "%v", err)
		return
	}
	for _, n := range missing {
		in.failAdvise("ImagePull", "build a bundle with it (bundler build --image "+n.Ref+")", "image %s is not in the bundle, but %s needs it", n.Ref, n.By)
	}
}

// kubelet looks for one that others installed.
func (in *inspection) kubelet(ctx context.Context) {
	st, err := in.r.UnitState(ctx, kubeletUnit)
	if err == nil && st.Active && !in.kubeletOurs {
		in.fail("Service-Kubelet", "systemctl disable --now kubelet", "a kubelet that this installer did not start is running")
	}
	for _, f := range in.contract.Files {
		if f.Path == "bin/kubelet" && in.packaged("kubelet") && !in.sameSize(f) {
			in.warn("KubeletVersion", "keep the package manager from updating it: apt-mark hold kubelet",
				"%s belongs to a package and will be replaced by the bundle's", step.InstallPath(f.Path))
		}
	}
}

// packaged reports whether dpkg knows a package of this name as installed; an rpm database cannot be read without rpm.
func (in *inspection) packaged(name string) bool {
	_, err := in.r.Stat(path.Join("/var/lib/dpkg/info", name+".list"))
	return err == nil
}

func (in *inspection) sameSize(f bundle.File) bool {
	fi, err := in.r.Stat(step.InstallPath(f.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return true // nothing to replace
	}
	return err == nil && fi.Size() == f.Size
}
