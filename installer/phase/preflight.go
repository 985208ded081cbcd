package phase

import (
	"context"
	"fmt"

	"kubebundle/bundle"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// Preflight looks for everything that would make the installation fail, before it changes anything. All checks run and all problems
// are reported at once, under kubeadm's names, each with the command that fixes it. What this installer itself has put there in an
// earlier run is no problem.
type Preflight struct{}

// Name is kubeadm's.
func (Preflight) Name() string { return "preflight" }

// Plan plans nothing: it refuses with a *PreflightError or lets pass. Warnings and ignored errors stay in s.Problems.
func (Preflight) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	problems, err := CheckHost(ctx, s, r)
	if err != nil {
		return nil, err
	}
	s.Problems = problems
	for _, p := range problems {
		if p.Level == LevelWarning || p.Ignored {
			s.log().Warn(p.String())
		}
	}
	if len(refusing(problems)) > 0 {
		return nil, &PreflightError{Problems: problems}
	}
	return nil, s.checkPayload(ctx)
}

// CheckHost runs all checks for what s is about to do: init, join, or (`install preflight`) either. Errors that the user ignores are
// marked. The error is for a host that cannot even be looked at.
func CheckHost(ctx context.Context, s *State, r host.Reader) ([]Problem, error) {
	f, err := s.facts(ctx, r)
	if err != nil {
		return nil, err
	}
	c, err := s.contract()
	if err != nil {
		return nil, err
	}
	in := &inspection{s: s, r: r, facts: f, contract: c}
	in.own(ctx)
	for _, check := range []func(context.Context){
		in.privileged, in.arch, in.version, in.knobs, in.hostname, in.cpus, in.memory, in.swap, // the machine
		in.system, in.cgroups, in.sysctls, in.executables, in.firewall, in.proxies, // its system
		in.runtime, in.sandbox, in.disk, in.images, in.included, // the runtime and the bundle
		in.kubelet, in.ports, in.manifests, in.etcdDir, in.auditPolicy, in.externalEtcd, in.credentials, // what is left of others
	} {
		check(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("check the host: %w", ctx.Err())
		}
	}
	var ignore []string
	switch {
	case s.Init != nil:
		ignore = s.Init.IgnorePreflightErrors
	case s.Join != nil:
		ignore = s.Join.IgnorePreflightErrors
	}
	applyIgnores(in.problems, ignore)
	return in.problems, nil
}

// CheckKnobs is the part of CheckHost that judges a configuration without a host: feature gates and flags that the version does not know.
func CheckKnobs(ctx context.Context, s *State, r host.Reader) error {
	c, err := s.contract()
	if err != nil {
		return err
	}
	in := &inspection{s: s, r: r, facts: s.Facts, contract: c}
	in.knobs(ctx)
	if s.Init != nil {
		applyIgnores(in.problems, s.Init.IgnorePreflightErrors)
	}
	if refused := (&PreflightError{Problems: in.problems}); len(refused.Errors()) > 0 {
		return refused
	}
	return nil
}

// inspection is one run of all checks.
type inspection struct {
	s        *State
	r        host.Reader
	facts    host.Facts
	contract *bundle.Contract
	problems []Problem

	ownManifests map[string]bool // static pods that are there and are exactly those that would be written
	kubeletOurs  bool            // the kubelet runs with what an earlier run of ours gave it
}

// controlPlane says whether this node gets a control plane.
func (in *inspection) controlPlane() bool { return in.s.Join == nil || in.s.Join.ControlPlane != nil }

func (in *inspection) add(p Problem) { in.problems = append(in.problems, p) }

// fail reports an error with the commands that fix it.
func (in *inspection) fail(check, fix, format string, args ...any) {
	in.add(Problem{Check: check, Level: LevelError, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// failAdvise reports an error that no command can fix.
func (in *inspection) failAdvise(check, advice, format string, args ...any) {
	in.add(Problem{Check: check, Level: LevelError, Message: fmt.Sprintf(format, args...), Advice: advice})
}

// warn reports something that may be meant.
func (in *inspection) warn(check, advice, format string, args ...any) {
	in.add(Problem{Check: check, Level: LevelWarning, Message: fmt.Sprintf(format, args...), Advice: advice})
}

// minor of the Kubernetes version.
func (in *inspection) minor() uint { return in.s.version().Minor() }
