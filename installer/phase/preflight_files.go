package phase

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"kubebundle/installer/pki"
	"kubebundle/manifests"
	"kubebundle/release"
)

const resetFix = "./install reset"

// own finds out what an earlier run of this installer has left: static pods that are byte for byte those that would be written now,
// and a kubelet that runs with files which only an installation of this cluster makes.
func (in *inspection) own(ctx context.Context) {
	in.ownManifests = map[string]bool{}
	if in.s.Init != nil {
		c, n, err := in.s.initCluster(ctx, in.r)
		if err != nil {
			return // whoever needs them reports it
		}
		for _, comp := range append(components(), string(release.Etcd)) {
			if comp == string(release.Etcd) && c.Etcd.External != nil {
				continue
			}
			f, err := in.s.staticPod(c, n, comp, in.r)
			if err != nil {
				continue
			}
			have, err := in.r.ReadFile(f.Path)
			if selfHosted(in.r, comp) {
				have, err = in.r.ReadFile(path.Join(selfHostedDir, comp+".yaml"))
			}
			in.ownManifests[comp] = err == nil && bytes.Equal(have, f.Data)
		}
		in.ownVirtualIP(ctx)
	}
	config := "/var/lib/kubelet/config.yaml"
	if in.minor() < 11 { // what it reads is among its unit's files
		config = path.Join(systemdDir, kubeletUnit+".d", "20-kubebundle.conf")
	}
	in.kubeletOurs = exists(in.r, config) && in.unitOurs() &&
		(in.ownManifests[string(release.APIServer)] || in.s.Join != nil && exists(in.r, kubeletConf))
	if in.s.Join != nil && in.s.Join.ControlPlane != nil && in.unitOurs() && (exists(in.r, kubeletConf) || exists(in.r, bootstrapConf)) {
		// The cluster is not known yet, so what lies there cannot be compared: its kubelet is that of an earlier run.
		for _, comp := range append(components(), string(release.Etcd)) {
			in.ownManifests[comp] = exists(in.r, path.Join(manifestsDir, comp+".yaml"))
		}
	}
	// A join that was cut off while the kubelet was introducing itself.
	in.kubeletOurs = in.kubeletOurs || in.s.Join != nil && in.unitOurs() && exists(in.r, bootstrapConf)
}

// unitOurs compares the kubelet's unit with the bundle's.
func (in *inspection) unitOurs() bool {
	for _, f := range manifests.KubeletUnits(in.s.version()) {
		have, err := in.r.ReadFile(path.Join(systemdDir, f.Path))
		if err != nil || !bytes.Equal(have, f.Data) {
			return false
		}
	}
	return true
}

// ports must be free, or held by what an earlier run of ours has started.
func (in *inspection) ports(ctx context.Context) {
	st, err := in.r.UnitState(ctx, kubeletUnit)
	running := err == nil && st.Active && in.kubeletOurs
	for _, p := range in.wantedPorts() {
		free, err := in.r.PortFree(p.number)
		if err == nil && free || running && (p.owner == "kubelet" || in.ownManifests[p.owner]) {
			continue
		}
		check := fmt.Sprintf("Port-%d", p.number)
		if err != nil {
			in.failAdvise(check, "", "port %d cannot be tried: %v", p.number, err)
			continue
		}
		in.add(Problem{
			Check: check, Level: LevelError, Message: fmt.Sprintf("port %d, which %s needs, is in use", p.number, p.owner),
			Advice: fmt.Sprintf("find out by whom with: ss -ltnp 'sport = :%d'", p.number),
		})
	}
}

type port struct {
	number int
	owner  string
}

