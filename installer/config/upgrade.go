package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// UpgradeConfiguration is what the verbs of `upgrade` may be told in a file. Only v1beta4 has it.
type UpgradeConfiguration struct {
	metav1.TypeMeta `json:",inline"`
	Apply           UpgradeApply      `json:"apply,omitempty"`
	Diff            UpgradeDiff       `json:"diff,omitempty"`
	Node            UpgradeNode       `json:"node,omitempty"`
	Plan            UpgradePlan       `json:"plan,omitempty"`
	Timeouts        *TimeoutOverrides `json:"timeouts,omitempty"`
}

// UpgradeApply is for `upgrade apply`.
type UpgradeApply struct {
	KubernetesVersion         string            `json:"kubernetesVersion,omitempty"`
	AllowExperimentalUpgrades *bool             `json:"allowExperimentalUpgrades,omitempty"`
	AllowRCUpgrades           *bool             `json:"allowRCUpgrades,omitempty"`
	CertificateRenewal        *bool             `json:"certificateRenewal,omitempty"`
	DryRun                    *bool             `json:"dryRun,omitempty"`
	EtcdUpgrade               *bool             `json:"etcdUpgrade,omitempty"`
	ForceUpgrade              *bool             `json:"forceUpgrade,omitempty"`
	IgnorePreflightErrors     []string          `json:"ignorePreflightErrors,omitempty"`
	Patches                   *Patches          `json:"patches,omitempty"`
	PrintConfig               *bool             `json:"printConfig,omitempty"`
	SkipPhases                []string          `json:"skipPhases,omitempty"`
	ImagePullPolicy           corev1.PullPolicy `json:"imagePullPolicy,omitempty"`
	ImagePullSerial           *bool             `json:"imagePullSerial,omitempty"`
}

// UpgradeNode is for `upgrade node`.
type UpgradeNode struct {
	CertificateRenewal    *bool             `json:"certificateRenewal,omitempty"`
	DryRun                *bool             `json:"dryRun,omitempty"`
	EtcdUpgrade           *bool             `json:"etcdUpgrade,omitempty"`
	IgnorePreflightErrors []string          `json:"ignorePreflightErrors,omitempty"`
	SkipPhases            []string          `json:"skipPhases,omitempty"`
	Patches               *Patches          `json:"patches,omitempty"`
	ImagePullPolicy       corev1.PullPolicy `json:"imagePullPolicy,omitempty"`
	ImagePullSerial       *bool             `json:"imagePullSerial,omitempty"`
}

// UpgradeDiff is for `upgrade diff`.
type UpgradeDiff struct {
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	ContextLines      int    `json:"contextLines,omitempty"`
}

// UpgradePlan is for `upgrade plan`.
type UpgradePlan struct {
	KubernetesVersion         string   `json:"kubernetesVersion,omitempty"`
	AllowExperimentalUpgrades *bool    `json:"allowExperimentalUpgrades,omitempty"`
	AllowRCUpgrades           *bool    `json:"allowRCUpgrades,omitempty"`
	DryRun                    *bool    `json:"dryRun,omitempty"`
	EtcdUpgrade               *bool    `json:"etcdUpgrade,omitempty"`
	IgnorePreflightErrors     []string `json:"ignorePreflightErrors,omitempty"`
	PrintConfig               *bool    `json:"printConfig,omitempty"`
}

// Upgrade is what a file says to one verb, with the defaults of what it does not say.
type Upgrade struct {
	KubernetesVersion     string // "" where none is named
	CertificateRenewal    bool
	EtcdUpgrade           bool
	DryRun                bool
	Force                 bool
	IgnorePreflightErrors []string
	SkipPhases            []string
	PatchesDir            string
	ContextLines          int // 0: as many as the verb shows by itself
	Timeouts              Timeouts
}

// upgradeFields are flags of `upgrade` that the file can say.
func upgradeFields(name string) bool {
	return strings.Contains(" certificate-renewal context-lines etcd-upgrade force patches ", " "+name+" ")
}

