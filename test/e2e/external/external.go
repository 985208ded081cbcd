// Package external: what a cluster needs is kept by others. First an etcd on a host of its own, with TLS, and a CA of the site: an intermediate one with an
// ECDSA key, in a folder that is not the usual one. Then, on the same host, all three CAs without their keys, and certificates that somebody signed elsewhere.
package external

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"kubebundle/test/e2e/reset"
	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// Test makes one cluster after the other on one host.
func Test(t *testing.T, s *suite.Suite) {
	h := s.BareHost(t, "ext1", s.Runtime)
	if err := clusters.Forwarding(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	others := newEtcd(t, s)
	// What the two ways share is one host, so the first is taken back completely.
	t.Run("etcd", func(t *testing.T) { externalEtcd(t, s, h, others) })
	if !t.Failed() {
		t.Run("ca", func(t *testing.T) { externalCA(t, s, h) })
	}
}

// siteDir is where the site's CA is.
const siteDir = "/etc/site/pki"

func externalEtcd(t *testing.T, s *suite.Suite, h *hosts.Host, others *etcd) {
	root := newAuthority(t, "Site Root", nil)
	ca := newAuthority(t, "Site Kubernetes", root)
	put(t, h, siteDir+"/ca.crt", ca.crt(t))
	put(t, h, siteDir+"/ca.key", read(t, ca.file("key")))
	files := others.clientFiles(t, h)
	configure(t, s, h, "certificatesDir: "+siteDir+"\nencryptionAlgorithm: ECDSA-P256\napiServer: {certSANs: [api.site.example, 192.0.2.7]}\n"+
		fmt.Sprintf("etcd: {external: {endpoints: [%q], caFile: %s, certFile: %s, keyFile: %s}}\n", others.endpoint(), files+"/ca.crt", files+"/client.crt", files+"/client.key"))
	clean, err := h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	others.run(t, "stop")
	s.Refused(t, h, 3, []string{"[ExternalEtcdVersion] no endpoint of the external etcd answers: ask " + others.endpoint() + ": "}, clusters.InitArgs()...)
	unchanged(t, h, clean)
	others.run(t, "start")
	s.MustInstall(t, h, clusters.InitArgs()...)
	await(t, s, h, true)

	for _, name := range []string{"/etc/kubernetes/manifests/etcd.yaml", "/var/lib/etcd", siteDir + "/etcd", "/etc/kubernetes/pki"} {
		if err := h.Run(t.Context(), "test", "!", "-e", name); err != nil {
			t.Errorf("%s is there although others run the etcd and keep the CA: %v", name, err)
		}
	}
	for _, name := range []string{"api.site.example", "192.0.2.7", h.IP.String(), h.Name} {
		served(t, h, ca, name)
	}
	if r := s.MustInstall(t, h, "certs", "check-expiration", "--cert-dir", siteDir); !strings.Contains(r.Stdout, "etcd-server") || !strings.Contains(r.Stdout, "missing") {
		t.Errorf("check-expiration says:\n%s", r.Stdout)
	}
	if r := s.MustInstall(t, h, "etcd", "snapshot", "save", "/root/s.db"); !strings.Contains(r.Stdout, "nodes: ") || !strings.Contains(r.Stdout, h.Name) {
		t.Errorf("the snapshot of an external etcd: %s", r.Stdout)
	}
	s.Refused(t, h, 1, []string{"is no static pod of this node; it is restored where it runs"}, "etcd", "snapshot", "restore", "/root/s.db", "--force")
	before := others.keys(t)
	if before == 0 {
		t.Error("the external etcd has none of the cluster's data")
	}
	if r := s.MustInstall(t, h, "reset", "--force"); !strings.Contains(r.Stderr, "what the cluster has stored there stays") {
		t.Errorf("reset says:\n%s", r.Stderr)
	}
	reset.Host(t, s, h, clean) // the site's CA, its files for the etcd, and all else as it was
	if after := others.keys(t); after == 0 {
		t.Errorf("reset took the data of an etcd that others run: %d keys before", before)
	}
}

// unchanged compares a host with what it was; the installer may have noted that it was there.
func unchanged(t *testing.T, h *hosts.Host, before hosts.Snapshot) {
	t.Helper()
	after, err := h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range before.Diff(after) {
		if !strings.Contains(d, "/var/lib/kubebundle") {
			t.Errorf("a refusal has changed something: %s", d)
		}
	}
}

func externalCA(t *testing.T, s *suite.Suite, h *hosts.Host) {
	const pki = "/etc/kubernetes/pki"
	cas := map[string]*authority{
		pki + "/ca.crt": newAuthority(t, "Kubernetes elsewhere", nil), pki + "/front-proxy-ca.crt": newAuthority(t, "front proxy elsewhere", nil), pki + "/etcd/ca.crt": newAuthority(t, "etcd elsewhere", nil),
	}
	for name, ca := range cas {
		put(t, h, name, ca.crt(t))
	}
	configure(t, s, h, "")
	s.MustInstall(t, h, "certs", "generate-csr", "--config", clusters.ConfigPath)

	// Elsewhere: the requests travel, and the certificates come back. Kubeconfigs wait for theirs.
	for leaf, usages := range map[string]string{
		"apiserver": "serverAuth", "apiserver-kubelet-client": "clientAuth", "front-proxy-client": "clientAuth", "apiserver-etcd-client": "clientAuth",
		"etcd/server": "serverAuth,clientAuth", "etcd/peer": "serverAuth,clientAuth", "etcd/healthcheck-client": "clientAuth",
	} {
		ca := cas[pki+"/ca.crt"]
		switch {
		case strings.HasPrefix(leaf, "front-proxy"):
			ca = cas[pki+"/front-proxy-ca.crt"]
		case strings.Contains(leaf, "etcd"):
			ca = cas[pki+"/etcd/ca.crt"]
		}
		base := filepath.Join(h.Root(), pki, leaf)
		ca.sign(t, base+".csr", base+".crt", "extendedKeyUsage="+usages)
	}
	confs, err := filepath.Glob(filepath.Join(h.Root(), "etc/kubernetes/*.conf"))
	if err != nil || len(confs) < 4 {
		t.Fatalf("kubeconfigs: %v, %v", confs, err)
	}
	for _, conf := range confs {
		cas[pki+"/ca.crt"].sign(t, conf+".csr", conf+".crt", "extendedKeyUsage=clientAuth")
		user := strings.TrimSpace(s.Kubectl(t, "--kubeconfig", conf, "config", "view", "-o", "jsonpath={.users[0].name}"))
		s.Kubectl(t, "--kubeconfig", conf, "config", "set-credentials", user, "--client-certificate", conf+".crt", "--embed-certs")
	}

	// A CA that did not sign what lies beside it.
	put(t, h, pki+"/etcd/ca.crt", cas[pki+"/ca.crt"].crt(t))
	before, err := h.Snapshot(suite.Volatile...)
	if err != nil {
		t.Fatal(err)
	}
	s.Refused(t, h, 3, []string{"[FileAvailable--etc-kubernetes-pki-etcd-server.crt]", `not signed by CA "Kubernetes elsewhere"`}, clusters.InitArgs()...)
	unchanged(t, h, before)
	put(t, h, pki+"/etcd/ca.crt", cas[pki+"/etcd/ca.crt"].crt(t))

	s.MustInstall(t, h, clusters.InitArgs()...)
	await(t, s, h, false)
	served(t, h, cas[pki+"/ca.crt"], h.IP.String())
	for name := range cas {
		key := strings.TrimSuffix(name, ".crt") + ".key"
		if err := h.Run(t.Context(), "test", "!", "-e", key); err != nil {
			t.Errorf("%s was made: %v", key, err)
		}
	}
	if r := s.MustInstall(t, h, "certs", "check-expiration"); strings.Count(r.Stdout, " yes\n") < 10 {
		t.Errorf("check-expiration says:\n%s", r.Stdout)
	}
	s.Refused(t, h, 1, []string{"/etc/kubernetes/pki/ca.key is not on this host", "hint: ", "certs generate-csr"}, "certs", "renew", "apiserver")
}

// configure writes the lab's configuration with more in its last document, the cluster's.
func configure(t *testing.T, s *suite.Suite, h *hosts.Host, more string) {
	t.Helper()
	cfg, err := clusters.InitConfig(s.Lab.Machine, s.Version, "")
	if err != nil {
		t.Fatal(err)
	}
	put(t, h, clusters.ConfigPath, []byte(strings.Join(append(clusters.RuntimeDocs(h.Runtime), cfg+more), "---\n")))
}

func put(t *testing.T, h *hosts.Host, name string, data []byte) {
	t.Helper()
	if err := h.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// await waits until the host is a cluster of one node that is Ready, with all its pods.
func await(t *testing.T, s *suite.Suite, h *hosts.Host, externalEtcd bool) {
	t.Helper()
	c := &clusters.Cluster{Env: s.Env, Hosts: []*hosts.Host{h}, ExternalEtcd: externalEtcd}
	if err := c.FetchKubeconfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// served asks the API server under a name, and trusts one CA alone.
func served(t *testing.T, h *hosts.Host, ca *authority, name string) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.crt(t))
	d := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}}
	c, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(h.IP.String(), "6443"))
	if err != nil {
		t.Errorf("the API server as %s: %v", name, err)
		return
	}
	c.Close() //nolint:errcheck // nothing was said
}