// wantedPorts are kubeadm's (kubernetes-facts 8.4). The controller manager and the scheduler moved to their secure ports in v1.16.
func (in *inspection) wantedPorts() []port {
	out := []port{{10250, "kubelet"}}
	if !in.controlPlane() {
		return out
	}
	api := 6443
	if in.s.Init != nil && in.s.Init.LocalAPIEndpoint.BindPort != 0 {
		api = int(in.s.Init.LocalAPIEndpoint.BindPort)
	}
	if in.s.Join != nil && in.s.Join.ControlPlane.LocalAPIEndpoint.BindPort != 0 {
		api = int(in.s.Join.ControlPlane.LocalAPIEndpoint.BindPort)
	}
	kcm, scheduler := 10257, 10259
	if in.minor() < 16 {
		kcm, scheduler = 10252, 10251
	}
	out = append(out, port{api, string(release.APIServer)}, port{kcm, string(release.ControllerManager)}, port{scheduler, string(release.Scheduler)})
	if in.s.Init != nil && in.s.Init.VirtualIP != nil {
		out = append(out, port{in.s.Init.VirtualIP.Port, release.HAProxy})
	}
	if in.s.Init == nil || in.s.Init.Cluster.Etcd.External == nil {
		out = append(out, port{2379, string(release.Etcd)}, port{2380, string(release.Etcd)})
	}
	return out
}

// fileCheck is kubeadm's name of a check of a path: "FileAvailable--etc-kubernetes-kubelet.conf".
func fileCheck(kind, p string) string { return kind + "-" + strings.ReplaceAll(p, "/", "-") }

// manifests of others would be started by the kubelet, or overwritten.
func (in *inspection) manifests(context.Context) {
	if in.s.Join != nil {
		entries, err := in.r.ReadDir(manifestsDir)
		begun := in.s.Join.ControlPlane != nil && in.beganControlPlane()
		if err == nil && len(entries) > 0 && !begun {
			in.fail(fileCheck("DirAvailable", manifestsDir), resetFix, "%s is not empty: the kubelet would start what lies there", manifestsDir)
		}
		return
	}
	for _, comp := range slices.Sorted(keys(in.ownManifests)) {
		p := path.Join(manifestsDir, comp+".yaml")
		if exists(in.r, p) && !in.ownManifests[comp] {
			in.fail(fileCheck("FileAvailable", p), resetFix, "%s is there and is not what this run would write: of another cluster, version or configuration", p)
		}
	}
}

// beganControlPlane reports whether an earlier run of this join has written static pods: they are for the kubelet of its unit, and the
// certificates beside them are of the cluster that is joined.
func (in *inspection) beganControlPlane() bool {
	ca, err := in.r.ReadFile(in.s.Join.CACertPath)
	return err == nil && in.pinned(ca) && in.unitOurs()
}

func keys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// etcdDir with data but without our etcd is somebody's data.
func (in *inspection) etcdDir(context.Context) {
	if in.s.Init == nil || in.s.Init.Cluster.Etcd.Local == nil || in.ownManifests[string(release.Etcd)] {
		return
	}
	dir := in.s.Init.Cluster.Etcd.Local.DataDir
	entries, err := in.r.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return
	}
	in.fail(fileCheck("DirAvailable", dir), fmt.Sprintf("mv %s %s.old", dir, dir), "%s is not empty: it holds the data of another etcd", dir)
}

