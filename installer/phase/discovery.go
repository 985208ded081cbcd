package phase

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/yaml"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/release"
)

// Discovery reads the cluster that is joined. It changes nothing and so plans nothing: what it finds is in the State, and the steps of
// kubelet-start hold it.
type Discovery struct{}

// Name is ours; in kubeadm it is a part of preflight.
func (Discovery) Name() string { return "discovery" }

var errDiscoverFirst = errors.New("nothing is known about the cluster: the discovery phase was skipped")

// Plan checks cluster-info, reads the cluster's configuration and refuses versions that do not go together. On a node that has joined
// it asks nobody.
func (Discovery) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	if s.Discovery == nil {
		return nil, errors.New("discover the cluster: no way to it was given")
	}
	n, err := s.joinNode(ctx, r)
	if err != nil {
		return nil, err
	}
	if s.member, err = s.isMember(ctx, r, n); err != nil {
		return nil, err
	}
	if s.member {
		if s.Progress != nil {
			s.Progress("this host has joined the cluster already")
		}
		return nil, nil
	}
	limit, cancel := context.WithTimeout(ctx, s.timeouts().Discovery)
	defer cancel()
	info, err := s.Discovery.ClusterInfo(limit)
	if err != nil {
		return nil, fmt.Errorf("discover the cluster: %w", err)
	}
	kubeadm, kubelet, err := s.Discovery.ConfigMaps(limit, info)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's configuration: %w", err)
	}
	clusterVersion, err := versionOf(kubeadm.Data)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's configuration: %w", err)
	}
	if err := checkSkew(s.Release, clusterVersion); err != nil {
		return nil, err
	}
	c, err := manifests.ParseKubeadmConfigMap(clusterVersion, kubeadm)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's configuration: %w", err)
	}
	if s.Join.ControlPlane != nil {
		if err := s.checkControlPlane(c); err != nil {
			return nil, err
		}
	}
	contract, err := s.contract()
	if err != nil {
		return nil, err
	}
	// This node's files are for this node's kubelet, which may be older than the cluster.
	c.Version = s.version()
	c.Images = componentImages(contract)
	if s.Join.CertValidity > 0 {
		c.CertificateValidity = s.Join.CertValidity
	}
	s.ClusterInfo, s.Cluster, s.KubeletCM = info, c, kubelet
	if err := s.checkName(limit, n, r); err != nil {
		return nil, err
	}
	if err := s.checkKubeletConfig(ctx, r); err != nil || s.Join.ControlPlane == nil {
		return nil, err
	}
	return nil, s.prepareControlPlane(limit, r)
}

// NameTakenError says that another host is the node of this name. A second one would take over its identity.
type NameTakenError struct{ Name string }

func (e *NameTakenError) Error() string {
	return fmt.Sprintf("join as node %s: the cluster has a Ready node of this name, and it is not this host", e.Name)
}

// Hint says what to do.
func (e *NameTakenError) Hint() string {
	return "give this host another name (hostnamectl set-hostname NAME, or --node-name NAME), or take the old node away: kubectl delete node " + e.Name
}

// checkName refuses a name that another host has. A host that is that node already asks nobody.
func (s *State) checkName(ctx context.Context, n *manifests.Node, r host.Reader) error {
	look, ok := s.Discovery.(NodeLooker)
	if !ok {
		return nil
	}
	if joined, err := s.joined(r, n); err != nil || joined {
		return err
	}
	taken, err := look.NodeTaken(ctx, s.ClusterInfo, n.Name)
	if err != nil {
		return fmt.Errorf("look for a node %s in the cluster: %w", n.Name, err)
	}
	if taken {
		return &NameTakenError{Name: n.Name}
	}
	return nil
}

// versionOf reads kubernetesVersion out of kubeadm-config, whatever its API version: the field has had this name since v1alpha1.
func versionOf(data map[string]string) (*version.Version, error) {
	for _, key := range []string{"ClusterConfiguration", "MasterConfiguration"} {
		doc, ok := data[key]
		if !ok {
			continue
		}
		var f struct {
			KubernetesVersion string `json:"kubernetesVersion"`
		}
		if err := yaml.Unmarshal([]byte(doc), &f); err != nil {
			return nil, fmt.Errorf("ConfigMap kube-system/kubeadm-config: %w", err)
		}
		return release.Parse(f.KubernetesVersion)
	}
	return nil, errors.New("ConfigMap kube-system/kubeadm-config has no ClusterConfiguration")
}

