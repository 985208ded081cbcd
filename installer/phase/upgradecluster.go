package phase

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

// UpgradeConfig uploads the configuration of the new version.
type UpgradeConfig struct{}

// Name is kubeadm's.
func (UpgradeConfig) Name() string { return "upload-config" }

// Plan is for `upgrade apply`: whoever follows finds it.
func (UpgradeConfig) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	u, err := s.upgrade(ctx, r)
	if err != nil || u.Node {
		return nil, err
	}
	return UploadConfig{}.Plan(ctx, s, r)
}

// UpgradeRights are the rights of joining nodes, which have changed over the versions.
type UpgradeRights struct{}

// Name is kubeadm's.
func (UpgradeRights) Name() string { return "bootstrap-token" }

// Plan makes no token.
func (UpgradeRights) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	u, err := s.upgrade(ctx, r)
	if err != nil || u.Node {
		return nil, err
	}
	return []step.Step{step.Objects{What: "RBAC for joining nodes", List: manifests.BootstrapTokenRBAC(s.Cluster)}}, nil
}

// upgradeAddon is an add-on, once the last API server is of the new version: kube-proxy must not be newer than any of them, and so the last control
// plane to be upgraded brings it, as in kubeadm since v1.28.
type upgradeAddon struct{ phase Phase }

// Name is that of init's phase.
func (p upgradeAddon) Name() string { return p.phase.Name() }

// Plan keeps what users change about the DNS: the Corefile, unless it is an installer's, and the number of its pods.
func (p upgradeAddon) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	u, err := s.upgrade(ctx, r)
	if err != nil {
		return nil, err
	}
	old, err := u.oldServer(ctx, s)
	if err != nil {
		return nil, err
	}
	if old != "" {
		if s.Progress != nil {
			s.Progress("left to the last control plane that is upgraded: the API server of " + old + " is not yet of this version")
		}
		return nil, nil
	}
	steps, err := p.phase.Plan(ctx, s, r)
	if err != nil {
		return nil, err
	}
	for _, st := range steps {
		if o, ok := st.(step.Objects); ok {
			if err := u.keepDNS(s, o.List); err != nil {
				return nil, err
			}
		}
	}
	return steps, nil
}

func (u *Upgrade) keepDNS(s *State, objs []runtime.Object) error {
	for _, o := range objs {
		switch o := o.(type) {
		case *appsv1.Deployment:
			if o.Name == "coredns" && u.docs.dnsReplicas != nil {
				o.Spec.Replicas = u.docs.dnsReplicas
			}
		case *corev1.ConfigMap:
			if o.Name != "coredns" || u.docs.dns == nil {
				continue
			}
			ours, err := u.installersCorefile(s, u.docs.dns.Data["Corefile"])
			if err != nil {
				return err
			}
			if !ours {
				o.Data = u.docs.dns.Data
			}
		}
	}
	return nil
}

// installersCorefile reports whether a Corefile is what an installer of the old version writes, with name servers or without.
func (u *Upgrade) installersCorefile(s *State, text string) (bool, error) {
	before := *s.Cluster
	before.Version = u.from
	for _, nameservers := range []bool{true, false} {
		objs, err := manifests.DNS(&before, nameservers)
		if err != nil {
			return false, fmt.Errorf("render the DNS of the old version: %w", err)
		}
		if slices.ContainsFunc(objs, func(o runtime.Object) bool {
			cm, ok := o.(*corev1.ConfigMap)
			return ok && cm.Data["Corefile"] == text
		}) {
			return true, nil
		}
	}
	return false, nil
}