// credentials of another cluster, or that do not fit what is asked for.
func (in *inspection) credentials(ctx context.Context) {
	if in.s.Join != nil {
		in.joinCredentials()
		return
	}
	if in.s.Init == nil {
		return
	}
	c, n, err := in.s.initCluster(ctx, in.r)
	if err != nil {
		in.failAdvise("Configuration", "", "%v", err)
		return
	}
	if _, err := in.s.patches(in.r); err != nil {
		in.failAdvise("Configuration", "", "%v", err)
	}
	specs, err := manifests.Certificates(c, n)
	if err != nil {
		in.failAdvise("Configuration", "", "%v", err)
		return
	}
	found, err := in.s.readCerts(c, specs, in.r)
	in.misfits(err)
	in.externalCA(c, specs, found)
	in.externalKubeconfigs(c, n, found["ca"])
	_, _, err = readServiceAccount(c, in.r)
	in.misfits(err)
	for _, k := range manifests.Kubeconfigs(c, n) {
		have, err := in.r.ReadFile(k.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if ca := found["ca"]; ca == nil {
			err = errors.New("it belongs to another cluster: there is no CA in " + c.CertificatesDir)
		} else if err == nil {
			err = in.s.checkKubeconfig(k, have, ca, in.r)
		}
		if err != nil {
			in.misfits(misfit(k.Path, path.Base(k.Path), "ca", err))
		}
	}
	if p := bootstrapConf; exists(in.r, p) {
		in.fail(fileCheck("FileAvailable", p), resetFix, "%s is there: this host is joining a cluster as a worker", p)
	}
}

// externalCA: where the CA's key is kept elsewhere, nothing can be signed here, so everything must be there.
func (in *inspection) externalCA(c *manifests.Cluster, specs []manifests.CertSpec, found map[string]*pki.Pair) {
	for _, spec := range specs {
		ca := found[spec.CA]
		crt, _ := certPaths(c, spec)
		if spec.CA != "" && found[spec.Name] == nil && ca != nil && ca.Key == nil {
			in.failAdvise(fileCheck("FileAvailable", crt), "put it there, or put the CA's key beside the CA",
				"%s is missing, and the key of its CA is not on this host to make it", crt)
		}
	}
}

// externalKubeconfigs: the same of the certificates in kubeconfigs.
func (in *inspection) externalKubeconfigs(c *manifests.Cluster, n *manifests.Node, ca *pki.Pair) {
	if ca == nil || ca.Key != nil {
		return
	}
	for _, k := range manifests.Kubeconfigs(c, n) {
		if exists(in.r, k.Path) || k.Name == "super-admin" && exists(in.r, adminConf) || !in.s.makes("kubeconfig", k.Name) {
			continue
		}
		in.failAdvise(fileCheck("FileAvailable", k.Path), "./install certs generate-csr makes one that lacks only its certificate; or put the CA's key beside the CA",
			"%s is missing, and the key of its CA (%s) is not on this host to sign its certificate", k.Path, path.Join(c.CertificatesDir, "ca.key"))
	}
}

// externalEtcd looks at the files with which the API server is to reach an etcd that others run, and then asks that etcd.
func (in *inspection) externalEtcd(ctx context.Context) {
	if in.s.Init == nil || in.s.Init.Cluster.Etcd.External == nil {
		return
	}
	const check = "ExternalEtcdClientCertificates" // kubeadm's name
	x := in.s.Init.Cluster.Etcd.External
	read := func(field, p string) []byte {
		if p == "" {
			return nil
		}
		data, err := in.r.ReadFile(p)
		if err != nil {
			in.failAdvise(check, "copy it from where the etcd was made", "etcd.external.%s: %v", field, err)
		}
		return data
	}
	caPEM, certPEM, keyPEM := read("caFile", x.CAFile), read("certFile", x.CertFile), read("keyFile", x.KeyFile)
	var ca *x509.Certificate
	if caPEM != nil {
		list, err := pki.ParseCertificates(caPEM)
		if err != nil {
			in.failAdvise(check, "", "etcd.external.caFile %s: %v", x.CAFile, err)
		} else {
			ca = list[0]
		}
	}
	asked := x.Endpoints
	if len(x.HTTPEndpoints) > 0 { // then the others speak gRPC alone
		asked = x.HTTPEndpoints
	}
	if (certPEM == nil) != (x.CertFile == "") || (keyPEM == nil) != (x.KeyFile == "") || (caPEM == nil) != (x.CAFile == "") {
		return
	}
	if certPEM == nil || keyPEM == nil {
		in.externalEtcdAnswers(ctx, asked, caPEM, nil, nil)
		return
	}
	pair, err := pki.Parse(certPEM, keyPEM)
	if err != nil {
		in.failAdvise(check, "copy both files of one pair", "etcd.external.certFile %s: %v", x.CertFile, err)
		return
	}
	if err := pki.CheckClient(pair.Cert, in.s.Now); err != nil {
		in.failAdvise(check, "have a client certificate made by who runs the etcd", "etcd.external.certFile %s: %v", x.CertFile, err)
	}
	if ca != nil && pair.Cert.CheckSignatureFrom(ca) != nil {
		in.warn(check, "that is right only where the etcd trusts another CA for clients than the one that signed its own certificate",
			"%s is not signed by the CA in %s", x.CertFile, x.CAFile)
	}
	in.externalEtcdAnswers(ctx, asked, caPEM, certPEM, keyPEM)
}

// externalEtcdAnswers asks every endpoint. The API server can do without some of them, so only that none answers is an error.
func (in *inspection) externalEtcdAnswers(ctx context.Context, endpoints []string, ca, cert, key []byte) {
	if in.s.EtcdVersion == nil {
		return
	}
	const check = "ExternalEtcdVersion" // kubeadm's name
	var silent []string
	for _, endpoint := range endpoints {
		if _, err := in.s.EtcdVersion(ctx, endpoint, ca, cert, key); err != nil {
			silent = append(silent, err.Error())
		}
	}
	switch {
	case len(silent) == 0:
	case len(silent) == len(endpoints):
		in.failAdvise(check, "is it running, is the address right, and does it trust this client? From here: curl --cacert CA --cert CERT --key KEY "+endpoints[0]+"/version",
			"no endpoint of the external etcd answers: %s", strings.Join(silent, "; "))
	default:
		in.warn(check, "the cluster lives on fewer members than it should", "%d of %d endpoints of the external etcd do not answer: %s", len(silent), len(endpoints), strings.Join(silent, "; "))
	}
}

// misfits reports every MisfitError of a joined error.
func (in *inspection) misfits(err error) {
	for _, e := range flatten(err) {
		var m *MisfitError
		if !errors.As(e, &m) {
			in.failAdvise("Configuration", "", "%v", e)
			continue
		}
		in.fail(fileCheck("FileAvailable", m.Path), m.fix(), "%s: %v", m.Path, m.Err)
	}
}

func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range j.Unwrap() {
			out = append(out, flatten(e)...)
		}
		return out
	}
	return []error{err}
}

