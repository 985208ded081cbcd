package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/cluster-bootstrap/token/jws"
	"sigs.k8s.io/yaml"

	"kubebundle/installer/cluster/clustertest"
	"kubebundle/installer/pki"
	"kubebundle/manifests"
)

// A cluster that scripts join: its token, and the key with which its certificates were uploaded.
const (
	scriptToken = "abcdef.0123456789abcdef"
	scriptKey   = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
)

// clusterCmd makes $ROOT a control plane node of a cluster that answers at $SERVER: cluster v1.34.3. With "gone" it answers no more, with "expired" its certificate
// has ended, with "unshared" it holds no certificates for further control planes.
func clusterCmd(t *testing.T) func(ts *testscript.TestScript, neg bool, args []string) {
	t.Helper()
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 1 {
			ts.Fatalf("usage: cluster VERSION [gone|expired|unshared]")
		}
		how := strings.Join(args[1:], " ")
		srv := clustertest.New(t)
		ca, err := pki.NewCA(pki.Spec{CommonName: "kubernetes", Algorithm: pki.ECDSAP256, NotBefore: time.Now()})
		ts.Check(err)
		served := serveAs(t, ts, srv, ca, how == "expired")
		endpoint := served.Listener.Addr().String()
		ts.Setenv("SERVER", endpoint)
		put := func(at string, doc string) {
			obj := clustertest.Object{}
			ts.Check(yaml.Unmarshal([]byte(doc), &obj))
			srv.Put(at, obj)
		}
		const kubeSystem = "/api/v1/namespaces/kube-system/"
		put(kubeSystem+"configmaps/kubeadm-config", fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: kubeadm-config, namespace: kube-system}, data: {ClusterConfiguration: "{apiVersion: kubeadm.k8s.io/v1beta4, kind: ClusterConfiguration, kubernetesVersion: %s, controlPlaneEndpoint: '%s'}"}}`, args[0], endpoint))
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
		for name, who := range map[string]pki.Spec{
			"kubelet": {CommonName: "system:node:node1", Organization: []string{"system:nodes"}}, "admin": {CommonName: "kubernetes-admin", Organization: []string{"kubeadm:cluster-admins"}},
		} {
			who.Usages, who.Algorithm, who.NotBefore = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, pki.ECDSAP256, time.Now()
			leaf, err := pki.NewLeaf(ca, who)
			ts.Check(err)
			conf, err := manifests.Kubeconfig(c, manifests.KubeconfigSpec{Name: name, Server: served.URL}, ca.CertPEM, leaf.CertPEM, leaf.KeyPEM)
			ts.Check(err)
			write("/etc/kubernetes/"+name+".conf", conf)
		}
		info := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"","cluster":{"server":%q,"certificate-authority-data":%q}}]}`, served.URL, base64.StdEncoding.EncodeToString(ca.CertPEM))
		id, secret, _ := strings.Cut(scriptToken, ".")
		signature, err := jws.ComputeDetachedSignature(info, id, secret)
		ts.Check(err)
		srv.Put("/api/v1/namespaces/kube-public/configmaps/cluster-info", clustertest.Object{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": clustertest.Object{"name": "cluster-info", "namespace": "kube-public"},
			"data": clustertest.Object{"kubeconfig": info, "jws-kubeconfig-" + id: signature},
		})
		if how != "unshared" {
			sealed, err := pki.Seal(scriptKey, ca.CertPEM)
			ts.Check(err)
			srv.Put(kubeSystem+"secrets/kubeadm-certs", clustertest.Object{
				"apiVersion": "v1", "kind": "Secret", "metadata": clustertest.Object{"name": "kubeadm-certs", "namespace": "kube-system"}, "data": clustertest.Object{"ca.crt": base64.StdEncoding.EncodeToString(sealed)},
			})
		}
		if how == "gone" {
			served.Close()
		}
	}
}

// serveAs lets a server answer under a certificate of the cluster's CA.
func serveAs(t *testing.T, ts *testscript.TestScript, srv *clustertest.Server, ca *pki.Pair, expired bool) *httptest.Server {
	t.Helper()
	spec := pki.Spec{CommonName: "kube-apiserver", IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, Algorithm: pki.ECDSAP256, NotBefore: time.Now()}
	if expired { // a certificate begins some minutes before it is made
		spec.Validity = time.Minute
	}
	leaf, err := pki.NewLeaf(ca, spec)
	ts.Check(err)
	pair, err := tls.X509KeyPair(leaf.CertPEM, leaf.KeyPEM)
	ts.Check(err)
	s := httptest.NewUnstartedServer(srv)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes are broken off on purpose
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// expire lets every certificate and kubeconfig of $ROOT end now, as they do after a year.
func expire(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: expire")
	}
	at := func(p string) string { return filepath.Join(ts.Getenv("ROOT"), p) }
	pair := func(base string) *pki.Pair {
		p, err := pki.Parse([]byte(ts.ReadFile(at(base+".crt"))), []byte(ts.ReadFile(at(base+".key"))))
		ts.Check(err)
		return p
	}
	const dir = "/etc/kubernetes/pki/"
	for _, m := range manifests.RenewableCertificates() {
		ca := pair(dir + strings.Replace(m.CA, "etcd-ca", "etcd/ca", 1))
		if m.Path == "" {
			old := pair(dir + m.BaseName)
			ended, err := pki.Renew(ca, old.Cert, time.Now(), time.Minute) // it begins some minutes before
			ts.Check(err)
			ts.Check(os.WriteFile(at(dir+m.BaseName+".crt"), ended.CertPEM, 0o600))
			ts.Check(os.WriteFile(at(dir+m.BaseName+".key"), ended.KeyPEM, 0o600))
			continue
		}
		conf, err := clientcmd.LoadFromFile(at(m.Path))
		ts.Check(err)
		for _, user := range conf.AuthInfos {
			old, err := pki.Parse(user.ClientCertificateData, nil)
			ts.Check(err)
			ended, err := pki.Renew(ca, old.Cert, time.Now(), time.Minute)
			ts.Check(err)
			user.ClientCertificateData, user.ClientKeyData = ended.CertPEM, ended.KeyPEM
		}
		ts.Check(clientcmd.WriteToFile(*conf, at(m.Path)))
	}
}
