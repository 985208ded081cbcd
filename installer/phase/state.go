package phase

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"kubebundle/bundle"
	"kubebundle/installer/cluster"
	"kubebundle/installer/config"
	"kubebundle/installer/etcd"
	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/release"
	cruntime "kubebundle/runtime"
)

// State is what phases of one run hand to each other. Plans fill it in; steps do not see it.
//
// The first group comes from the caller, the rest from plans. Every phase asks for what it needs through methods that make it on first
// use, so a phase also works alone (`install phase …`) or after a skipped one: what an earlier phase would have left in memory is
// then read from the host.
type State struct {
	Bundle         *bundle.Bundle
	Contract       *bundle.Contract // nil: Bundle's
	payloadChecked bool
	Release        *release.Release // of the bundle's version
	Init           *config.Init     // set for init
	Join           *config.Join     // set for join
	Upgrade        *Upgrade         // set for upgrade
	Now            time.Time
	Rand           io.Reader
	Log            *slog.Logger
	// Discovery reads the cluster that is joined.
	Discovery Discoverer
	// JoinEnded is what the journal says: the last run on this host was a join with this version, and it came to its end.
	JoinEnded bool
	// OpenEtcd opens the cluster's etcd for one that wants to become a control plane, with credentials that are not on this host yet: an administrator's
	// kubeconfig, which says where the members are, and the rest of cfg. nil where plans do not ask.
	OpenEtcd func(ctx context.Context, kubeconfig []byte, cfg etcd.Config) (step.Etcd, error)
	// Progress tells the user what a plan waits for. The engine sets it; nil means that nobody listens.
	Progress func(text string)
	// Runtime opens the container runtime of the node. Plans only look at it.
	Runtime func(context.Context) (cruntime.Runtime, error)
	// EtcdVersion asks an etcd that others run; nil where nobody is to be asked, as for an image. PEM that an etcd without TLS does not need is nil.
	EtcdVersion func(ctx context.Context, endpoint string, ca, cert, key []byte) (string, error)
	// EtcdClusterID reads of which cluster the data in a folder is, 0 if there is none; nil means etcd.DataClusterID.
	EtcdClusterID func(dataDir string) (uint64, error)
	// Environ is the installer's environment ("KEY=value"), for its proxy variables.
	Environ []string
	// ConfigureRuntime allows to change the runtime's configuration where its sandbox image is not the bundle's.
	ConfigureRuntime bool
	// Only are the names of the phases and parts that this run is limited to; empty means all. The engine sets it.
	Only []string
	// DryRun says that no step will be applied. The engine sets it.
	DryRun bool

	Facts       host.Facts
	Cluster     *manifests.Cluster
	Node        *manifests.Node
	Certs       map[string]*pki.Pair // by manifests.CertSpec.Name
	SAKey       []byte
	SAPub       []byte
	Kubeconfigs map[string][]byte // by manifests.KubeconfigSpec.Name
	Token       *cluster.Token    // the one that the join command names
	// CertificateKey seals the uploaded certificates; "" where none were uploaded.
	CertificateKey string
	ClusterInfo    *cluster.ClusterInfo
	KubeletCM      *corev1.ConfigMap
	// Problems is what preflight found and did not refuse: warnings, and ignored errors.
	Problems []Problem

	looked  bool // Facts are there
	runtime *cruntime.Info
	patched map[string][]patch
	restart []string          // static pods whose certificates were renewed
	shared  map[string][]byte // certificates that a further control plane has fetched, by path
	fetched []step.Step       // which write them
	restore *restorePlan      // of an etcd snapshot
	member  bool              // this host has joined already: the cluster was not asked, and what follows from its answers is in place

	virtualIP *manifests.VirtualIP

	manifests []manifest // of the bundle, in order

	words map[string][]byte // what stands for files that only a real run makes, by path
}