// joinCredentials: a node that has joined this cluster through this address may run join again; every other one is refused.
func (in *inspection) joinCredentials() {
	ca, err := in.r.ReadFile(in.s.Join.CACertPath)
	if err == nil && !in.pinned(ca) {
		in.fail(fileCheck("FileAvailable", in.s.Join.CACertPath), resetFix, "%s is the CA of another cluster than the one in --discovery-token-ca-cert-hash", in.s.Join.CACertPath)
	}
	if err := in.joinedElsewhere(ca); err != nil {
		in.fail(fileCheck("FileAvailable", kubeletConf), resetFix, "%s: %v", kubeletConf, err)
	}
}

func (in *inspection) joinedElsewhere(ca []byte) error {
	data, err := in.r.ReadFile(kubeletConf)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	have, err := parseKubeconfig(data, path.Dir(kubeletConf), in.r)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // its certificate is gone; the kubelet will introduce itself again
	case err != nil:
		return err
	case !in.pinned(have.ca) || ca != nil && !containsPEM(have.ca, ca):
		return errors.New("this host is a node of another cluster")
	case in.s.joinEndpoint() != "" && !slices.Contains(in.joinServers(), endpointOf(have.server)):
		return fmt.Errorf("this host has joined through %s, not %s", endpointOf(have.server), in.s.joinEndpoint())
	}
	return nil
}

// joinServers are the addresses that the kubelet of this node may have: the one that was given, and on a control plane its own.
func (in *inspection) joinServers() []string {
	out := []string{in.s.joinEndpoint()}
	if cp := in.s.Join.ControlPlane; cp != nil {
		out = append(out, net.JoinHostPort(cp.LocalAPIEndpoint.AdvertiseAddress, strconv.Itoa(int(cp.LocalAPIEndpoint.BindPort))))
	}
	return out
}

// pinned reports whether a CA is one that the user named; without pins every CA may be.
func (in *inspection) pinned(caPEM []byte) bool {
	bt := in.s.Join.Discovery.BootstrapToken
	if bt == nil || len(bt.CACertHashes) == 0 || bt.UnsafeSkipCAVerification {
		return true
	}
	p, err := pki.Parse(caPEM, nil)
	return err == nil && pki.MatchPins(p.Cert, bt.CACertHashes)
}

// auditPolicy must be there where a configuration names one: the API server's pod does not start without the file.
func (in *inspection) auditPolicy(ctx context.Context) {
	if in.s.Init == nil {
		return
	}
	c, _, err := in.s.initCluster(ctx, in.r)
	if err != nil || !c.Auditing() || c.Audit.Path == "" || exists(in.r, c.Audit.Path) {
		return
	}
	in.failAdvise(fileCheck("FileExisting", c.Audit.Path), "copy it there, or leave auditPolicy.path out: then the metadata of every request are logged",
		"%s, the audit policy, is not there", c.Audit.Path)
}
