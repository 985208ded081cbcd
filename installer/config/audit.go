package config

import (
	"encoding/json"
	"errors"
	"path"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// AuditPolicy is auditPolicy of v1alpha1 to v1alpha3. It means something together with the gate Auditing.
type AuditPolicy struct {
	Path      string `json:"path,omitempty"`      // of the policy on the host; "" makes one
	LogDir    string `json:"logDir,omitempty"`    // "" means /var/log/kubernetes/audit
	LogMaxAge *int32 `json:"logMaxAge,omitempty"` // in days; nil means 2
}

const (
	auditGate       = "Auditing"
	auditPolicyFile = "/etc/kubernetes/audit/audit.yaml"
	auditLogDir     = "/var/log/kubernetes/audit"
	auditLogMaxAge  = 2
)

// takeAudit reads the field.
func (d *document) takeAudit(v any) error {
	j, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var a struct {
		AuditPolicy AuditPolicy `json:"auditPolicy"`
	}
	if err := decodeStrict([]byte(`{"auditPolicy":`+string(j)+`}`), &a); err != nil {
		return err
	}
	d.audit = &a.AuditPolicy
	return nil
}

func (a *AuditPolicy) validate(p *problems) {
	for _, f := range []struct{ field, value string }{{"auditPolicy.path", a.Path}, {"auditPolicy.logDir", a.LogDir}} {
		if f.value != "" {
			p.absolute(f.field, f.value)
		}
	}
	if a.LogMaxAge != nil && *a.LogMaxAge < 0 {
		p.add("auditPolicy.logMaxAge", "%d is not a number of days", *a.LogMaxAge)
	}
}

// auditAsArgs says with what v1beta1 and later have what the gate and the field said: the same API server comes out of it.
func (d *documents) auditAsArgs() error {
	if d.cluster == nil || !d.cluster.FeatureGates[auditGate] {
		return nil
	}
	a := d.audit
	if a == nil {
		a = &AuditPolicy{}
	}
	var p problems
	if a.validate(&p); p.err() != nil {
		return p.err()
	}
	if a.Path == "" {
		return errors.New("featureGates.Auditing with kubeadm's own policy: later versions make none; write the policy into a file and name it in auditPolicy.path")
	}
	policy, logs, age := a.Path, a.LogDir, auditLogMaxAge
	if logs == "" {
		logs = auditLogDir
	}
	if a.LogMaxAge != nil {
		age = int(*a.LogMaxAge)
	}
	api := &d.cluster.APIServer
	api.ExtraArgs = append(api.ExtraArgs,
		Arg{Name: "audit-policy-file", Value: auditPolicyFile},
		Arg{Name: "audit-log-path", Value: path.Join(auditLogDir, "audit.log")},
		Arg{Name: "audit-log-maxage", Value: strconv.Itoa(age)})
	api.ExtraVolumes = append(api.ExtraVolumes,
		HostPathMount{Name: "audit", HostPath: policy, MountPath: auditPolicyFile, ReadOnly: true, PathType: corev1.HostPathFile},
		HostPathMount{Name: "audit-log", HostPath: logs, MountPath: auditLogDir, PathType: corev1.HostPathDirectoryOrCreate})
	delete(d.cluster.FeatureGates, auditGate)
	return nil
}