// SkewError says that the bundle's kubelet must not join a cluster of this version.
type SkewError struct {
	Bundle, Cluster string
	Why             string
}

func (e *SkewError) Error() string {
	return fmt.Sprintf("join a cluster of Kubernetes %s with a bundle of %s: %s", e.Cluster, e.Bundle, e.Why)
}

// Hint says which bundle would do.
func (e *SkewError) Hint() string { return "use a bundle of the cluster's version, " + e.Cluster }

// checkSkew applies Kubernetes' skew policy: a kubelet is never newer than the API server, and at most some minors older.
func checkSkew(rel *release.Release, clusterVersion *version.Version) error {
	own := rel.Version
	e := &SkewError{Bundle: release.Tag(own), Cluster: release.Tag(clusterVersion)}
	if own.Major() != clusterVersion.Major() || own.Minor() > clusterVersion.Minor() {
		e.Why = "a kubelet must not be newer than the API server"
		return e
	}
	// What counts is how old a kubelet the cluster's version still serves.
	allowed := rel.KubeletMaxSkew()
	if cr, err := release.Find(clusterVersion, release.Options{AllowUnknown: true}); err == nil {
		allowed = cr.KubeletMaxSkew()
	}
	if behind := int(clusterVersion.Minor() - own.Minor()); behind > allowed {
		e.Why = fmt.Sprintf("a kubelet may be at most %d minor versions older than the API server", allowed)
		return e
	}
	return nil
}

// joinEndpoint is the address (host:port) that was given to join; "" with file discovery before the file was read.
func (s *State) joinEndpoint() string {
	if s.Join != nil && s.Join.Discovery.BootstrapToken != nil {
		return s.Join.Discovery.BootstrapToken.APIServerEndpoint
	}
	if s.ClusterInfo != nil {
		return endpointOf(s.ClusterInfo.Server)
	}
	return ""
}

// endpointOf is host:port of https://host:port.
func endpointOf(server string) string {
	if u, err := url.Parse(server); err == nil && u.Host != "" {
		return u.Host
	}
	return strings.TrimPrefix(server, "https://")
}

// checkKubeletConfig applies what the cluster tells its kubelets to this host: the checks that preflight could not make before the
// cluster was known.
func (s *State) checkKubeletConfig(ctx context.Context, r host.Reader) error {
	var found []Problem
	if info, err := s.runtimeInfo(ctx); err == nil {
		if p := s.dockerDriver(r, info); p != nil {
			found = append(found, *p)
		}
	}
	if s.KubeletCM != nil {
		more, err := s.kubeletConfigProblems()
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	applyIgnores(found, s.Join.IgnorePreflightErrors)
	s.Problems = append(s.Problems, found...)
	if len(refusing(found)) > 0 {
		return &PreflightError{Problems: found}
	}
	return nil
}

func (s *State) kubeletConfigProblems() ([]Problem, error) {
	var f struct {
		FailSwapOn   *bool `json:"failSwapOn"`
		FailCgroupV1 *bool `json:"failCgroupV1"`
		FeatureGates any   `json:"featureGates"`
	}
	if err := yaml.Unmarshal([]byte(s.KubeletCM.Data["kubelet"]), &f); err != nil {
		return nil, fmt.Errorf("read ConfigMap kube-system/%s: %w", s.KubeletCM.Name, err)
	}
	var found []Problem
	if len(s.Facts.SwapDevices) > 0 && (f.FailSwapOn == nil || *f.FailSwapOn) {
		found = append(found, swapProblem(s.Facts.SwapDevices))
	}
	// From v1.35 on the kubelet refuses cgroup v1 unless told otherwise; before, only if told so.
	fails := s.version().Minor() >= 35
	if f.FailCgroupV1 != nil {
		fails = *f.FailCgroupV1
	}
	if s.Facts.CgroupVersion == 1 && fails {
		found = append(found, Problem{
			Check: "SystemVerification", Level: LevelError, Message: "the host uses cgroup v1, and the cluster's kubelets do not start there",
			Advice: "boot with systemd.unified_cgroup_hierarchy=1, or set failCgroupV1: false in ConfigMap kube-system/" + s.KubeletCM.Name,
		})
	}
	// This node's kubelet may be of an older minor than the one that the cluster's configuration was written for.
	return append(found, gateProblems(s.Release, "ConfigMap kube-system/"+s.KubeletCM.Name, map[string]any{"featureGates": f.FeatureGates})...), nil
}
