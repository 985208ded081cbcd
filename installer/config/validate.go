package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/version"
)

// problems collects everything that is wrong, so that a user corrects a file once and not once per problem.
type problems struct{ list []error }

// add notes a problem of a field, named by its path in the file.
func (p *problems) add(field, format string, args ...any) {
	p.list = append(p.list, &fieldError{path: field, err: fmt.Errorf(format, args...)})
}

func (p *problems) err() error { return usage(errors.Join(p.list...)) }

func (c *Init) validate(p *problems) {
	p.node(&c.NodeRegistration)
	p.port("localAPIEndpoint.bindPort", c.LocalAPIEndpoint.BindPort)
	for i := range c.BootstrapTokens {
		p.token(fmt.Sprintf("bootstrapTokens[%d]", i), &c.BootstrapTokens[i])
	}
	if c.CertificateKey != "" {
		p.certificateKey("certificateKey", c.CertificateKey)
	}
	p.networking(&c.Cluster, net.ParseIP(c.LocalAPIEndpoint.AdvertiseAddress))
	p.cluster(&c.Cluster)
}

func (p *problems) cluster(c *ClusterConfiguration) {
	p.absolute("certificatesDir", c.CertificatesDir)
	p.repository("imageRepository", c.ImageRepository)
	p.repository("dns.imageRepository", c.DNS.ImageRepository)
	p.imageTag("dns.imageTag", c.DNS.ImageTag)
	p.sans("apiServer.certSANs", c.APIServer.CertSANs)
	p.component("apiServer", &c.APIServer.ControlPlaneComponent)
	p.component("controllerManager", &c.ControllerManager)
	p.component("scheduler", &c.Scheduler)
	p.etcd(&c.Etcd)
	if x := c.Etcd.External; x != nil && len(x.HTTPEndpoints) > 0 {
		if v, err := version.ParseGeneric(c.KubernetesVersion); err == nil && v.LessThan(version.MustParseGeneric("1.35.0")) {
			p.add("etcd.external.httpEndpoints", "Kubernetes %s does not know it; it exists since v1.35", c.KubernetesVersion)
		}
	}
	if !slices.Contains(keyAlgorithms(), c.EncryptionAlgorithm) {
		p.add("encryptionAlgorithm", "unknown %q: known are %s", c.EncryptionAlgorithm, strings.Join(keyAlgorithms(), ", "))
	}
	if c.CertificateValidityPeriod.Duration <= 0 {
		p.add("certificateValidityPeriod", "%s is not a validity", c.CertificateValidityPeriod.Duration)
	}
	if c.CACertificateValidityPeriod.Duration < c.CertificateValidityPeriod.Duration {
		p.add("caCertificateValidityPeriod", "%s is shorter than certificateValidityPeriod, and no certificate outlives its CA", c.CACertificateValidityPeriod.Duration)
	}
	for _, name := range slices.Sorted(maps.Keys(c.FeatureGates)) {
		if !regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`).MatchString(name) {
			p.add("featureGates", "%q is not the name of a feature gate", name)
		}
	}
}

// keyAlgorithms are those of v1beta4 (pki.Algorithms; the two packages are leaves and do not know each other).
func keyAlgorithms() []string {
	return []string{"RSA-2048", "RSA-3072", "RSA-4096", "ECDSA-P256", "ECDSA-P384"}
}

func (p *problems) etcd(e *Etcd) {
	if e.Local != nil && e.External != nil {
		p.add("etcd", "both local and external are given: leave one out")
	}
	if l := e.Local; l != nil {
		p.absolute("etcd.local.dataDir", l.DataDir)
		p.repository("etcd.local.imageRepository", l.ImageRepository)
		p.imageTag("etcd.local.imageTag", l.ImageTag)
		p.args("etcd.local.extraArgs", l.ExtraArgs)
		p.envs("etcd.local.extraEnvs", l.ExtraEnvs)
		p.sans("etcd.local.serverCertSANs", l.ServerCertSANs)
		p.sans("etcd.local.peerCertSANs", l.PeerCertSANs)
	}
	x := e.External
	if x == nil {
		return
	}
	if len(x.Endpoints) == 0 {
		p.add("etcd.external.endpoints", "is needed")
	}
	secure := false
	for i, text := range x.Endpoints {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			p.add(fmt.Sprintf("etcd.external.endpoints[%d]", i), "%q is not a URL such as https://10.0.0.5:2379", text)
			continue
		}
		secure = secure || u.Scheme == "https"
	}
	if (x.CertFile == "") != (x.KeyFile == "") {
		p.add("etcd.external", "certFile and keyFile belong together: one of them is missing")
	}
	if secure && x.CAFile == "" {
		p.add("etcd.external.caFile", "is needed for https endpoints")
	}
	for _, f := range []struct{ name, path string }{{"caFile", x.CAFile}, {"certFile", x.CertFile}, {"keyFile", x.KeyFile}} {
		if f.path != "" {
			p.absolute("etcd.external."+f.name, f.path)
		}
	}
}

func (p *problems) component(field string, c *ControlPlaneComponent) {
	p.args(field+".extraArgs", c.ExtraArgs)
	p.envs(field+".extraEnvs", c.ExtraEnvs)
	seen := map[string]bool{}
	for i, v := range c.ExtraVolumes {
		at := fmt.Sprintf("%s.extraVolumes[%d]", field, i)
		if msgs := validation.IsDNS1123Label(v.Name); len(msgs) > 0 {
			p.add(at+".name", "%q is not a volume name: lower case letters, digits and dashes, at most 63", v.Name)
		}
		if seen[v.Name] {
			p.add(at+".name", "%q stands twice", v.Name)
		}
		seen[v.Name] = true
		p.absolute(at+".hostPath", v.HostPath)
		p.absolute(at+".mountPath", v.MountPath)
		if !slices.Contains(hostPathTypes(), v.PathType) {
			p.add(at+".pathType", "unknown %q", v.PathType)
		}
	}
}

func hostPathTypes() []corev1.HostPathType {
	return []corev1.HostPathType{
		corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate, corev1.HostPathDirectory, corev1.HostPathFileOrCreate,
		corev1.HostPathFile, corev1.HostPathSocket, corev1.HostPathCharDev, corev1.HostPathBlockDev,
	}
}

// args checks names, not meanings: those belong to the component. A dash before the name is the usual slip.
func (p *problems) args(field string, args []Arg) {
	for i, a := range args {
		at := fmt.Sprintf("%s[%d].name", field, i)
		switch {
		case a.Name == "":
			p.add(at, "is needed")
		case strings.HasPrefix(a.Name, "-"):
			p.add(at, "%q: write the name without dashes", a.Name)
		case strings.ContainsAny(a.Name, "= \t\n"):
			p.add(at, "%q: a name has no blanks and no equals sign; the value has a field of its own", a.Name)
		}
		if strings.Contains(a.Value, "\n") {
			p.add(fmt.Sprintf("%s[%d].value", field, i), "has a line break")
		}
	}
}

func (p *problems) envs(field string, envs []corev1.EnvVar) {
	for i, e := range envs {
		if msgs := validation.IsEnvVarName(e.Name); len(msgs) > 0 {
			p.add(fmt.Sprintf("%s[%d].name", field, i), "%q is not the name of an environment variable", e.Name)
		}
	}
}

func (p *problems) absolute(field, path string) {
	switch {
	case path == "":
		p.add(field, "is needed")
	case !filepath.IsAbs(path):
		p.add(field, "%q is not an absolute path", path)
	case filepath.Clean(path) == "/":
		p.add(field, "%q is the whole file system", path)
	}
}

func (p *problems) repository(field, name string) {
	// The form of a reference without tag (distribution/reference): host, perhaps with a port, then lower case path components.
	if name != "" && !regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`).MatchString(name) {
		p.add(field, "%q is not a registry with a path, such as registry.example:5000/k8s", name)
	}
}