// LoadUpgrade reads the file for one verb: apply, diff, node or plan. fs are the verb's flags as they were parsed: those that the file can say
// must not stand beside it.
func LoadUpgrade(verb, file string, fs *pflag.FlagSet, read ReadFile) (*Upgrade, error) {
	if err := refuseMixed(fs, upgradeFields); err != nil {
		return nil, err
	}
	docs, err := readDocuments(file, read)
	if err != nil {
		return nil, err
	}
	if docs.upgrade == nil {
		return nil, usage(fmt.Errorf("%s: has no UpgradeConfiguration; what it says about the cluster is not taken at an upgrade, which keeps the cluster's own configuration", file))
	}
	u, err := docs.upgrade.of(verb)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", file, err))
	}
	return u, nil
}

// of makes the configuration of one verb.
func (c *UpgradeConfiguration) of(verb string) (*Upgrade, error) {
	var p problems
	u := &Upgrade{CertificateRenewal: true, EtcdUpgrade: true, Timeouts: timeouts(c.Timeouts, &p)}
	switch verb {
	case "apply":
		a := c.Apply
		u.KubernetesVersion, u.DryRun, u.Force = a.KubernetesVersion, isTrue(a.DryRun), isTrue(a.ForceUpgrade)
		u.CertificateRenewal, u.EtcdUpgrade = notFalse(a.CertificateRenewal), notFalse(a.EtcdUpgrade)
		u.IgnorePreflightErrors, u.SkipPhases, u.PatchesDir = names(a.IgnorePreflightErrors), names(a.SkipPhases), patchesDir("", a.Patches)
		p.pullPolicy("apply.imagePullPolicy", a.ImagePullPolicy)
	case "node":
		n := c.Node
		u.DryRun, u.CertificateRenewal, u.EtcdUpgrade = isTrue(n.DryRun), notFalse(n.CertificateRenewal), notFalse(n.EtcdUpgrade)
		u.IgnorePreflightErrors, u.SkipPhases, u.PatchesDir = names(n.IgnorePreflightErrors), names(n.SkipPhases), patchesDir("", n.Patches)
		p.pullPolicy("node.imagePullPolicy", n.ImagePullPolicy)
	case "plan":
		u.KubernetesVersion, u.EtcdUpgrade, u.IgnorePreflightErrors = c.Plan.KubernetesVersion, notFalse(c.Plan.EtcdUpgrade), names(c.Plan.IgnorePreflightErrors)
	case "diff":
		if u.KubernetesVersion, u.ContextLines = c.Diff.KubernetesVersion, c.Diff.ContextLines; u.ContextLines < 0 {
			p.add("diff.contextLines", "%d is not a number of lines", u.ContextLines)
		}
	default:
		return nil, errors.New("no verb of upgrade: " + verb)
	}
	if u.PatchesDir != "" {
		p.absolute(verb+".patches.directory", u.PatchesDir)
	}
	if v := u.KubernetesVersion; v != "" {
		if _, err := parseVersion(v); err != nil {
			p.add(verb+".kubernetesVersion", "%q is not a version", v)
		}
	}
	return u, p.err()
}

func isTrue(b *bool) bool   { return b != nil && *b }
func notFalse(b *bool) bool { return b == nil || *b }

// UpgradeDefaults is a file for the verbs of `upgrade` with every default.
func UpgradeDefaults() ([]byte, error) {
	yes := true
	return (&documents{upgrade: &UpgradeConfiguration{
		TypeMeta: typeMeta("UpgradeConfiguration"),
		Apply:    UpgradeApply{CertificateRenewal: &yes, EtcdUpgrade: &yes, ImagePullPolicy: corev1.PullIfNotPresent, ImagePullSerial: &yes},
		Node:     UpgradeNode{CertificateRenewal: &yes, EtcdUpgrade: &yes, ImagePullPolicy: corev1.PullIfNotPresent, ImagePullSerial: &yes},
		Plan:     UpgradePlan{EtcdUpgrade: &yes},
		Timeouts: timeoutDefaults(),
	}}).encode()
}

// ResetDefaults is the same for `reset`. The runtime's socket is left to the node, which knows its own.
func ResetDefaults() ([]byte, error) {
	return (&documents{reset: &ResetConfiguration{
		TypeMeta: typeMeta("ResetConfiguration"), CertificatesDir: DefaultCertificatesDir, Timeouts: timeoutDefaults(),
	}}).encode()
}
