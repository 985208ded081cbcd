package phase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	"kubebundle/manifests"
	"kubebundle/release"
)

// nearExpiry is how long before its end an upgrade renews a certificate. kubeadm renews all at every upgrade, so that a cluster which follows the
// releases never has to think of them; half of their life serves the same end and leaves those alone that are new.
const nearExpiry = 365 * 24 * time.Hour / 2

// UpgradeCerts renews the certificates of this node that end within half a year. They are as good for the old version, so the way back leaves them.
type UpgradeCerts struct{}

// Name is ours; in kubeadm it is a part of control-plane.
func (UpgradeCerts) Name() string { return "certs" }

// Plan leaves out what is signed elsewhere.
func (UpgradeCerts) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	u, err := s.upgrade(ctx, r)
	if err != nil || !u.Certificates {
		return nil, err
	}
	dir := s.Cluster.CertificatesDir
	leaves, _, err := Expirations(r, dir)
	if err != nil {
		return nil, err
	}
	p := RenewCerts{CertDir: dir, Within: nearExpiry}
	for _, e := range leaves {
		if !e.External && !e.Missing {
			p.Names = append(p.Names, e.Name)
		}
	}
	return p.Plan(ctx, s, r)
}

// manifest renders a static pod of the new version, with a mark where its certificates are new.
func (u *Upgrade) manifest(s *State, component string, r host.Reader) (manifests.File, error) {
	f, err := s.staticPod(s.Cluster, s.Node, component, r)
	if err != nil || !slices.Contains(s.restart, component) {
		return f, err
	}
	sum, err := RestartStaticPods{CertDir: s.Cluster.CertificatesDir}.digest(component, r)
	if err != nil {
		return f, err
	}
	f.Data, err = annotatePod(f.Data, sum)
	return f, err
}

// UpgradeDrain takes the pods off this node before anything of it stops.
type UpgradeDrain struct{}

// Name is ours; with kubeadm it is kubectl's.
func (UpgradeDrain) Name() string { return "drain" }

// Plan does nothing where the kubelet is the new one already, and where no other node could take the pods: they would only be down.
func (UpgradeDrain) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	u, err := s.upgrade(ctx, r)
	if err != nil || u.begun {
		return nil, err
	}
	if same, err := u.kubeletSame(ctx, s, r); err != nil || same {
		return nil, err
	}
	alone, err := u.alone(ctx)
	if err != nil {
		return nil, err
	}
	if alone {
		if s.Progress != nil {
			s.Progress("no other node could take this one's pods: they stay where they are")
		}
		return nil, nil
	}
	return []step.Step{
		step.Schedulable{Node: u.node},
		step.Drain{Node: u.node, Options: u.Drain, Timeout: u.DrainTimeout},
	}, nil
}

// UpgradeKubelet brings this node's programs and the kubelet's configuration to the new version.
type UpgradeKubelet struct{}

// Name is kubeadm's, which leaves the program itself to packages.
func (UpgradeKubelet) Name() string { return "kubelet-config" }

// Plan copies what was staged, restarts the kubelet and waits until the node is Ready with the new version.
func (UpgradeKubelet) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	u, err := s.upgrade(ctx, r)
	if err != nil {
		return nil, err
	}
	ex, err := u.kubeletExchange(s, r)
	if err != nil {
		return nil, err
	}
	restart, err := u.kubeletRestarts(ctx, s)
	if err != nil {
		return nil, err
	}
	if len(restart) > 0 {
		ex.End = endStaticPods(u.CRISocket, u.node, slices.Concat(restart, virtualIPPods(r)))
	}
	gates, err := u.gates(s, restart, nil, r)
	if err != nil {
		return nil, err
	}
	steps := append(u.othersCarryOn(s, restart), ex, kubeletStays(s.timeouts().KubeletHealthCheck))
	steps = append(steps, gates...)
	return append(steps,
		nodeRuns(u.node, release.Tag(s.version()), s.timeouts().KubeletHealthCheck),
		step.Schedulable{Node: u.node, On: u.pending == nil || u.pending.Schedulable},
	), nil
}

