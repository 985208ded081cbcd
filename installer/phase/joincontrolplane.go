package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"kubebundle/installer/cluster"
	"kubebundle/installer/etcd"
	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/release"
)

// JoinControlPlanePhases is `join --control-plane`, top to bottom: kubeadm's order since v1.36, with ours between. The static pods are
// written before the kubelet starts; etcd's comes when the cluster's etcd has made room for it.
func JoinControlPlanePhases() []Phase {
	return []Phase{
		Preflight{},
		Discovery{},
		InstallBinaries{},
		LoadImages{},
		joinPart{"control-plane-prepare/download-certs", DownloadCerts{}},
		joinPart{"control-plane-prepare/certs", Certs{}},
		joinPart{"control-plane-prepare/kubeconfig", Kubeconfig{}},
		joinPart{"control-plane-prepare/control-plane", ControlPlane{}},
		joinPart{"control-plane-prepare/virtual-ip", VirtualIP{}},
		joinPart{"check-etcd", CheckEtcd{}},
		JoinKubeletStart{},
		ServiceRoute{},
		joinPart{"etcd-join", EtcdJoin{}},
		KubeletWaitBootstrap{},
		joinPart{"control-plane-join/update-status", UpdateStatus{}},
		joinPart{"control-plane-join/virtual-ip", UploadVirtualIP{}},
		joinPart{"control-plane-join/mark-control-plane", MarkControlPlane{}},
		joinPart{"wait-control-plane", WaitControlPlane{}},
	}
}

// joinPart is a phase of a control plane as a part of join: under kubeadm's name there, seeing the shared certificates although they may
// not have been written yet (a dry run), and with nothing to do on a host that has joined.
type joinPart struct {
	name  string
	phase Phase
}

func (p joinPart) Name() string { return p.name }

func (p joinPart) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	if s.member {
		return nil, nil
	}
	if s.Cluster == nil || s.Node == nil {
		return nil, errDiscoverFirst
	}
	return p.phase.Plan(ctx, s, withFiles{r, s.shared})
}

// withFiles is a host on which some more files are.
type withFiles struct {
	host.Reader

	files map[string][]byte
}

func (w withFiles) ReadFile(p string) ([]byte, error) {
	data, err := w.Reader.ReadFile(p)
	if more, ok := w.files[p]; ok && errors.Is(err, fs.ErrNotExist) {
		return more, nil
	}
	return data, err
}

// CertsReader is what a Discoverer may also be: then certificates can be fetched from the cluster.
type CertsReader interface {
	// Certs reads Secret kubeadm-certs, sealed; cluster.ErrNoCerts if there is none.
	Certs(ctx context.Context, info *cluster.ClusterInfo) (map[string][]byte, error)
}

// DownloadCerts fetches the certificates that all control planes share, unless they were carried here.
type DownloadCerts struct{}

// Name is kubeadm's sub-phase.
func (DownloadCerts) Name() string { return "download-certs" }

// MissingCertsError says that a further control plane lacks what the others have.
type MissingCertsError struct {
	Files []string
	Err   error // nil: no certificate key was given
}

func (e *MissingCertsError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("fetch the shared certificates: %v", e.Err)
	}
	return "fetch the shared certificates: no certificate key was given, and these are not on this host: " + strings.Join(e.Files, ", ")
}

// Unwrap gives the cause.
func (e *MissingCertsError) Unwrap() error { return e.Err }

// Hint says how to get them.
func (e *MissingCertsError) Hint() string {
	return "on a control plane that stands: ./install init phase upload-certs --upload-certs\nthen join with --control-plane --certificate-key KEY within two hours; or carry these files over yourself:\n" +
		strings.Join(e.Files, "\n")
}