func (p *problems) imageTag(field, tag string) {
	if tag != "" && !regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`).MatchString(tag) {
		p.add(field, "%q is not a tag", tag)
	}
}

// certificateKey is 32 bytes for AES-256, in hex.
func (p *problems) certificateKey(field, key string) {
	if len(key) != 64 || strings.Trim(strings.ToLower(key), "0123456789abcdef") != "" {
		// The key itself is a secret and stays out of the message.
		p.add(field, "is not 64 hex digits (32 bytes)")
	}
}

// parseVersion brings a version into the form "v1.34.4".
func parseVersion(text string) (string, error) {
	v, err := version.ParseSemantic(text)
	if err != nil {
		return "", fmt.Errorf("%q %w", text, errVersion)
	}
	return "v" + v.String(), nil
}

// nodeMask is the size of the part of the pod range that a node gets (kube-controller-manager's --node-cidr-mask-size*).
func nodeMask(c *ClusterConfiguration, v6 bool) int {
	flag, size := "node-cidr-mask-size-ipv4", 24
	if v6 {
		flag, size = "node-cidr-mask-size-ipv6", 64
	}
	for _, name := range []string{"node-cidr-mask-size", flag} {
		if text, ok := ArgValue(c.ControllerManager.ExtraArgs, name); ok {
			if n, err := strconv.Atoi(text); err == nil {
				size = n
			}
		}
	}
	return size
}
