package phase

import (
	"context"
	"fmt"
	"path"

	"kubebundle/installer/host"
	"kubebundle/installer/pki"
	"kubebundle/manifests"
)

// isMember reports whether this host is, and works as, the node that the configuration describes, so that the cluster need not be asked:
// by then the token has usually expired. It takes the word of the journal that a join came to its end, and looks for itself whether the
// kubelet runs, with a certificate for this name that still holds, of a cluster that the pins allow. Whatever is missing is no error: then
// the cluster is asked, and the whole plan is made.
func (s *State) isMember(ctx context.Context, r host.Reader, n *manifests.Node) (bool, error) {
	if !s.JoinEnded || exists(r, bootstrapConf) {
		return false, nil
	}
	if joined, err := s.joined(r, n); err != nil || !joined {
		return false, err
	}
	data, err := r.ReadFile(kubeletConf)
	if err != nil {
		return false, err
	}
	conf, err := parseKubeconfig(data, path.Dir(kubeletConf), r)
	if err != nil {
		return false, err
	}
	if !s.holds(conf, n) {
		return false, nil
	}
	unit, err := r.UnitState(ctx, kubeletUnit)
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", kubeletUnit, err)
	}
	return unit.Active, nil
}

// holds checks the certificates of a kubelet.conf. Its own one renews itself; one that has expired has missed that, and the kubelet has to
// introduce itself again.
func (s *State) holds(conf *kubeconfigFile, n *manifests.Node) bool {
	own, err := pki.Parse(conf.cert, conf.key)
	if err != nil || own.Cert.Subject.CommonName != "system:node:"+n.Name || s.Now.After(own.Cert.NotAfter) {
		return false
	}
	bt := s.Join.Discovery.BootstrapToken
	if bt == nil || len(bt.CACertHashes) == 0 {
		return true
	}
	cas, err := pki.ParseCertificates(conf.ca)
	if err != nil {
		return false
	}
	for _, ca := range cas {
		if pki.MatchPins(ca, bt.CACertHashes) {
			return true
		}
	}
	return false
}
