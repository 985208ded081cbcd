package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// InitFlags are the flags of `init`, named as kubeadm names them. A zero field means: not given.
type InitFlags struct {
	AdvertiseAddress        string
	BindPort                int32
	CertSANs                []string
	CertificatesDir         string
	CertificateKey          string
	CertValidity            time.Duration // ours: no configuration before v1beta4 can say it
	Config                  string        // path of a file; excludes the flags that the file can say
	ControlPlaneEndpoint    string
	CRISocket               string
	DryRun                  bool
	FeatureGates            string // "A=true,B=false"
	IgnorePreflightErrors   []string
	ImageRepository         string
	KubernetesVersion       string
	NodeName                string
	PatchesDir              string
	PodSubnet               string
	ServiceSubnet           string
	DNSDomain               string
	SkipCertificateKeyPrint bool
	SkipPhases              []string
	SkipTokenPrint          bool
	Token                   string
	TokenTTL                time.Duration
	UploadCerts             bool
	VIP                     string
	VIPRouterID             int

	set *pflag.FlagSet
}

// AddFlags puts the flags on a flag set; what the user gave is in f after the set was parsed.
func (f *InitFlags) AddFlags(fs *pflag.FlagSet) {
	f.set = fs
	fs.StringVar(&f.AdvertiseAddress, "apiserver-advertise-address", "", "`IP` address that the API server advertises (default: the source address of the default route, or the node's only global address)")
	fs.Int32Var(&f.BindPort, "apiserver-bind-port", DefaultBindPort, "TCP port of the API server")
	fs.StringSliceVar(&f.CertSANs, "apiserver-cert-extra-sans", nil, "more IP addresses and DNS names for the API server's certificate")
	fs.StringVar(&f.CertificatesDir, "cert-dir", DefaultCertificatesDir, "`directory` of the certificates")
	certValidityFlag(fs, &f.CertValidity)
	fs.StringVar(&f.CertificateKey, "certificate-key", "", "key (64 hex `digits`) that encrypts the control plane's certificates in the kubeadm-certs Secret")
	fs.StringVar(&f.ControlPlaneEndpoint, "control-plane-endpoint", "", "stable `address` of the control plane: host or host:port, IP address or DNS name")
	fs.StringVar(&f.FeatureGates, "feature-gates", "", "feature gates as `name=true|false`, separated by commas")
	fs.StringVar(&f.ImageRepository, "image-repository", "", "`registry` in the names of the images (default: the one the bundle was built with)")
	fs.StringVar(&f.KubernetesVersion, "kubernetes-version", "", "Kubernetes `version`; only the bundle's own can be installed (default: the bundle's)")
	fs.StringVar(&f.PodSubnet, "pod-network-cidr", "", "address range of the pods, in `CIDR` form; nodes get their part of it")
	fs.StringVar(&f.ServiceSubnet, "service-cidr", DefaultServiceSubnet, "address range of Services, in `CIDR` form")
	fs.StringVar(&f.DNSDomain, "service-dns-domain", DefaultDNSDomain, "DNS `domain` of Services")
	fs.BoolVar(&f.SkipCertificateKeyPrint, "skip-certificate-key-print", false, "do not print the key of the kubeadm-certs Secret")
	fs.BoolVar(&f.SkipTokenPrint, "skip-token-print", false, "do not print the bootstrap token")
	fs.StringVar(&f.Token, "token", "", "bootstrap `token` to create, [a-z0-9]{6}.[a-z0-9]{16} (default: a random one)")
	fs.DurationVar(&f.TokenTTL, "token-ttl", DefaultTokenTTL, "`time` until the token is deleted; 0 means never")
	fs.BoolVar(&f.UploadCerts, "upload-certs", false, "upload the control plane's certificates to the kubeadm-certs Secret")
	fs.StringVar(&f.VIP, "vip", "", "virtual `IP` address of the control plane, which moves to another one when its holder is gone (keepalived and HAProxy, in bundles built with --vip)")
	fs.IntVar(&f.VIPRouterID, "vip-router-id", 51, "with --vip: `number` of the address on its network, 1 to 255, where other VRRP addresses have others")
	addNodeFlags(fs, &f.Config, &f.CRISocket, &f.NodeName, &f.PatchesDir, &f.DryRun, &f.IgnorePreflightErrors, &f.SkipPhases)
}

