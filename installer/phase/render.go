package phase

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"kubebundle/bundle"
	"kubebundle/installer/config"
	"kubebundle/installer/host"
	"kubebundle/manifests"
	"kubebundle/release"
)

// resolvedConf is where systemd-resolved keeps the real name servers; /etc/resolv.conf names only its stub, which pods cannot reach.
const resolvedConf = "/run/systemd/resolve/resolv.conf"

// initCluster gives the cluster and the node of an init, made on first use from configuration, contract and host.
func (s *State) initCluster(ctx context.Context, r host.Reader) (*manifests.Cluster, *manifests.Node, error) {
	if s.Cluster != nil && s.Node != nil {
		return s.Cluster, s.Node, nil
	}
	if s.Init == nil {
		return nil, nil, errors.New("plan init: there is no init configuration")
	}
	contract, err := s.contract()
	if err != nil {
		return nil, nil, err
	}
	c, err := renderCluster(s.Init, contract, s.Release)
	if err != nil {
		return nil, nil, err
	}
	c.ExternalCA = exists(r, path.Join(c.CertificatesDir, "ca.crt")) && !exists(r, path.Join(c.CertificatesDir, "ca.key"))
	n, err := s.renderNode(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	n.ControlPlane = true
	n.AdvertiseAddress = net.ParseIP(s.Init.LocalAPIEndpoint.AdvertiseAddress)
	n.BindPort = int(s.Init.LocalAPIEndpoint.BindPort)
	if n.AdvertiseAddress == nil {
		return nil, nil, fmt.Errorf("advertise address %q: not an IP address; give one with --apiserver-advertise-address", s.Init.LocalAPIEndpoint.AdvertiseAddress)
	}
	s.Cluster, s.Node = c, n
	return c, n, nil
}

// joinNode gives the node of a join, made on first use.
func (s *State) joinNode(ctx context.Context, r host.Reader) (*manifests.Node, error) {
	if s.Node != nil {
		return s.Node, nil
	}
	n, err := s.renderNode(ctx, r)
	if err != nil {
		return nil, err
	}
	if cp := s.Join.ControlPlane; cp != nil {
		n.ControlPlane, n.AdvertiseAddress, n.BindPort = true, net.ParseIP(cp.LocalAPIEndpoint.AdvertiseAddress), int(cp.LocalAPIEndpoint.BindPort)
		s.Node = n
		return n, nil
	}
	if n.AdvertiseAddress = s.Join.NodeIP; n.AdvertiseAddress == nil {
		// The configuration could not tell: with file discovery the cluster's address is known only now.
		var toward net.IP
		if h, _, err := net.SplitHostPort(s.joinEndpoint()); err == nil {
			toward = net.ParseIP(h)
		}
		n.AdvertiseAddress, err = config.NodeAddress(s.Facts.Addresses, s.Facts.DefaultRouteIP, toward)
		if err != nil {
			return nil, fmt.Errorf("find the node's address: %w; choose one with kubeletExtraArgs node-ip in --config", err)
		}
	}
	s.Node = n
	return n, nil
}

// renderNode is what the registration and the host say about the node, for init and join alike.
func (s *State) renderNode(ctx context.Context, r host.Reader) (*manifests.Node, error) {
	f, err := s.facts(ctx, r)
	if err != nil {
		return nil, err
	}
	reg := s.registration()
	n := &manifests.Node{
		Name: reg.Name, Hostname: strings.ToLower(f.Hostname), CRISocket: reg.CRISocket, Taints: reg.Taints,
		KubeletExtraArgs: args(reg.KubeletExtraArgs), CgroupVersion: f.CgroupVersion, Proxy: proxyEnv(s.Environ),
	}
	if f.ResolvedActive {
		n.ResolvConf = resolvedConf
	}
	for _, dir := range manifests.ExtraCADirs(s.version()) {
		if fi, err := r.Stat(dir); err == nil && fi.IsDir() {
			n.CADirs = append(n.CADirs, dir)
		}
	}
	// The kubelet and the runtime must agree on the driver; a kubelet before v1.34 does not ask. Where the runtime cannot be asked now
	// (a dry run on another machine), the version's default stands.
	if info, err := s.runtimeInfo(ctx); err == nil {
		n.CgroupDriver = info.CgroupDriver
	}
	return n, nil
}

// renderCluster turns the configuration into what is rendered, with the images that the bundle really has.
func renderCluster(cfg *config.Init, contract *bundle.Contract, rel *release.Release) (*manifests.Cluster, error) {
	cc := cfg.Cluster
	images, err := contractImages(contract, cc)
	if err != nil {
		return nil, err
	}
	c := &manifests.Cluster{
		Version: rel.Version, Name: cc.ClusterName, ControlPlaneEndpoint: cc.ControlPlaneEndpoint,
		CertificatesDir: cc.CertificatesDir, ImageRepository: cc.ImageRepository,
		ServiceSubnet: cc.Networking.ServiceSubnet, PodSubnet: cc.Networking.PodSubnet, DNSDomain: cc.Networking.DNSDomain,
		Images: images, APIServer: component(cc.APIServer.ControlPlaneComponent),
		ControllerManager: component(cc.ControllerManager), Scheduler: component(cc.Scheduler),
		DNSImage: manifests.ImageMeta(cc.DNS.ImageMeta), DNSDisabled: cc.DNS.Disabled, ProxyDisabled: cc.Proxy.Disabled,
		CertSANs: cc.APIServer.CertSANs, Etcd: etcdOf(cc.Etcd), FeatureGates: cc.FeatureGates, KeyAlgorithm: cc.EncryptionAlgorithm,
		HealthCheckTimeout: cfg.Timeouts.ControlPlaneComponentHealthCheck,
		KubeletConfig:      cfg.KubeletConfig, KubeProxyConfig: cfg.KubeProxyConfig,
	}
	if cfg.Audit != nil {
		c.Audit = manifests.AuditPolicy{Path: cfg.Audit.Path, LogDir: cfg.Audit.LogDir, LogMaxAge: cfg.Audit.LogMaxAge}
	}
	_, coredns := images[string(release.CoreDNS)]
	_, kubedns := images[string(release.KubeDNS)]
	c.KubeDNS = kubedns && !coredns
	if have := dnsType(c.KubeDNS); cfg.DNSType != "" && cfg.DNSType != have {
		return nil, fmt.Errorf("dns.type %s: the bundle holds %s; build one with `bundler build --dns %s`, or leave the field (the CoreDNS gate) out",
			cfg.DNSType, have, strings.ToLower(cfg.DNSType))
	}
	if cc.CertificateValidityPeriod != nil {
		c.CertificateValidity = cc.CertificateValidityPeriod.Duration
	}
	if cc.CACertificateValidityPeriod != nil {
		c.CACertificateValidity = cc.CACertificateValidityPeriod.Duration
	}
	return c, nil
}

func dnsType(kubeDNS bool) string {
	if kubeDNS {
		return "kube-dns"
	}
	return "CoreDNS"
}

// componentImages maps components to the bundle's references.
func componentImages(contract *bundle.Contract) map[string]string {
	out := map[string]string{}
	for _, img := range contract.Images {
		if img.Component != "" {
			out[img.Component] = img.Ref
		}
	}
	return out
}

// contractImages maps components to the bundle's references, and refuses a configuration that asks for others: nothing can be pulled.
func contractImages(contract *bundle.Contract, cc config.ClusterConfiguration) (map[string]string, error) {
	out := componentImages(contract)
	refuse := func(what, want, ref string) error {
		return fmt.Errorf("%s %s: the bundle has %s; build a bundle with that image, or leave the setting out", what, want, ref)
	}
	if ref := out[string(release.APIServer)]; ref != "" && cc.ImageRepository != "" && !strings.HasPrefix(ref, cc.ImageRepository+"/") {
		return nil, refuse("image repository", cc.ImageRepository, ref)
	}
	check := func(what string, c release.Component, m config.ImageMeta) error {
		ref := out[string(c)]
		if m.ImageRepository != "" && !strings.HasPrefix(ref, m.ImageRepository+"/") {
			return refuse(what+" image repository", m.ImageRepository, ref)
		}
		if m.ImageTag != "" && !strings.HasSuffix(ref, ":"+m.ImageTag) {
			return refuse(what+" image tag", m.ImageTag, ref)
		}
		return nil
	}
	errs := []error{check("dns", release.CoreDNS, cc.DNS.ImageMeta)}
	if cc.Etcd.Local != nil {
		errs = append(errs, check("etcd", release.Etcd, cc.Etcd.Local.ImageMeta))
	}
	return out, errors.Join(errs...)
}

func component(c config.ControlPlaneComponent) manifests.Component {
	out := manifests.Component{ExtraArgs: args(c.ExtraArgs), ExtraEnvs: c.ExtraEnvs}
	for _, v := range c.ExtraVolumes {
		out.ExtraVolumes = append(out.ExtraVolumes, manifests.HostPathMount(v))
	}
	return out
}

func args(in []config.Arg) []manifests.Arg {
	var out []manifests.Arg
	for _, a := range in {
		out = append(out, manifests.Arg(a))
	}
	return out
}

func etcdOf(e config.Etcd) manifests.Etcd {
	var out manifests.Etcd
	if l := e.Local; l != nil {
		out.Image = manifests.ImageMeta(l.ImageMeta)
		out.DataDir, out.ServerCertSANs, out.PeerCertSANs = l.DataDir, l.ServerCertSANs, l.PeerCertSANs
		out.Local = manifests.Component{ExtraArgs: args(l.ExtraArgs), ExtraEnvs: l.ExtraEnvs}
	}
	if x := e.External; x != nil {
		out.External = &manifests.ExternalEtcd{
			Endpoints: x.Endpoints, HTTPEndpoints: x.HTTPEndpoints, CAFile: x.CAFile, CertFile: x.CertFile, KeyFile: x.KeyFile,
		}
	}
	return out
}

// proxyEnv is what static pods and kube-proxy inherit: kubeadm copies every variable whose name ends in _proxy, in either case.
func proxyEnv(environ []string) []corev1.EnvVar {
	var out []corev1.EnvVar
	for _, e := range environ {
		k, v, _ := strings.Cut(e, "=")
		if strings.HasSuffix(strings.ToLower(k), "_proxy") && v != "" {
			out = append(out, corev1.EnvVar{Name: k, Value: v})
		}
	}
	slices.SortFunc(out, func(a, b corev1.EnvVar) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// hasNameservers reports whether pods with the node's DNS would find a server: it reads the file that the kubelet hands to them.
func hasNameservers(n *manifests.Node, f host.Facts, r host.Reader) (bool, error) {
	if n.ResolvConf == "" {
		return len(f.Nameservers) > 0, nil
	}
	b, err := r.ReadFile(n.ResolvConf)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if w := strings.Fields(lines.Text()); len(w) > 1 && w[0] == "nameserver" {
			return true, nil
		}
	}
	return false, lines.Err()
}

// exists reports whether a path is there; one that cannot be looked at counts as there.
func exists(r host.Reader, p string) bool {
	_, err := r.Stat(p)
	return !errors.Is(err, fs.ErrNotExist)
}
