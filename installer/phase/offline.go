package phase

import (
	"context"
	"errors"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// PlanOffline plans a phase for a machine that does not run: an image that is being prepared. What depends on the running machine or on
// the cluster is a step.Later, in words. Everything else is the phase's own plan.
func PlanOffline(ctx context.Context, p Phase, s *State, r host.Reader) ([]step.Step, error) {
	if part, ok := p.(joinPart); ok {
		return later("make what follows from the cluster: " + part.name)
	}
	switch p := p.(type) {
	case Preflight:
		return p.offline(ctx, s, r)
	case KeepBundle:
		return later("keep the bundle, where the container runtime can lose images")
	case LoadImages:
		c, err := s.contract()
		if err != nil {
			return nil, err
		}
		return []step.Step{step.NewImages(c)}, nil
	case ServiceRoute:
		return later("keep a route for services, where the machine has no default route")
	case Discovery:
		return later("read the cluster's configuration, and refuse one that does not fit")
	case JoinKubeletStart:
		return later("write the kubelet's configuration as the cluster says, enable and start kubelet.service")
	case KubeletWaitBootstrap:
		return later("wait for the kubelet's certificate")
	case WaitNode:
		return later("wait until the cluster knows the node")
	case Certs, Kubeconfig:
		return p.Plan(ctx, s, r)
	case BootstrapToken:
		steps, err := withCA(ctx, p, s, r)
		for i, st := range steps {
			if t, ok := st.(step.Token); ok && t.Reuse { // the later run makes another one
				steps[i] = step.Later{What: "store a random bootstrap token"}
			}
		}
		return steps, err
	default:
		return withCA(ctx, p, s, r)
	}
}

// withCA is a plan, or the promise of one where the machine is to make its certificates itself.
func withCA(ctx context.Context, p Phase, s *State, r host.Reader) ([]step.Step, error) {
	steps, err := p.Plan(ctx, s, r)
	var none *NoCAError
	if errors.As(err, &none) {
		return later("do what needs the cluster's CA, which the machine makes")
	}
	return steps, err
}

func later(what string) ([]step.Step, error) { return []step.Step{step.Later{What: what}}, nil }

// offline checks what can be seen in files: the bundle, the configuration, what others have left in the tree.
func (Preflight) offline(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, err := s.contract()
	if err != nil {
		return nil, err
	}
	f, err := s.facts(ctx, r)
	if err != nil {
		return nil, err
	}
	in := &inspection{s: s, r: r, facts: f, contract: c}
	in.own(ctx)
	for _, check := range []func(context.Context){
		in.privileged, in.arch, in.version, in.knobs, in.images, in.included, in.manifests, in.etcdDir, in.externalEtcd, in.credentials,
	} {
		check(ctx)
	}
	var ignore []string
	switch {
	case s.Init != nil:
		ignore = s.Init.IgnorePreflightErrors
	case s.Join != nil:
		ignore = s.Join.IgnorePreflightErrors
	}
	applyIgnores(in.problems, ignore)
	if refused := (&PreflightError{Problems: in.problems}); len(refused.Errors()) > 0 {
		return nil, refused
	}
	if err := s.checkPayload(ctx); err != nil {
		return nil, err
	}
	return later("check the machine: processors, memory, swap, kernel, ports, container runtime, disk")
}

// ReadPatches reads the user's patches from another place than the host that is installed.
func (s *State) ReadPatches(r host.Reader) error {
	_, err := s.patches(r)
	return err
}
