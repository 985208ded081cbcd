package manifests

import "path"

// Renewable is a certificate that can be renewed on a control plane node, under the name that `kubeadm certs renew` has for it.
type Renewable struct {
	Name     string
	CA       string // Name of its CA as in CertSpec: ca, front-proxy-ca, etcd-ca
	BaseName string // path below the certificates dir without extension; "" for a kubeconfig
	Path     string // of a kubeconfig: /etc/kubernetes/admin.conf
	// Pods are the components (static pods) that read it when they start.
	Pods []string
}

// RenewableCertificates are those of every version, in kubeadm's order (kubeadm 1.34 phases/certs/renewal); a node has only some of them:
// no etcd ones with an external etcd, super-admin.conf from 1.29. kubelet.conf is not among them: the kubelet renews its own certificate.
func RenewableCertificates() []Renewable {
	conf := func(name string, pods ...string) Renewable {
		return Renewable{Name: name, CA: "ca", Path: path.Join(kubernetesDir, name), Pods: pods}
	}
	return []Renewable{
		conf("admin.conf"),
		{Name: "apiserver", CA: "ca", BaseName: "apiserver", Pods: []string{apiServerName}},
		{Name: "apiserver-etcd-client", CA: "etcd-ca", BaseName: "apiserver-etcd-client", Pods: []string{apiServerName}},
		{Name: "apiserver-kubelet-client", CA: "ca", BaseName: "apiserver-kubelet-client", Pods: []string{apiServerName}},
		conf(controllerManagerConf, "kube-controller-manager"),
		{Name: "etcd-healthcheck-client", CA: "etcd-ca", BaseName: "etcd/healthcheck-client", Pods: []string{"etcd"}},
		{Name: "etcd-peer", CA: "etcd-ca", BaseName: "etcd/peer", Pods: []string{"etcd"}},
		{Name: "etcd-server", CA: "etcd-ca", BaseName: "etcd/server", Pods: []string{"etcd"}},
		{Name: "front-proxy-client", CA: "front-proxy-ca", BaseName: "front-proxy-client", Pods: []string{apiServerName}},
		conf(schedulerConf, "kube-scheduler"),
		conf("super-admin.conf"),
	}
}

// Authorities are the CAs of a control plane node: Name as in CertSpec, BaseName below the certificates dir.
func Authorities() []Renewable {
	return []Renewable{
		{Name: "ca", BaseName: "ca"},
		{Name: "etcd-ca", BaseName: "etcd/ca"},
		{Name: "front-proxy-ca", BaseName: "front-proxy-ca"},
	}
}

// CertificatesAnnotation is on a static pod whose certificates were renewed: a digest of them. The kubelet starts a static pod anew when
// its manifest changes, whatever the runtime and the version.
const CertificatesAnnotation = "kubebundle.io/certificates"
