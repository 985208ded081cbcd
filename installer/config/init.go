package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// LoadInit makes the configuration of `init` out of flags, the file that they name, and defaults. All problems are reported at once.
func LoadInit(f *InitFlags, read ReadFile, env Environment) (*Init, error) {
	if err := refuseMixed(f.set, ownFlags(&InitFlags{})); err != nil {
		return nil, err
	}
	docs, err := readDocuments(f.Config, read)
	if err != nil {
		return nil, err
	}
	if f.Config == "" {
		if docs, err = f.documents(); err != nil {
			return nil, usage(err)
		}
	} else if docs.init == nil && docs.cluster == nil {
		return nil, usage(fmt.Errorf("%s: has neither InitConfiguration nor ClusterConfiguration", f.Config))
	}
	if docs.init == nil {
		docs.init = &InitConfiguration{}
	}
	if docs.cluster == nil {
		docs.cluster = &ClusterConfiguration{}
	}
	if docs.controlPlaneTimeout != nil {
		docs.init.Timeouts = &TimeoutOverrides{ControlPlaneComponentHealthCheck: docs.controlPlaneTimeout}
	}
	var p problems
	c := &Init{
		Cluster:                 *docs.cluster,
		NodeRegistration:        docs.init.NodeRegistration,
		LocalAPIEndpoint:        docs.init.LocalAPIEndpoint,
		BootstrapTokens:         docs.init.BootstrapTokens,
		CertificateKey:          docs.init.CertificateKey,
		UploadCerts:             f.UploadCerts,
		SkipPhases:              names(overrideList(f.SkipPhases, docs.init.SkipPhases)),
		PatchesDir:              patchesDir(f.PatchesDir, docs.init.Patches),
		Timeouts:                timeouts(docs.init.Timeouts, &p),
		KubeletConfig:           docs.kubelet,
		KubeProxyConfig:         docs.kubeProxy,
		DNSType:                 docs.dns,
		Audit:                   docs.audit,
		IgnorePreflightErrors:   names(f.IgnorePreflightErrors, docs.init.NodeRegistration.IgnorePreflightErrors),
		DryRun:                  f.DryRun || docs.init.DryRun,
		SkipTokenPrint:          f.SkipTokenPrint,
		SkipCertificateKeyPrint: f.SkipCertificateKeyPrint,
	}
	if c.Audit == nil {
		c.Audit = &AuditPolicy{}
	}
	c.Audit.validate(&p)
	if c.Audit.Path != "" && !c.Cluster.FeatureGates[auditGate] {
		p.add("auditPolicy.path", "means nothing without featureGates.Auditing: true")
	}
	c.NodeRegistration.Name = override(f.NodeName, c.NodeRegistration.Name)
	c.NodeRegistration.IgnorePreflightErrors = nil // said once, in IgnorePreflightErrors
	if f.CertValidity != 0 {
		c.Cluster.CertificateValidityPeriod = &metav1.Duration{Duration: f.CertValidity}
	}
	c.VirtualIP = f.virtualIP(&c.Cluster, &p)
	c.setDefaults(env, &p)
	c.checkVirtualIP(env.Addresses, &p)
	c.validate(&p)
	if err := p.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// documents is what the flags would be as a file.
func (f *InitFlags) documents() (*documents, error) {
	gates, err := parseGates(f.FeatureGates)
	if err != nil {
		return nil, err
	}
	d := &documents{
		init: &InitConfiguration{
			NodeRegistration: NodeRegistration{CRISocket: f.CRISocket},
			LocalAPIEndpoint: APIEndpoint{AdvertiseAddress: f.AdvertiseAddress, BindPort: f.BindPort},
			CertificateKey:   f.CertificateKey,
		},
		cluster: &ClusterConfiguration{
			KubernetesVersion:    f.KubernetesVersion,
			ControlPlaneEndpoint: f.ControlPlaneEndpoint,
			APIServer:            APIServer{CertSANs: f.CertSANs},
			CertificatesDir:      f.CertificatesDir,
			ImageRepository:      f.ImageRepository,
			FeatureGates:         gates,
			Networking:           Networking{ServiceSubnet: f.ServiceSubnet, PodSubnet: f.PodSubnet, DNSDomain: f.DNSDomain},
		},
	}
	token := BootstrapToken{Token: f.Token}
	if f.set == nil || f.set.Changed("token-ttl") {
		token.TTL = &metav1.Duration{Duration: f.TokenTTL}
	}
	d.init.BootstrapTokens = []BootstrapToken{token}
	return d, nil
}

func parseGates(text string) (map[string]bool, error) {
	if text == "" {
		return nil, nil
	}
	gates := map[string]bool{}
	for entry := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(entry), "=")
		on, err := strconv.ParseBool(value)
		if !ok || err != nil || name == "" {
			return nil, fmt.Errorf("--feature-gates: %q is not name=true or name=false", entry)
		}
		gates[name] = on
	}
	// As kubeadm up to v1.12 did, of flags only.
	if gates["HighAvailability"] {
		gates["StoreCertsInSecrets"] = true
	}
	if gates["StoreCertsInSecrets"] {
		gates["SelfHosting"] = true
	}
	return gates, nil
}