// certValidityFlag may stand beside --config, which can say it since v1beta4 only.
func certValidityFlag(fs *pflag.FlagSet, to *time.Duration) {
	fs.DurationVar(to, "cert-validity", 0, "`time` that this control plane's certificates live, at most as long as their CA (default: what the configuration says, else a year)")
}

// JoinFlags are the flags of `join`; the endpoint is its argument.
type JoinFlags struct {
	AdvertiseAddress         string
	BindPort                 int32
	CertificateKey           string
	CertValidity             time.Duration
	Config                   string
	ControlPlane             bool
	CRISocket                string
	DiscoveryFile            string
	DiscoveryToken           string
	CACertHashes             []string
	UnsafeSkipCAVerification bool
	DryRun                   bool
	IgnorePreflightErrors    []string
	NodeName                 string
	PatchesDir               string
	SkipPhases               []string
	TLSBootstrapToken        string
	Token                    string

	set *pflag.FlagSet
}

// AddFlags puts the flags on a flag set; what the user gave is in f after the set was parsed.
func (f *JoinFlags) AddFlags(fs *pflag.FlagSet) {
	f.set = fs
	fs.StringVar(&f.AdvertiseAddress, "apiserver-advertise-address", "", "with --control-plane: `IP` address that this node's API server advertises")
	fs.Int32Var(&f.BindPort, "apiserver-bind-port", DefaultBindPort, "with --control-plane: TCP port of this node's API server")
	certValidityFlag(fs, &f.CertValidity)
	fs.StringVar(&f.CertificateKey, "certificate-key", "", "with --control-plane: key (64 hex `digits`) of the kubeadm-certs Secret, as init printed it")
	fs.BoolVar(&f.ControlPlane, "control-plane", false, "make this node another control plane")
	fs.StringVar(&f.DiscoveryFile, "discovery-file", "", "`path` of a kubeconfig with the cluster's address and CA")
	fs.StringVar(&f.DiscoveryToken, "discovery-token", "", "`token` that proves the cluster's information")
	fs.StringSliceVar(&f.CACertHashes, "discovery-token-ca-cert-hash", nil, "public key pin of the cluster's CA, `sha256:<hex>`")
	fs.BoolVar(&f.UnsafeSkipCAVerification, "discovery-token-unsafe-skip-ca-verification", false, "trust the CA that the token signs, without a pin: whoever knows the token can pose as the cluster")
	fs.StringVar(&f.TLSBootstrapToken, "tls-bootstrap-token", "", "`token` with which the kubelet asks for its certificate")
	fs.StringVar(&f.Token, "token", "", "`token` for both --discovery-token and --tls-bootstrap-token")
	addNodeFlags(fs, &f.Config, &f.CRISocket, &f.NodeName, &f.PatchesDir, &f.DryRun, &f.IgnorePreflightErrors, &f.SkipPhases)
}

// ResetFlags are the flags of `reset`.
type ResetFlags struct {
	CertificatesDir       string
	CleanupTmpDir         bool
	Config                string
	CRISocket             string
	DryRun                bool
	Force                 bool
	IgnorePreflightErrors []string
	SkipPhases            []string

	set *pflag.FlagSet
}

// AddFlags puts the flags on a flag set; what the user gave is in f after the set was parsed.
func (f *ResetFlags) AddFlags(fs *pflag.FlagSet) {
	f.set = fs
	fs.StringVar(&f.CertificatesDir, "cert-dir", DefaultCertificatesDir, "`directory` of the certificates, which is emptied")
	fs.BoolVar(&f.CleanupTmpDir, "cleanup-tmp-dir", false, "also remove /etc/kubernetes/tmp")
	fs.StringVar(&f.Config, "config", "", "`path` of a configuration file (kubeadm.k8s.io, v1alpha1 to v1beta4)")
	fs.StringVar(&f.CRISocket, "cri-socket", "", "`path` of the container runtime's socket (default: the one the node was made with)")
	fs.BoolVar(&f.DryRun, "dry-run", false, "say what would be done, and do nothing")
	fs.BoolVarP(&f.Force, "force", "f", false, "do not ask")
	fs.StringSliceVar(&f.IgnorePreflightErrors, "ignore-preflight-errors", nil, "`checks` whose errors only warn, by name; \"all\" for all")
	fs.StringSliceVar(&f.SkipPhases, "skip-phases", nil, "`phases` to leave out")
}

