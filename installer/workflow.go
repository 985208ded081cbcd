package installer

import "kubebundle/installer/phase"

// Init is `install init`, top to bottom.
func Init() []phase.Phase { return phase.InitPhases() }

// Join is `install join` of a worker, top to bottom.
func Join() []phase.Phase { return phase.JoinPhases() }

// JoinControlPlane is `install join --control-plane`, top to bottom.
func JoinControlPlane() []phase.Phase { return phase.JoinControlPlanePhases() }

// RestoreEtcd is `install etcd snapshot restore`, top to bottom.
func RestoreEtcd(r phase.RestoreEtcd) []phase.Phase { return phase.RestoreEtcdPhases(r) }

// RenewTimer is `install certs renew --timer`.
func RenewTimer(p phase.RenewTimer) []phase.Phase { return []phase.Phase{p} }

// RenewCerts is `install certs renew`: new certificates, then the pods that read them. criSocket is the runtime of this node.
func RenewCerts(r phase.RenewCerts, criSocket string) []phase.Phase {
	return []phase.Phase{r, phase.RestartStaticPods{CertDir: r.CertDir, CRISocket: criSocket}}
}