// Discoverer is what join needs to read from the cluster while planning.
type Discoverer interface {
	ClusterInfo(ctx context.Context) (*cluster.ClusterInfo, error)
	// ConfigMaps reads kubeadm-config and kubelet-config with the bootstrap token.
	ConfigMaps(ctx context.Context, info *cluster.ClusterInfo) (kubeadm, kubelet *corev1.ConfigMap, err error)
}

// NodeLooker is what a Discoverer may also be: then a node whose name is taken is refused, as kubeadm does.
type NodeLooker interface {
	// NodeTaken reports whether the cluster has a Ready node of this name. A cluster that does not let joining nodes look answers no.
	NodeTaken(ctx context.Context, info *cluster.ClusterInfo, name string) (bool, error)
}

// contract is the bundle's contract.
func (s *State) contract() (*bundle.Contract, error) {
	if s.Contract != nil {
		return s.Contract, nil
	}
	if s.Bundle == nil {
		return nil, errors.New("no bundle at hand: run install from the bundle's folder")
	}
	return s.Bundle.Contract(), nil
}

// checkPayload refuses a damaged payload before the first step that uses it: a pass over it would find the damage only after it has
// installed what lies in front.
func (s *State) checkPayload(ctx context.Context) error {
	if s.payloadChecked || s.Bundle == nil {
		return nil
	}
	if err := s.Bundle.CheckPayload(ctx); err != nil {
		return err
	}
	s.payloadChecked = true
	return nil
}

// log is never nil.
func (s *State) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

// version is what this node runs: the bundle's.
func (s *State) version() *version.Version { return s.Release.Version }

// facts looks at the host, once.
func (s *State) facts(ctx context.Context, r host.Reader) (host.Facts, error) {
	if s.looked || s.Facts.OS != "" {
		return s.Facts, nil
	}
	f, err := r.Facts(ctx)
	if err != nil {
		return f, fmt.Errorf("look at the host: %w", err)
	}
	s.Facts, s.looked = f, true
	return f, nil
}

// runtimeInfo asks the container runtime about itself, once.
func (s *State) runtimeInfo(ctx context.Context) (cruntime.Info, error) {
	if s.runtime != nil {
		return *s.runtime, nil
	}
	if s.Runtime == nil {
		return cruntime.Info{}, errors.New("no container runtime at hand")
	}
	rt, err := s.Runtime(ctx)
	if err != nil {
		return cruntime.Info{}, err
	}
	info, err := rt.Info(ctx)
	if err != nil {
		return info, err
	}
	s.runtime = &info
	return info, nil
}

// skips is the --skip-phases list of the run.
func (s *State) skips() []string {
	switch {
	case s.Init != nil:
		return s.Init.SkipPhases
	case s.Join != nil:
		return s.Join.SkipPhases
	case s.Upgrade != nil:
		return s.Upgrade.SkipPhases
	default:
		return nil
	}
}

// wants reports whether a part of a phase that runs is wanted.
func (s *State) wants(phase, part string) bool {
	return !Skipped(s.skips(), phase+"/"+part) && chosenPart(s.Only, phase, part)
}

// makes reports whether this run makes a part of one of init's phases: whoever needs it in another phase can rely on it then. The phases
// of a join have no such parts.
func (s *State) makes(phase, part string) bool {
	return s.Join != nil || Chosen(s.Only, phase) && s.wants(phase, part)
}

// timeouts of the run.
func (s *State) timeouts() config.Timeouts {
	switch {
	case s.Init != nil:
		return s.Init.Timeouts
	case s.Join != nil:
		return s.Join.Timeouts
	case s.Upgrade != nil && s.Upgrade.Timeouts != nil:
		return *s.Upgrade.Timeouts
	default:
		return config.DefaultTimeouts()
	}
}

// registration of the node.
func (s *State) registration() config.NodeRegistration {
	switch {
	case s.Init != nil:
		return s.Init.NodeRegistration
	case s.Join != nil:
		return s.Join.NodeRegistration
	case s.Upgrade != nil:
		return s.Upgrade.registration
	default:
		return config.NodeRegistration{}
	}
}