// Plan asks the cluster only for what is not here. Every file is opened before the first one is written.
func (DownloadCerts) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	if s.fetched != nil { // before anything was changed
		return s.fetched, nil
	}
	var missing []manifests.SharedFile
	var names []string
	for _, f := range manifests.SharedCertificates(s.Cluster) {
		// sa.pub follows from sa.key, and a CA's key may be kept elsewhere where all certificates were carried here.
		if _, err := r.ReadFile(f.Path); errors.Is(err, fs.ErrNotExist) {
			missing, names = append(missing, f), append(names, f.Path)
		} else if err != nil {
			return nil, err
		}
	}
	key := s.Join.ControlPlane.CertificateKey
	if len(missing) == 0 {
		return nil, nil
	}
	if key == "" {
		return nil, &MissingCertsError{Files: names}
	}
	reader, ok := s.Discovery.(CertsReader)
	if !ok {
		return nil, &MissingCertsError{Files: names, Err: errors.New("no way to the cluster")}
	}
	sealed, err := reader.Certs(ctx, s.ClusterInfo)
	if err != nil {
		return nil, &MissingCertsError{Files: names, Err: err}
	}
	var steps []step.Step
	s.shared = map[string][]byte{}
	for _, f := range missing {
		data, there := sealed[f.Key]
		if !there {
			return nil, &MissingCertsError{Files: names, Err: fmt.Errorf("the cluster's Secret has no %s", f.Key)}
		}
		plain, err := pki.Open(key, data)
		if err != nil {
			return nil, &MissingCertsError{Files: names, Err: fmt.Errorf("%s: %w", f.Key, err)}
		}
		if len(plain) == 0 { // kept elsewhere on the first control plane too
			continue
		}
		s.shared[f.Path] = plain
		steps = append(steps, step.File{Path: f.Path, Mode: f.Mode, Data: plain, Secret: f.Mode == 0o600})
	}
	s.fetched = steps
	return steps, nil
}

// prepareControlPlane finds out, before anything is changed, whether this host can become a further control plane: whether the certificates can be had,
// and whether the cluster's etcd is whole. What it has fetched and made is what later phases write.
func (s *State) prepareControlPlane(ctx context.Context, r host.Reader) error {
	wanted := func(name string) bool { return !Skipped(s.skips(), name) && Chosen(s.Only, name) }
	if !wanted("control-plane-prepare/download-certs") {
		return nil
	}
	if _, err := (DownloadCerts{}).Plan(ctx, s, r); err != nil {
		return err
	}
	if s.OpenEtcd == nil || s.Cluster.Etcd.External != nil || !wanted(CheckEtcd{}.Name()) || !wanted("control-plane-prepare/certs") || !wanted("control-plane-prepare/kubeconfig") {
		return nil
	}
	if err := s.ensureKubeconfigs(s.Cluster, s.Node, withFiles{r, s.shared}); err != nil {
		return err
	}
	ca, client := s.Certs["etcd-ca"], s.Certs["etcd-healthcheck-client"]
	if ca == nil || client == nil {
		return nil
	}
	limit, cancel := context.WithTimeout(ctx, membersPatience)
	defer cancel()
	for {
		err := s.membersHealthy(limit, etcd.Config{CA: ca.CertPEM, Cert: client.CertPEM, Key: client.KeyPEM})
		if err == nil {
			return nil
		}
		select {
		case <-limit.Done():
			return errors.Join(ctx.Err(), &EtcdMembersError{Err: err})
		case <-time.After(time.Second):
		}
	}
}

// membersPatience is for what passes by itself: an election, a member that has just started.
const membersPatience = 25 * time.Second

func (s *State) membersHealthy(ctx context.Context, cfg etcd.Config) error {
	c, err := s.OpenEtcd(ctx, s.Kubeconfigs["admin"], cfg)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // a client
	return c.Healthy(ctx, manifests.EtcdPeerURL(s.Node))
}

// EtcdMembersError says that the cluster's etcd cannot take a further member: one more makes a majority of those that are left harder.
type EtcdMembersError struct{ Err error }

func (e *EtcdMembersError) Error() string {
	return fmt.Sprintf("join as a control plane: the cluster's etcd is not whole: %v", e.Err)
}

// Unwrap gives the cause.
func (e *EtcdMembersError) Unwrap() error { return e.Err }

// Hint says what to do.
func (*EtcdMembersError) Hint() string { return step.EtcdMembersHint }

// CheckEtcd wants the cluster's etcd whole before a member is added to it.
type CheckEtcd struct{}

// Name is kubeadm's.
func (CheckEtcd) Name() string { return "check-etcd" }

// Plan waits; an external etcd is its owner's.
func (CheckEtcd) Plan(_ context.Context, s *State, _ host.Reader) ([]step.Step, error) {
	if s.Cluster.Etcd.External != nil {
		return nil, nil
	}
	return []step.Step{step.EtcdHealthy(s.etcdConn(), s.timeouts().EtcdAPICall, manifests.EtcdPeerURL(s.Node))}, nil
}

// etcdConn is how this node's own credentials reach the cluster's etcd.
func (s *State) etcdConn() step.EtcdConn {
	dir := path.Join(s.Cluster.CertificatesDir, "etcd")
	return step.EtcdConn{
		CAFile: path.Join(dir, "ca.crt"), CertFile: path.Join(dir, "healthcheck-client.crt"), KeyFile: path.Join(dir, "healthcheck-client.key"),
	}
}