// TokenFlags are the flags of `token create`.
type TokenFlags struct {
	Config           string
	CertificateKey   string
	Description      string
	Groups           []string
	PrintJoinCommand bool
	TTL              time.Duration
	Usages           []string

	set *pflag.FlagSet
}

// AddFlags puts the flags on a flag set; what the user gave is in f after the set was parsed.
func (f *TokenFlags) AddFlags(fs *pflag.FlagSet) {
	f.set = fs
	fs.StringVar(&f.Config, "config", "", "`path` of a configuration file (kubeadm.k8s.io, v1alpha1 to v1beta4)")
	fs.StringVar(&f.CertificateKey, "certificate-key", "", "with --print-join-command: print the command that joins a control plane with this key")
	fs.StringVar(&f.Description, "description", "", "what the token is for, in `words`")
	fs.StringSliceVar(&f.Groups, "groups", []string{DefaultTokenGroup}, "groups of whoever authenticates with the token")
	fs.BoolVar(&f.PrintJoinCommand, "print-join-command", false, "print the whole join command instead of the token")
	fs.DurationVar(&f.TTL, "ttl", DefaultTokenTTL, "`time` until the token is deleted; 0 means never")
	fs.StringSliceVar(&f.Usages, "usages", DefaultTokenUsages(), "what the token may be used for: signing, authentication")
}

func addNodeFlags(fs *pflag.FlagSet, config, criSocket, nodeName, patches *string, dryRun *bool, ignore, skip *[]string) {
	fs.StringVar(config, "config", "", "`path` of a configuration file (kubeadm.k8s.io, v1alpha1 to v1beta4)")
	fs.StringVar(criSocket, "cri-socket", "", "`path` of the container runtime's socket (default: the one that is found)")
	fs.StringVar(nodeName, "node-name", "", "`name` of the node (default: the host name)")
	fs.StringVar(patches, "patches", "", "`directory` with patches of what is rendered, named target[suffix][+patchtype].extension")
	fs.BoolVar(dryRun, "dry-run", false, "say what would be done, and do nothing")
	fs.StringSliceVar(ignore, "ignore-preflight-errors", nil, "`checks` whose errors only warn, by name; \"all\" for all")
	fs.StringSliceVar(skip, "skip-phases", nil, "`phases` to leave out")
}

// withConfig says which flags may stand beside --config: those that say something else than the file can. kubeadm's own list
// (cmd/kubeadm/app/apis/kubeadm/validation), with what our commands have in addition.
func withConfig(name string) bool {
	allowed := []string{
		"cert-validity", "config", "ignore-preflight-errors", "dry-run", "kubeconfig", "kubeconfig-dir", "node-name", "upload-certs", "output",
		"print-join-command", "rootfs", "vip", "vip-router-id", "yes", "help",
	}
	return slices.Contains(allowed, name) || strings.HasPrefix(name, "skip-")
}

// refuseMixed refuses flags beside --config that the file can say. Flags that are not ours (of the command, of the root command) do not
// collide with a file.
func refuseMixed(fs *pflag.FlagSet, ours func(string) bool) error {
	if fs == nil || !fs.Changed("config") {
		return nil
	}
	var mixed []string
	fs.Visit(func(f *pflag.Flag) {
		if ours(f.Name) && !withConfig(f.Name) {
			mixed = append(mixed, "--"+f.Name)
		}
	})
	if len(mixed) == 0 {
		return nil
	}
	return usage(fmt.Errorf("--config cannot be combined with %s: write what they say into the file", strings.Join(mixed, ", ")))
}
