package manifests

import (
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// gate is a feature gate of kubeadm itself.
type gate struct {
	name    string
	on      span // on unless the user says otherwise
	removed uint // from this minor on it is locked on
}

// Gates that change what is rendered (kubeadm 1.23, 1.34 and 1.36 features/features.go).
var (
	unversionedKubelet = gate{name: "UnversionedKubeletConfigMap", on: since(24), removed: 25}
	kubeletLocalMode   = gate{name: "ControlPlaneKubeletLocalMode", on: since(33), removed: 35}
	nodeLocalCRISocket = gate{name: "NodeLocalCRISocket", on: since(34), removed: 36}
)

// enabled reports whether a kubeadm feature gate is on in this cluster.
func (c *Cluster) enabled(g gate) bool {
	if isSince(c.Version, g.removed) {
		return true
	}
	if on, given := c.FeatureGates[g.name]; given {
		return on
	}
	return g.on.has(minorOf(c.Version))
}

// Gates of kubeadm 1.10 to 1.12 that were never on by themselves (features/features.go of those versions).
const (
	auditingGate      = "Auditing"
	dynamicGate       = "DynamicKubeletConfig"
	availabilityGate  = "HighAvailability"
	selfHostingGate   = "SelfHosting"
	certsInSecretGate = "StoreCertsInSecrets"
)

// dualStackGate is passed on to the components from 1.16 to 1.22, on or off.
const dualStackGate = "IPv6DualStack"

// asks reports whether a gate of 1.10 to 1.12 is on.
func (c *Cluster) asks(name string) bool { return !isSince(c.Version, 13) && c.FeatureGates[name] }

// SelfHosting reports whether the cluster's control plane is to run as DaemonSets.
func (c *Cluster) SelfHosting() bool { return c.asks(selfHostingGate) }

// DynamicKubelet reports whether the kubelets take their configuration from a ConfigMap that their Node names.
func (c *Cluster) DynamicKubelet() bool { return c.asks(dynamicGate) }

// gateArgs are what kubeadm's gates add to the flags of a component of the control plane.
func (c *Cluster) gateArgs() []Arg {
	if on, given := c.FeatureGates[dualStackGate]; given && between(16, 22).has(minorOf(c.Version)) {
		return []Arg{{"feature-gates", dualStackGate + "=" + strconv.FormatBool(on)}}
	}
	return nil
}

// gatedConfig is what kubeadm's gates add to the document of a kubelet or of kube-proxy (kubeadm 1.18 to 1.21 componentconfigs).
func (c *Cluster) gatedConfig() map[string]any {
	if on, given := c.FeatureGates[dualStackGate]; given && between(16, 22).has(minorOf(c.Version)) {
		return map[string]any{"featureGates": map[string]any{dualStackGate: on}}
	}
	return nil
}

// oldGateArgs are what the gates of 1.10 to 1.12 add to the API server's flags (kubeadm 1.10, 1.12 phases/controlplane).
func (c *Cluster) oldGateArgs() []Arg {
	var args []Arg
	if c.asks(availabilityGate) {
		args = append(args, Arg{"endpoint-reconciler-type", "lease"})
	}
	if c.asks(auditingGate) {
		args = append(args,
			Arg{"audit-policy-file", AuditPolicyFile},
			Arg{"audit-log-path", path.Join(auditLogDir, "audit.log")},
			Arg{"audit-log-maxage", strconv.Itoa(c.Audit.maxAge())})
	}
	return args
}

// keyGate chose the algorithm of keys before v1beta4 had a field for it, and still outdoes the field (kubeadm 1.34 apis/kubeadm/types.go).
const keyGate = "PublicKeysECDSA"

// KeyType is the algorithm of the cluster's keys.
func (c *Cluster) KeyType() string {
	on, given := c.FeatureGates[keyGate]
	switch {
	case !given || !between(18, 36).has(minorOf(c.Version)):
		return c.KeyAlgorithm
	case on:
		return "ECDSA-P256"
	default:
		return "RSA-2048"
	}
}

// withGate switches a gate of the components on among the flags that a user gives, who may have named others.
func withGate(extra []Arg, name string) []Arg {
	out := slices.Clone(extra)
	for i, a := range slices.Backward(out) {
		if a.Name != "feature-gates" {
			continue
		}
		if !strings.Contains(a.Value, name+"=") {
			out[i].Value += "," + name + "=true"
		}
		return out
	}
	return append(out, Arg{"feature-gates", name + "=true"})
}

// Where the API server finds its audit policy and puts its log, inside its pod and, unless the user says otherwise, on the host.
const (
	AuditPolicyFile = "/etc/kubernetes/audit/audit.yaml"
	auditLogDir     = "/var/log/kubernetes/audit"
	// DefaultAuditMaxAge is in days.
	DefaultAuditMaxAge = 2
)

// AuditPolicy is what a MasterConfiguration (up to 1.12) says about auditing.
type AuditPolicy struct {
	Path      string `json:"path"` // of the policy on the host, "" for kubeadm's own one
	LogDir    string `json:"logDir,omitempty"`
	LogMaxAge *int32 `json:"logMaxAge,omitempty"`
}

func (a AuditPolicy) maxAge() int {
	if a.LogMaxAge == nil {
		return DefaultAuditMaxAge
	}
	return int(*a.LogMaxAge)
}

// Auditing reports whether the API server audits because of kubeadm's gate.
func (c *Cluster) Auditing() bool { return c.asks(auditingGate) }

// DefaultAuditPolicy is the policy of a cluster that audits and names none (kubeadm 1.10 util/audit).
func DefaultAuditPolicy() File {
	return File{
		Path: AuditPolicyFile, Mode: secretFileMode,
		Data: []byte("apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules:\n- level: Metadata\n"),
	}
}

// addAudit mounts the policy and the log's folder.
func (m mounts) addAudit(c *Cluster) {
	if !c.Auditing() {
		return
	}
	policy, logs := c.Audit.Path, c.Audit.LogDir
	if policy == "" {
		policy = AuditPolicyFile
	}
	if logs == "" {
		logs = auditLogDir
	}
	m["audit"] = HostPathMount{Name: "audit", HostPath: policy, MountPath: AuditPolicyFile, ReadOnly: true, PathType: corev1.HostPathFile}
	m["audit-log"] = HostPathMount{Name: "audit-log", HostPath: logs, MountPath: auditLogDir, PathType: corev1.HostPathDirectoryOrCreate}
}
