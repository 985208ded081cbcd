package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/yaml"

	"kubebundle/installer/cluster/clustertest"
	"kubebundle/installer/pki"
	"kubebundle/manifests"
)

// clusterCmd makes $ROOT a control plane node of a cluster that answers: cluster v1.34.3. With "gone" the cluster answers no more.
func clusterCmd(t *testing.T) func(ts *testscript.TestScript, neg bool, args []string) {
	t.Helper()
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 1 {
			ts.Fatalf("usage: cluster VERSION [gone]")
		}
		srv := clustertest.New(t)
		put := func(at string, doc string) {
			obj := clustertest.Object{}
			ts.Check(yaml.Unmarshal([]byte(doc), &obj))
			srv.Put(at, obj)
		}
		const kubeSystem = "/api/v1/namespaces/kube-system/"
		put(kubeSystem+"configmaps/kubeadm-config", fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: kubeadm-config, namespace: kube-system}, data: {ClusterConfiguration: "{apiVersion: kubeadm.k8s.io/v1beta4, kind: ClusterConfiguration, kubernetesVersion: %s}"}}`, args[0]))
		put(kubeSystem+"configmaps/kubelet-config", `{apiVersion: v1, kind: ConfigMap, metadata: {name: kubelet-config, namespace: kube-system}, data: {kubelet: "{apiVersion: kubelet.config.k8s.io/v1beta1, kind: KubeletConfiguration}"}}`)
		put("/api/v1/nodes/node1", fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: node1}, spec: {}, status: {nodeInfo: {kubeletVersion: %s}, conditions: [{type: Ready, status: "True"}]}}`, args[0]))
		v := utilversion.MustParseSemantic(args[0])
		c := &manifests.Cluster{
			Version: v, Name: "kubernetes", CertificatesDir: "/etc/kubernetes/pki", ServiceSubnet: "10.96.0.0/12", DNSDomain: "cluster.local", Etcd: manifests.Etcd{DataDir: "/var/lib/etcd"},
			Images: map[string]string{
				"kube-apiserver": "registry.k8s.io/kube-apiserver:" + args[0], "kube-controller-manager": "registry.k8s.io/kube-controller-manager:" + args[0],
				"kube-scheduler": "registry.k8s.io/kube-scheduler:" + args[0], "etcd": "registry.k8s.io/etcd:3.6.4-0",
			},
		}
		n := &manifests.Node{Name: "node1", AdvertiseAddress: []byte{10, 0, 0, 10}, BindPort: 6443}
		write := func(p string, data []byte) {
			p = filepath.Join(ts.Getenv("ROOT"), p)
			ts.Check(os.MkdirAll(filepath.Dir(p), 0o755))
			ts.Check(os.WriteFile(p, data, 0o600))
		}
		for name, image := range c.Images {
			f, err := manifests.StaticPod(c, n, name)
			ts.Check(err)
			write(f.Path, f.Data)
			put(kubeSystem+"pods/"+name+"-node1", fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s-node1, namespace: kube-system, labels: {component: %s, tier: control-plane},
				annotations: {kubernetes.io/config.mirror: x}}, spec: {nodeName: node1, containers: [{name: x, image: "%s"}]}, status: {conditions: [{type: Ready, status: "True"}]}}`, name, name, image))
		}
		ca, err := pki.NewCA(pki.Spec{CommonName: "kubernetes", Algorithm: pki.ECDSAP256, NotBefore: time.Now()})
		ts.Check(err)
		leaf, err := pki.NewLeaf(ca, pki.Spec{CommonName: "system:node:node1", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, Algorithm: pki.ECDSAP256, NotBefore: time.Now()})
		ts.Check(err)
		conf, err := manifests.Kubeconfig(c, manifests.KubeconfigSpec{Name: "kubelet", Server: srv.URL}, ca.CertPEM, leaf.CertPEM, leaf.KeyPEM)
		ts.Check(err)
		write("/etc/kubernetes/kubelet.conf", conf)
		write("/etc/kubernetes/admin.conf", srv.Kubeconfig())
		if len(args) > 1 {
			srv.Close()
		}
	}
}
