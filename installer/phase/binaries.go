package phase

import (
	"context"
	"fmt"

	"kubebundle/bundle"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// InstallBinaries puts the node's programs, the CNI plugins and the kubelet's unit from the payload into place. kubeadm leaves this to
// packages, which a host without network does not get.
type InstallBinaries struct{}

// Name is ours.
func (InstallBinaries) Name() string { return "install-binaries" }

// Plan is one step: it streams the payload once.
func (InstallBinaries) Plan(ctx context.Context, s *State, _ host.Reader) ([]step.Step, error) {
	c, err := s.contract()
	if err != nil {
		return nil, err
	}
	if err := s.checkPayload(ctx); err != nil {
		return nil, err
	}
	return []step.Step{step.NewBinaries(c)}, nil
}

// IncludeFiles puts the files that the user packed with `bundler build --include` where they belong, before anything starts that may
// read them: an audit policy, a certificate of the site, a sysctl file.
type IncludeFiles struct{}

// Name is ours.
func (IncludeFiles) Name() string { return "include-files" }

// Plan is one step, since it is one pass over the payload.
func (IncludeFiles) Plan(ctx context.Context, s *State, _ host.Reader) ([]step.Step, error) {
	c, err := s.contract()
	if err != nil {
		return nil, err
	}
	st := step.NewIncluded(c)
	if len(st.Files) == 0 {
		return nil, nil
	}
	for _, f := range st.Files {
		if err := bundle.CheckDest(f.Dest()); err != nil { // whoever packed it: the bundler does not write such a bundle
			return nil, fmt.Errorf("install included file: %s %w", f.Dest(), err)
		}
	}
	if err := s.checkPayload(ctx); err != nil {
		return nil, err
	}
	return []step.Step{st}, nil
}

// included looks at the places of included files.
func (in *inspection) included(context.Context) {
	for _, f := range step.NewIncluded(in.contract).Files {
		dest := f.Dest()
		check := fileCheck("FileAvailable", dest)
		if err := bundle.CheckDest(dest); err != nil {
			in.failAdvise(check, "use a bundle that was built by bundler", "the bundle would put a file at %s, which %v", dest, err)
			continue
		}
		fi, err := in.r.Lstat(dest)
		switch {
		case err != nil: // nothing there
		case fi.IsDir():
			in.fail(check, fmt.Sprintf("mv %s %s.old", dest, dest), "%s is a folder, and the bundle brings a file of that name", dest)
		case !in.sameSize(f):
			in.warn(check, "", "%s is there and will be replaced by the bundle's; reset puts it back", dest)
		}
	}
}
