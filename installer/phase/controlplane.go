package phase

import (
	"context"
	"crypto/x509"
	"path"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/release"
)

// components of the control plane that run as static pods, in kubeadm's order.
func components() []string {
	return []string{string(release.APIServer), string(release.ControllerManager), string(release.Scheduler)}
}

func clientAuth() []x509.ExtKeyUsage { return []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }

// Etcd is the local etcd: its data folder and its static pod.
type Etcd struct{}

// Name is kubeadm's.
func (Etcd) Name() string { return "etcd" }

// Parts is kubeadm's sub-phase.
func (Etcd) Parts() []string { return []string{"local"} }

// Plan writes nothing where others run the etcd.
func (p Etcd) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil || c.Etcd.External != nil || !s.wants(p.Name(), "local") {
		return nil, err
	}
	f, err := s.staticPod(c, n, string(release.Etcd), r)
	if err != nil {
		return nil, err
	}
	return []step.Step{step.Dir{Path: c.Etcd.DataDir, Mode: 0o700, Own: true}, staticPodDir(), file(f)}, nil
}

// ControlPlane is the other three static pods.
type ControlPlane struct{}

// Name is kubeadm's.
func (ControlPlane) Name() string { return "control-plane" }

// Parts are kubeadm's sub-phases.
func (ControlPlane) Parts() []string {
	var out []string
	for _, c := range components() {
		out = append(out, subName(c))
	}
	return out
}

// Plan writes the three manifests.
func (p ControlPlane) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil {
		return nil, err
	}
	steps := []step.Step{staticPodDir()}
	for _, comp := range components() {
		if !s.wants(p.Name(), subName(comp)) || selfHosted(r, comp) {
			continue
		}
		if comp == string(release.APIServer) && c.Auditing() && c.Audit.Path == "" {
			policy := manifests.DefaultAuditPolicy()
			steps = append(steps, step.Dir{Path: path.Dir(policy.Path), Mode: 0o700, Keep: true}, file(policy))
		}
		f, err := s.staticPod(c, n, comp, r)
		if err != nil {
			return nil, err
		}
		steps = append(steps, file(f))
	}
	return steps, nil
}

// staticPodDir is the folder of the static pods, closed to others as kubeadm makes it.
func staticPodDir() step.Dir { return step.Dir{Path: manifestsDir, Mode: 0o700, Keep: true} }

// subName is the name of kubeadm's sub-phase for a component: "apiserver" for kube-apiserver.
func subName(component string) string { return component[len("kube-"):] }

// file makes a step of a rendered file.
func file(f manifests.File) step.File {
	return step.File{Path: f.Path, Mode: f.Mode, Data: f.Data}
}
