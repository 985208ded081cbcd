package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/pmezard/go-difflib/difflib"

	"kubebundle/installer/host"
	"kubebundle/release"
)

// UpgradedComponent is a line of `upgrade plan`.
type UpgradedComponent struct {
	Name    string
	Node    string // "" for what the whole cluster has once
	Current string
	Target  string
}

// UpgradePlan is what `upgrade plan` says.
type UpgradePlan struct {
	From, To   string
	Components []UpgradedComponent
	Problems   []Problem
	// Refused says that the versions do not go together at all.
	Refused error
}

// PlanUpgrade looks at the cluster and changes nothing.
func PlanUpgrade(ctx context.Context, s *State, r host.Reader) (*UpgradePlan, error) {
	p := &UpgradePlan{To: release.Tag(s.version())}
	u, err := s.upgrade(ctx, r)
	if err != nil {
		return nil, err
	}
	p.From = release.Tag(u.cluster)
	if p.Components, err = u.components(ctx, s); err != nil {
		return nil, err
	}
	p.Problems, err = CheckUpgrade(ctx, s, r)
	var refused *release.UpgradeError
	if errors.As(err, &refused) {
		p.Refused, err = err, nil
	}
	return p, err
}

// components lists control planes, kubelets and add-ons as the cluster shows them.
func (u *Upgrade) components(ctx context.Context, s *State) ([]UpgradedComponent, error) {
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := u.API(limit)
	if err != nil {
		return nil, err
	}
	pods, err := u.componentPods(limit)
	if err != nil {
		return nil, fmt.Errorf("look at the control planes: %w", err)
	}
	target := func(component string) string { return tagOf(s.Cluster.Images[component]) }
	var out []UpgradedComponent
	for _, comp := range restartOrder() {
		for i := range pods {
			p := &pods[i]
			if node, ok := strings.CutPrefix(p.Name, comp+"-"); ok && p.Labels["component"] == comp && len(p.Spec.Containers) > 0 {
				out = append(out, UpgradedComponent{Name: comp, Node: node, Current: tagOf(p.Spec.Containers[0].Image), Target: target(comp)})
			}
		}
	}
	addons, err := c.AddonImages(limit)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{string(release.Proxy), string(release.CoreDNS)} {
		if image := addons[name]; image != "" {
			out = append(out, UpgradedComponent{Name: name, Current: tagOf(image), Target: target(name)})
		}
	}
	nodes, err := c.Nodes(limit)
	if err != nil {
		return nil, err
	}
	for i := range nodes {
		out = append(out, UpgradedComponent{Name: release.Kubelet, Node: nodes[i].Name, Current: nodes[i].Status.NodeInfo.KubeletVersion, Target: release.Tag(s.version())})
	}
	return out, nil
}

// UpgradeDiff is how the manifests of this node's static pods would change, as a unified diff; "" where they would not.
func UpgradeDiff(ctx context.Context, s *State, r host.Reader, contextLines int) (string, error) {
	u, err := s.upgrade(ctx, r)
	if err != nil {
		return "", err
	}
	if !u.controlPlane {
		return "", errors.New("compare static pods: this node has no control plane")
	}
	var b strings.Builder
	for _, comp := range restartOrder() {
		file := path.Join(manifestsDir, comp+".yaml")
		have, err := r.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // an external etcd
		}
		if err != nil {
			return "", err
		}
		want, err := u.manifest(s, comp, r)
		if err != nil {
			return "", err
		}
		text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
			A: difflib.SplitLines(string(have)), B: difflib.SplitLines(string(want.Data)),
			FromFile: file, ToFile: file + " (" + release.Tag(s.version()) + ")", Context: contextLines,
		})
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}