// etcd is one that others run, on a host of its own.
type etcd struct {
	host *hosts.Host
	ca   *authority
}

// newEtcd starts it.
func newEtcd(t *testing.T, s *suite.Suite) *etcd {
	t.Helper()
	e := &etcd{host: s.EmptyHost(t, "etcd1", hosts.None), ca: newAuthority(t, "Site etcd", nil)}
	programs, err := s.Builder.Etcd(t.Context(), runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"etcd", "etcdctl"} {
		if err := e.host.CopyIn(t.Context(), filepath.Join(programs, p), "/usr/local/bin/"+p); err != nil {
			t.Fatal(err)
		}
	}
	const dir = "/etc/etcd/"
	crt, key := e.ca.issue(t, "etcd1", "subjectAltName=IP:"+e.host.IP.String(), "extendedKeyUsage=serverAuth")
	put(t, e.host, dir+"ca.crt", e.ca.crt(t))
	put(t, e.host, dir+"server.crt", crt)
	put(t, e.host, dir+"server.key", key)
	e.clientFiles(t, e.host)
	put(t, e.host, "/etc/systemd/system/etcd.service", []byte("[Service]\nType=notify\nExecStart=/usr/local/bin/etcd --name=site --data-dir=/var/lib/site-etcd"+
		" --listen-client-urls="+e.endpoint()+" --advertise-client-urls="+e.endpoint()+" --listen-peer-urls=http://127.0.0.1:2380"+
		" --initial-advertise-peer-urls=http://127.0.0.1:2380 --initial-cluster=site=http://127.0.0.1:2380"+
		" --cert-file="+dir+"server.crt --key-file="+dir+"server.key --client-cert-auth --trusted-ca-file="+dir+"ca.crt\n"))
	e.run(t, "start")
	return e
}

