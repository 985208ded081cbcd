package phase

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

const (
	kubeletUnit = "kubelet.service"
	systemdDir  = "/etc/systemd/system"
	kubeletDir  = "/var/lib/kubelet"
)

// KubeletStart writes what the kubelet reads on a control plane node, and starts it.
type KubeletStart struct{}

// Name is kubeadm's.
func (KubeletStart) Name() string { return "kubelet-start" }

// Plan writes config.yaml, kubeadm-flags.env, instance-config.yaml, and brings the unit up.
func (KubeletStart) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil {
		return nil, err
	}
	files, err := manifests.KubeletFiles(c, n)
	if err != nil {
		return nil, err
	}
	if files, err = s.patchKubelet(files, r); err != nil {
		return nil, err
	}
	return kubeletSteps(s, files), nil
}

// kubeletSteps writes the kubelet's files and (re)starts it if it runs with older ones.
func kubeletSteps(s *State, files []manifests.File, more ...string) []step.Step {
	// Closed to others, as kubeadm makes it; below it are the volumes of all pods.
	steps := []step.Step{step.Dir{Path: kubeletDir, Mode: 0o700, Keep: true}}
	watch := slices.Clone(more)
	for _, f := range files {
		steps = append(steps, file(f))
		watch = append(watch, f.Path)
	}
	for _, f := range manifests.KubeletUnits(s.version()) {
		watch = append(watch, path.Join(systemdDir, f.Path))
	}
	watch = append(watch, "/usr/bin/kubelet")
	return append(steps, step.Unit{Name: kubeletUnit, Enable: true, Start: true, Files: watch})
}

// KubeletFinalize leaves a kubeconfig that follows the kubelet's rotating certificate instead of the one that init made.
//
// kubeadm starts the kubelet anew with it. That is not needed, and costs a node that is coming up seconds: a kubelet that rotates its certificate has
// put what it found in its kubeconfig into its store, and takes every connection's certificate from there (cmd/kubelet/app, buildKubeletClientConfig,
// "the rotating transport will use the cert from the cert manager instead of these files"; alike since v1.8). The file is for its next start.
type KubeletFinalize struct{}

// Name is kubeadm's.
func (KubeletFinalize) Name() string { return "kubelet-finalize" }

// Parts are kubeadm's sub-phase under its names from v1.31 on and before: what one of them means is all of the phase.
func (KubeletFinalize) Parts() []string {
	return []string{"enable-client-cert-rotation", "experimental-cert-rotation"}
}

// Plan does nothing where the user switched certificate rotation off.
func (p KubeletFinalize) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n, err := s.initCluster(ctx, r)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(p.Parts(), func(part string) bool { return Skipped(s.skips(), p.Name()+"/"+part) }) {
		return nil, nil
	}
	if rotate, given := c.KubeletConfig["rotateCertificates"].(bool); given && !rotate {
		return nil, nil
	}
	if err := s.ensureKubeconfigs(c, n, r); err != nil {
		return nil, err
	}
	server, err := serverOf(c, n, "kubelet")
	if err != nil {
		return nil, err
	}
	data, err := manifests.RotatedKubeletKubeconfig(c, n, server, s.Certs["ca"].CertPEM)
	if err != nil {
		return nil, err
	}
	s.Kubeconfigs["kubelet"] = data
	return []step.Step{
		awaitFile("the kubelet's certificate in "+clientPEM(n), clientPEM(n), s.timeouts().KubeletHealthCheck),
		step.File{Path: kubeletConf, Mode: 0o600, Data: data, Secret: true},
	}, nil
}

// clientPEM is where the kubelet keeps its rotating certificate.
func clientPEM(n *manifests.Node) string {
	for _, a := range n.KubeletExtraArgs {
		if a.Name == "cert-dir" {
			return path.Join(a.Value, path.Base(kubeletClient))
		}
	}
	return kubeletClient
}

// serverOf is the address in one of init's kubeconfigs.
func serverOf(c *manifests.Cluster, n *manifests.Node, name string) (string, error) {
	for _, k := range manifests.Kubeconfigs(c, n) {
		if k.Name == name {
			return k.Server, nil
		}
	}
	return "", fmt.Errorf("find the server of the %s kubeconfig: %w", name, fs.ErrNotExist)
}