// kubeletRestarts are the static pods that start anew with the kubelet; none where it was exchanged together with them.
func (u *Upgrade) kubeletRestarts(ctx context.Context, s *State) ([]string, error) {
	if !u.controlPlane || !u.kubeletGrows(s) {
		return nil, nil
	}
	with, err := u.kubeletWithPods(ctx, s)
	if err != nil || with {
		return nil, err
	}
	return u.present(s), nil
}

// kubeletStays waits for the kubelet, and gives up on one that has ended twice: systemd starts it again and again.
func kubeletStays(timeout time.Duration) step.Await {
	w := kubeletHealthy(timeout)
	healthy := w.Check
	const tolerated = 1
	ends, down := 0, false
	w.Check = func(ctx context.Context, t *step.Target) error {
		st, err := t.Host.UnitState(ctx, kubeletUnit)
		if err != nil {
			return err
		}
		now := st.Sub == "auto-restart"
		if now && !down {
			ends++
		}
		if down = now; ends > tolerated {
			return &step.HopelessError{Err: errors.New("the kubelet ends again and again")}
		}
		return healthy(ctx, t)
	}
	return w
}

// kubeletFiles are the kubelet's, of the cluster's configuration and what this node was registered with.
func (u *Upgrade) kubeletFiles(s *State, r host.Reader) ([]manifests.File, error) {
	files, err := manifests.KubeletFiles(s.Cluster, s.Node)
	if err != nil {
		return nil, err
	}
	return s.patchKubelet(files, r)
}

// kubeletSame reports whether the kubelet's files are the new ones already.
func (u *Upgrade) kubeletSame(ctx context.Context, s *State, r host.Reader) (bool, error) {
	files, err := u.kubeletFiles(s, r)
	if err != nil {
		return false, err
	}
	for _, f := range files {
		have, err := r.ReadFile(f.Path)
		if err != nil || string(have) != string(f.Data) {
			return false, nil //nolint:nilerr // whatever is there will be written
		}
	}
	c, err := u.API(ctx)
	if err != nil {
		return false, err
	}
	n, err := c.Node(ctx, u.node)
	if err != nil {
		return false, fmt.Errorf("look at node %s: %w", u.node, err)
	}
	return n.Status.NodeInfo.KubeletVersion == release.Tag(s.version()), nil
}

// nodeRuns waits until the API says that the node is Ready and runs a version; "" is any.
func nodeRuns(node, want string, timeout time.Duration) step.Await {
	what := "node " + node + " to be Ready"
	if want != "" {
		what += " with the kubelet of " + want
	}
	return step.Await{
		What: what, Timeout: timeout, Interval: 500 * time.Millisecond, Hint: "journalctl -xeu kubelet",
		Check: func(ctx context.Context, t *step.Target) error {
			c, err := t.Cluster(ctx)
			if err != nil {
				return err
			}
			n, err := c.Node(ctx, node)
			if err != nil {
				return err
			}
			if have := n.Status.NodeInfo.KubeletVersion; want != "" && have != want {
				return fmt.Errorf("its kubelet is %s still", have)
			}
			ready, reason, err := c.NodeReady(ctx, node)
			if err == nil && !ready {
				err = errors.New(reason)
			}
			return err
		},
	}
}

// PostUpgrade ends an upgrade: from here on there is no way back but another bundle.
type PostUpgrade struct{}

// Name is kubeadm's.
func (PostUpgrade) Name() string { return "post-upgrade" }

// Plan removes the note that an upgrade has begun. What was kept stays until the next one.
func (PostUpgrade) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	if _, err := s.upgrade(ctx, r); err != nil {
		return nil, err
	}
	return []step.Step{
		step.Remove{Path: pendingFile, Why: "the upgrade has ended"},
		step.Remove{Path: stageDir, Recursive: true},
	}, nil
}

// upgradeExtras applies the bundle's own manifests, as init does.
type upgradeExtras struct{}

// Name is that of init's phase.
func (upgradeExtras) Name() string { return ExtraManifests{}.Name() }

// Plan leaves them to `upgrade apply`.
func (upgradeExtras) Plan(ctx context.Context, s *State, r host.Reader) ([]step.Step, error) {
	u, err := s.upgrade(ctx, r)
	if err != nil || u.Node {
		return nil, err
	}
	return ExtraManifests{}.Plan(ctx, s, r)
}