// run starts or stops it.
func (e *etcd) run(t *testing.T, verb string) {
	t.Helper()
	if err := e.host.Run(t.Context(), "systemctl", verb, "etcd.service"); err != nil {
		t.Fatal(err)
	}
}

func (e *etcd) endpoint() string { return "https://" + e.host.IP.String() + ":2379" }

// clientFiles gives a host what it needs to reach this etcd, and says where.
func (e *etcd) clientFiles(t *testing.T, h *hosts.Host) string {
	t.Helper()
	const dir = "/etc/site/etcd"
	crt, key := e.ca.issue(t, "client-"+h.Name, "extendedKeyUsage=clientAuth")
	put(t, h, path.Join(dir, "ca.crt"), e.ca.crt(t))
	put(t, h, path.Join(dir, "client.crt"), crt)
	put(t, h, path.Join(dir, "client.key"), key)
	return dir
}

// keys counts what Kubernetes has stored.
func (e *etcd) keys(t *testing.T) int {
	t.Helper()
	const dir = "/etc/site/etcd/"
	out, err := e.host.Output(t.Context(), "etcdctl", "--endpoints="+e.endpoint(), "--cacert="+dir+"ca.crt", "--cert="+dir+"client.crt", "--key="+dir+"client.key",
		"get", "/registry/", "--prefix", "--keys-only")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(out, "/registry/")
}
