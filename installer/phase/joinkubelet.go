package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"kubebundle/installer/cluster"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
)

// JoinKubeletStart gives the kubelet of a worker what it needs to introduce itself, and starts it.
type JoinKubeletStart struct{}

// Name is kubeadm's.
func (JoinKubeletStart) Name() string { return "kubelet-start" }

// Plan writes the CA, the bootstrap kubeconfig (unless the node has its own already) and the kubelet's files. The server in the
// kubeconfig is the address that was given to join, the one that this host can be known to reach; on a control plane it is its own.
func (JoinKubeletStart) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	n, err := s.joinNode(ctx, r)
	if err != nil {
		return nil, err
	}
	if s.member {
		return nil, nil
	}
	if s.Cluster == nil || s.ClusterInfo == nil {
		return nil, errDiscoverFirst
	}
	files, err := manifests.KubeletFilesFromConfigMap(s.Cluster, n, s.KubeletCM)
	if err != nil {
		return nil, err
	}
	if files, err = s.patchKubelet(files, r); err != nil {
		return nil, err
	}
	steps := []step.Step{step.File{Path: s.Join.CACertPath, Mode: 0o644, Data: s.ClusterInfo.CAPEM}}
	joined, err := s.joined(r, n)
	if err != nil {
		return nil, err
	}
	var watch []string
	if !joined {
		data, err := manifests.BootstrapKubeconfig(s.Cluster, s.kubeletServers()[0], s.ClusterInfo.CAPEM, s.Join.Discovery.TLSBootstrapToken)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step.File{Path: bootstrapConf, Mode: 0o600, Data: data, Secret: true})
		watch = append(watch, bootstrapConf)
	}
	return keepModes(append(steps, kubeletSteps(s, files, append(watch, s.Join.CACertPath)...)...), r), nil
}

// joined reports whether the node has its own credentials for this very cluster, through the address that was given.
func (s *State) joined(r host.Reader, n *manifests.Node) (bool, error) {
	data, err := r.ReadFile(kubeletConf)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	have, err := parseKubeconfig(data, path.Dir(kubeletConf), r)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // its certificate is gone: the kubelet has to introduce itself again
	}
	if err != nil {
		return false, &MisfitError{Path: kubeletConf, Err: err}
	}
	if s.ClusterInfo != nil && !containsPEM(have.ca, s.ClusterInfo.CAPEM) {
		return false, &MisfitError{Path: kubeletConf, Err: errors.New("it belongs to another cluster")}
	}
	if want := s.joinEndpoint(); want != "" && !slices.Contains(s.kubeletServers(), have.server) {
		return false, &MisfitError{Path: kubeletConf, Err: fmt.Errorf("this node has joined through %s, not %s", endpointOf(have.server), want)}
	}
	return exists(r, s.bootstrapCert(n)), nil
}

// bootstrapCert is where a kubelet puts the certificate that it got for a token: since v1.11 where it keeps those that follow, before in a
// file of its own (pkg/kubelet/certificate/bootstrap of kubernetes 1.10 and 1.11).
func (s *State) bootstrapCert(n *manifests.Node) string {
	if s.version().Minor() < 11 {
		return path.Join(path.Dir(clientPEM(n)), "kubelet-client.crt")
	}
	return clientPEM(n)
}

// KubeletWaitBootstrap waits until the kubelet has got its own certificate, and then takes the token away from it.
type KubeletWaitBootstrap struct{}

// Name is kubeadm's since v1.36.
func (KubeletWaitBootstrap) Name() string { return "kubelet-wait-bootstrap" }

// Plan waits for what the kubelet writes.
func (KubeletWaitBootstrap) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	n, err := s.joinNode(ctx, r)
	if err != nil {
		return nil, err
	}
	t := s.timeouts()
	return []step.Step{
		kubeletHealthy(t.KubeletHealthCheck),
		step.TLSBootstrapped(kubeletConf, t.TLSBootstrap),
		awaitFile("the kubelet's certificate in "+s.bootstrapCert(n), s.bootstrapCert(n), t.TLSBootstrap),
		step.Remove{Path: bootstrapConf, Why: "the kubelet has its own certificate now"},
	}, nil
}

// WaitNode waits until the cluster knows the node.
type WaitNode struct{}

// Name is ours.
func (WaitNode) Name() string { return "wait-node" }

// Plan asks with the kubelet's own credentials, and notes at the node what kubeadm (and our upgrade and reset) read there: up to v1.33
// the runtime's socket is in an annotation.
func (WaitNode) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	n, err := s.joinNode(ctx, r)
	if err != nil {
		return nil, err
	}
	steps := []step.Step{step.NodeRegistered(n.Name, s.timeouts().TLSBootstrap)}
	if s.Cluster == nil {
		return steps, nil
	}
	if notes := manifests.NodeAnnotations(s.Cluster, n); len(notes) > 0 {
		steps = append(steps, step.PatchNode{Node: n.Name, Patch: cluster.NodePatch{Annotations: notes}})
	}
	if src := dynamicConfig(s.Cluster); src != nil { // which a node may not set for itself
		steps = append(steps, step.Print{What: "how the node takes its configuration from the cluster", Text: func() string { return followConfigText(src, n.Name) }})
	}
	return steps, nil
}

// followConfigText is what an administrator has to do for a joined node. kubeadm tried with the kubelet's own credentials, which the
// admission plugin NodeRestriction does not let do that.
func followConfigText(src *cluster.ConfigSource, node string) string {
	field := fmt.Sprintf(`{"configMap":{"namespace":"kube-system","name":%q,"kubeletConfigKey":"kubelet"}}`, src.ConfigMap)
	if src.ByUID {
		field = fmt.Sprintf(`{"configMapRef":{"namespace":"kube-system","name":%[1]q,"uid":"'$(kubectl -n kube-system get configmap %[1]s -o jsonpath='{.metadata.uid}')'"}}`, src.ConfigMap)
	}
	return "\nThis cluster keeps its kubelets' configuration in ConfigMap " + src.ConfigMap + ". To let this node follow it, run with the rights of an administrator:\n\n" +
		"kubectl patch node " + node + ` -p '{"spec":{"configSource":` + field + "}}'\n"
}