func (c *Init) setDefaults(env Environment, p *problems) {
	cl := &c.Cluster
	cl.KubernetesVersion = bundledVersion(cl.KubernetesVersion, env.KubernetesVersion, p)
	cl.Networking.ServiceSubnet = override(cl.Networking.ServiceSubnet, DefaultServiceSubnet)
	cl.Networking.DNSDomain = override(cl.Networking.DNSDomain, DefaultDNSDomain)
	cl.CertificatesDir = override(cl.CertificatesDir, DefaultCertificatesDir)
	cl.ImageRepository = override(cl.ImageRepository, override(env.ImageRepository, DefaultImageRepository))
	cl.ClusterName = override(cl.ClusterName, DefaultClusterName)
	cl.EncryptionAlgorithm = override(cl.EncryptionAlgorithm, DefaultKeyAlgorithm)
	if cl.CertificateValidityPeriod == nil {
		cl.CertificateValidityPeriod = &metav1.Duration{Duration: DefaultCertificateValidity}
	}
	if cl.CACertificateValidityPeriod == nil {
		cl.CACertificateValidityPeriod = &metav1.Duration{Duration: DefaultCAValidity}
	}
	if cl.Etcd.Local == nil && cl.Etcd.External == nil {
		cl.Etcd.Local = &LocalEtcd{}
	}
	if cl.Etcd.Local != nil {
		cl.Etcd.Local.DataDir = override(cl.Etcd.Local.DataDir, DefaultEtcdDataDir)
	}
	if len(c.BootstrapTokens) == 0 {
		c.BootstrapTokens = []BootstrapToken{{}}
	}
	for i := range c.BootstrapTokens {
		defaultToken(&c.BootstrapTokens[i])
	}
	defaultNode(&c.NodeRegistration, env, p)
	defaultPort(&c.LocalAPIEndpoint)
	cl.ControlPlaneEndpoint = endpoint("controlPlaneEndpoint", cl.ControlPlaneEndpoint, c.LocalAPIEndpoint.BindPort, p)

	excluded := append(ranges(cl.Networking.ServiceSubnet), ranges(cl.Networking.PodSubnet)...)
	advertise(&c.LocalAPIEndpoint, "localAPIEndpoint.advertiseAddress", env, nil, excluded, p)
	c.NodeIP = nodeIP(&c.NodeRegistration, net.ParseIP(c.LocalAPIEndpoint.AdvertiseAddress))
	cl.APIVersion, cl.Kind = groupV1beta4, "ClusterConfiguration"
}

func defaultPort(e *APIEndpoint) {
	if e.BindPort == 0 {
		e.BindPort = DefaultBindPort
	}
}

// advertise fills in the address that the API server of this node advertises. 0.0.0.0 and :: ask for the default, as in kubeadm.
func advertise(e *APIEndpoint, field string, env Environment, toward net.IP, excluded []*net.IPNet, p *problems) {
	if e.AdvertiseAddress != "" {
		ip := net.ParseIP(e.AdvertiseAddress)
		if ip == nil {
			p.add(field, "%q is not an IP address", e.AdvertiseAddress)
			return
		}
		if !ip.IsUnspecified() {
			p.unicast(field, ip)
			return
		}
	}
	ip, err := NodeAddress(env.Addresses, env.DefaultRouteIP, toward, excluded...)
	if err != nil {
		p.add(field, "%v; say which one the API server advertises with --apiserver-advertise-address", err)
		return
	}
	e.AdvertiseAddress = ip.String()
}

func defaultNode(r *NodeRegistration, env Environment, p *problems) {
	r.Name = strings.ToLower(strings.TrimSpace(override(r.Name, env.Hostname)))
	r.CRISocket = socket(override(r.CRISocket, override(env.CRISocket, DefaultCRISocket)), "nodeRegistration.criSocket", p)
	r.ImagePullPolicy = corev1.PullPolicy(override(string(r.ImagePullPolicy), string(corev1.PullIfNotPresent)))
	if r.ImagePullSerial == nil {
		r.ImagePullSerial = ptr.To(true)
	}
}

func defaultToken(t *BootstrapToken) {
	if t.TTL == nil && t.Expires == nil {
		t.TTL = &metav1.Duration{Duration: DefaultTokenTTL}
	}
	if len(t.Usages) == 0 {
		t.Usages = DefaultTokenUsages()
	}
	if len(t.Groups) == 0 {
		t.Groups = []string{DefaultTokenGroup}
	}
}

// bundledVersion settles the version: a bundle installs its own. A label of kubeadm ("stable-1") means whatever is at hand.
func bundledVersion(given, bundle string, p *problems) string {
	const field = "kubernetesVersion"
	if isLabel(given) {
		if bundle == "" {
			p.add(field, "is needed: neither the configuration nor a bundle says it")
		}
		return bundle
	}
	v, err := parseVersion(given)
	if err != nil {
		p.add(field, "%v", err)
		return given
	}
	if bundle != "" && v != bundle {
		p.add(field, "%s is not what this bundle holds, which is %s: leave the version out, or use a bundle made by `bundler build --version %s`", v, bundle, v)
	}
	return v
}

// isLabel says that a version is left to others: kubeadm asks a server then, and a bundle says its own.
func isLabel(version string) bool {
	return slices.Contains([]string{"", "stable", "stable-1", "latest", "latest-1"}, version)
}

var errVersion = errors.New(`is not a version such as "v1.34.4"`)