// EtcdJoin adds this node's member to the cluster's etcd.
type EtcdJoin struct{}

// Name is kubeadm's.
func (EtcdJoin) Name() string { return "etcd-join" }

// Plan renders the static pod when the members are known, within the step.
func (EtcdJoin) Plan(_ context.Context, s *State, r host.Reader) ([]step.Step, error) {
	c, n := s.Cluster, s.Node
	if c.Etcd.External != nil {
		return nil, nil
	}
	if !manifests.EtcdMembers(c.Version) {
		return nil, fmt.Errorf("join etcd: the etcd that Kubernetes %s makes listens to its own node only; use an external etcd (etcd.external), or v1.13 or later", release.Tag(c.Version))
	}
	return []step.Step{
		step.Dir{Path: c.Etcd.DataDir, Mode: 0o700, Own: true},
		staticPodDir(),
		step.EtcdJoin{
			Conn: s.etcdConn(), Name: n.Name, PeerURL: manifests.EtcdPeerURL(n), Learner: manifests.EtcdLearners(c.Version),
			Manifest: path.Join(manifestsDir, string(release.Etcd)+".yaml"), Timeout: s.timeouts().ControlPlaneComponentHealthCheck,
			Pod: func(initialCluster []string) (step.File, error) {
				joining := *c
				joining.Etcd.InitialCluster = initialCluster
				f, err := s.staticPod(&joining, n, string(release.Etcd), r)
				return file(f), err
			},
		},
	}, nil
}

// UpdateStatus adds this node's API server to the list that kubeadm kept in kubeadm-config up to v1.21.
type UpdateStatus struct{}

// Name is kubeadm's.
func (UpdateStatus) Name() string { return "update-status" }

// Plan has nothing to do from v1.22 on.
func (UpdateStatus) Plan(_ context.Context, s *State, _ host.Reader) ([]step.Step, error) {
	cm, err := manifests.ClusterStatusConfigMap(s.Cluster, s.Node)
	if err != nil || cm == nil {
		return nil, err
	}
	return []step.Step{step.Objects{What: "ClusterStatus in ConfigMap kube-system/kubeadm-config", List: []runtime.Object{cm}}}, nil
}

// NoEndpointError says that a cluster cannot have a second control plane.
type NoEndpointError struct{}

func (*NoEndpointError) Error() string {
	return "join as a control plane: the cluster has no stable address (controlPlaneEndpoint) of its control plane: every node knows the first one's only"
}

// Hint says what to do.
func (*NoEndpointError) Hint() string {
	return "make the first control plane with: ./install init --control-plane-endpoint ADDRESS:PORT --upload-certs"
}

// checkControlPlane refuses what cannot become a further control plane of the cluster.
func (s *State) checkControlPlane(c *manifests.Cluster) error {
	if c.ControlPlaneEndpoint == "" {
		return &NoEndpointError{}
	}
	if own := s.version(); release.Tag(own) != release.Tag(c.Version) {
		return &SkewError{
			Bundle: release.Tag(own), Cluster: release.Tag(c.Version), Why: "control planes of one cluster are of one version, or in the midst of an upgrade",
		}
	}
	return nil
}

// kubeconfigSpecs are the kubeconfigs that this node makes: a further control plane has no super-admin.conf, and its kubelet introduces
// itself as every other one does.
func (s *State) kubeconfigSpecs(c *manifests.Cluster, n *manifests.Node) []manifests.KubeconfigSpec {
	specs := manifests.Kubeconfigs(c, n)
	if s.Join == nil {
		return specs
	}
	return slices.DeleteFunc(specs, func(k manifests.KubeconfigSpec) bool { return k.Name == "kubelet" || k.Name == "super-admin" })
}

// kubeletServers are the addresses through which the kubelet of this node may talk to the cluster, the wanted one first. On a control plane
// that is its own API server where the version does so: then the loss of another node does not reach it.
func (s *State) kubeletServers() []string {
	shared := "https://" + s.joinEndpoint()
	if s.Join == nil || s.Join.ControlPlane == nil || s.Node == nil || s.Cluster == nil {
		return []string{shared}
	}
	for _, k := range manifests.Kubeconfigs(s.Cluster, s.Node) {
		if k.Name == "kubelet" && k.Server != shared && manifests.KubeletLocalMode(s.Cluster) {
			return []string{k.Server, shared}
		}
	}
	return []string{shared}
}
