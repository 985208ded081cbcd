package release

import "slices"

// EtcdVersion is the tag of the etcd image: "3.6.5-0".
func (r *Release) EtcdVersion() string { return r.state.etcd }

// CoreDNSVersion is the tag of the CoreDNS image: "v1.12.1", without v before v1.21.
func (r *Release) CoreDNSVersion() string { return r.state.coredns }

// PauseVersion is the tag of the sandbox image: "3.10.1".
func (r *Release) PauseVersion() string { return r.state.pause }

// ImageRepository is the registry that kubeadm of this version takes unless it is told another: k8s.gcr.io or registry.k8s.io, or what the options say.
func (r *Release) ImageRepository() string {
	if r.opts.ImageRepository != "" {
		return r.opts.ImageRepository
	}
	return r.state.registry
}

// KubeletMaxSkew is how many minors a kubelet may be behind the API server: 2, and 3 from v1.28 on.
// Source: MinimumKubeletVersion of cmd/kubeadm/app/constants, and the published skew policy.
func (r *Release) KubeletMaxSkew() int { return r.minor.Kubelet.MaxSkew }

// MinContainerd is the oldest containerd that works with this kubelet: "1.7.28".
// Source: the compatibility table in containerd's RELEASES.md.
func (r *Release) MinContainerd() string { return r.minor.Runtime.MinContainerd }

// CRIAPI lists the versions of the container runtime interface that this kubelet speaks, preferred first.
func (r *Release) CRIAPI() []string { return slices.Clone(r.minor.Runtime.CRI) }

// Dockershim says whether this kubelet can drive Docker by itself: through v1.23.
func (r *Release) Dockershim() bool { return r.minor.Runtime.Dockershim }

// Confidence says how the image names of this version are known; what only follows the rules of another version is inferred.
func (r *Release) Confidence() Confidence {
	if len(r.warnings) > 0 {
		return Inferred
	}
	return r.minor.Confidence
}

// Minor is one line of `bundler versions`. The tags are those of the last known patch.
type Minor struct {
	Minor      string     `json:"minor"`     // v1.34
	LastPatch  string     `json:"lastPatch"` // v1.34.10
	Arches     []Arch     `json:"arches"`
	Etcd       string     `json:"etcd"`
	CoreDNS    string     `json:"coredns"`
	KubeDNS    string     `json:"kubeDNS,omitempty"`
	Pause      string     `json:"pause"`
	Registry   string     `json:"registry"`
	CNIPlugins string     `json:"cniPlugins"`
	Containerd string     `json:"minContainerd"`
	CRI        []string   `json:"cri"`
	Dockershim bool       `json:"dockershim,omitempty"`
	Confidence Confidence `json:"confidence"`
}

// Minors lists every known minor, oldest first.
func Minors() ([]Minor, error) {
	c, err := loadCatalog()
	if err != nil {
		return nil, err
	}
	out := make([]Minor, 0, len(c.Minors))
	for i := range c.Minors {
		m := &c.Minors[i]
		s := m.at(m.LastPatch)
		line := Minor{
			Minor: "v" + m.Minor, LastPatch: m.lastVersion(), Arches: slices.Clone(m.Arches),
			Etcd: s.etcd, CoreDNS: s.coredns, Pause: s.pause, Registry: s.registry, CNIPlugins: "v" + m.CNIPlugins.Version,
			Containerd: m.Runtime.MinContainerd, CRI: slices.Clone(m.Runtime.CRI), Dockershim: m.Runtime.Dockershim, Confidence: m.Confidence,
		}
		if m.KubeDNS != nil {
			line.KubeDNS = m.KubeDNS.Version
		}
		out = append(out, line)
	}
	return out, nil
}
