package manifests

import (
	"io/fs"
	"path"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const kubeadmCertsSecret = "kubeadm-certs"

// SharedFile is a file of the PKI that all control plane nodes have in common.
type SharedFile struct {
	Key  string // in Secret kubeadm-certs: ca.crt, etcd-ca.key, …
	Path string
	Mode fs.FileMode
}

// SharedCertificates are what a further control plane node needs of the first one: CAs with their keys and the service accounts' key; with
// an external etcd its client certificate instead of its CA's key (kubeadm 1.34 phases/copycerts; facts section 6.5).
func SharedCertificates(c *Cluster) []SharedFile {
	const cert, key fs.FileMode = 0o644, 0o600
	out := []SharedFile{
		{"ca.crt", c.pki("ca.crt"), cert},
		{"ca.key", c.pki("ca.key"), key},
		{"front-proxy-ca.crt", c.pki("front-proxy-ca.crt"), cert},
		{"front-proxy-ca.key", c.pki("front-proxy-ca.key"), key},
		{"sa.pub", c.pki("sa.pub"), key},
		{"sa.key", c.pki("sa.key"), key},
	}
	if e := c.Etcd.External; e != nil {
		for _, f := range []SharedFile{
			{"external-etcd-ca.crt", e.CAFile, cert}, {"external-etcd.crt", e.CertFile, cert}, {"external-etcd.key", e.KeyFile, key},
		} {
			if f.Path != "" { // an etcd without TLS has none
				f.Path = path.Clean(f.Path)
				out = append(out, f)
			}
		}
		return out
	}
	return append(out, SharedFile{"etcd-ca.crt", c.pki("etcd/ca.crt"), cert}, SharedFile{"etcd-ca.key", c.pki("etcd/ca.key"), key})
}

// UploadCertsRBAC lets joining nodes read Secret kubeadm-certs, whose content is of no use without the certificate key (facts section 6.3).
func UploadCertsRBAC() []runtime.Object {
	const name = "kubeadm:kubeadm-certs"
	return []runtime.Object{
		role(kubeSystem, name, rbacv1.PolicyRule{
			Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{kubeadmCertsSecret},
		}),
		roleBinding(kubeSystem, name, group(defaultTokenGroup)),
	}
}
