package manifests

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// The documents of kubeadm.k8s.io v1beta1 … v1beta4 as far as a cluster's stored ClusterConfiguration goes. One shape serves all four:
// fields that a version does not know stay empty and are left out (apis/kubeadm/v1beta* of kubeadm 1.13, 1.15, 1.22, 1.34).
type clusterDoc struct {
	APIVersion                  string          `json:"apiVersion"`
	Kind                        string          `json:"kind"`
	APIServer                   componentDoc    `json:"apiServer"`
	CACertificateValidityPeriod string          `json:"caCertificateValidityPeriod,omitempty"` // v1beta4
	CertificateValidityPeriod   string          `json:"certificateValidityPeriod,omitempty"`   // v1beta4
	CertificatesDir             string          `json:"certificatesDir,omitempty"`
	ClusterName                 string          `json:"clusterName,omitempty"`
	ControlPlaneEndpoint        string          `json:"controlPlaneEndpoint,omitempty"`
	ControllerManager           componentDoc    `json:"controllerManager"`
	DNS                         dnsDoc          `json:"dns"`
	EncryptionAlgorithm         string          `json:"encryptionAlgorithm,omitempty"` // v1beta4
	Etcd                        etcdDoc         `json:"etcd"`
	FeatureGates                map[string]bool `json:"featureGates,omitempty"`
	ImageRepository             string          `json:"imageRepository,omitempty"`
	KubernetesVersion           string          `json:"kubernetesVersion,omitempty"`
	Networking                  networkingDoc   `json:"networking"`
	Proxy                       *proxyDoc       `json:"proxy,omitempty"` // v1beta4
	Scheduler                   componentDoc    `json:"scheduler"`
}

// componentDoc is one control plane component; the last two fields belong to the API server's.
type componentDoc struct {
	ExtraArgs              argsDoc         `json:"extraArgs,omitzero"`
	ExtraVolumes           []volumeDoc     `json:"extraVolumes,omitempty"`
	ExtraEnvs              []corev1.EnvVar `json:"extraEnvs,omitempty"` // v1beta4
	CertSANs               []string        `json:"certSANs,omitempty"`
	TimeoutForControlPlane string          `json:"timeoutForControlPlane,omitempty"` // up to v1beta3
}

type volumeDoc struct {
	Name      string              `json:"name"`
	HostPath  string              `json:"hostPath"`
	MountPath string              `json:"mountPath"`
	ReadOnly  bool                `json:"readOnly,omitempty"`
	PathType  corev1.HostPathType `json:"pathType,omitempty"`
}

// dnsDoc: the type went with v1beta3, together with kube-dns.
type dnsDoc struct {
	Type            string `json:"type,omitempty"`
	ImageRepository string `json:"imageRepository,omitempty"`
	ImageTag        string `json:"imageTag,omitempty"`
	Disabled        bool   `json:"disabled,omitempty"` // v1beta4
}

type proxyDoc struct {
	Disabled bool `json:"disabled,omitempty"`
}

const (
	dnsTypeCoreDNS = "CoreDNS"
	dnsTypeKubeDNS = "kube-dns"
)

type etcdDoc struct {
	Local    *localEtcdDoc    `json:"local,omitempty"`
	External *externalEtcdDoc `json:"external,omitempty"`
}

type localEtcdDoc struct {
	ImageRepository string          `json:"imageRepository,omitempty"`
	ImageTag        string          `json:"imageTag,omitempty"`
	DataDir         string          `json:"dataDir"`
	ExtraArgs       argsDoc         `json:"extraArgs,omitzero"`
	ExtraEnvs       []corev1.EnvVar `json:"extraEnvs,omitempty"` // v1beta4
	ServerCertSANs  []string        `json:"serverCertSANs,omitempty"`
	PeerCertSANs    []string        `json:"peerCertSANs,omitempty"`
}

type externalEtcdDoc struct {
	Endpoints     []string `json:"endpoints"`
	HTTPEndpoints []string `json:"httpEndpoints,omitempty"` // v1beta4 of 1.35 and later
	CAFile        string   `json:"caFile"`
	CertFile      string   `json:"certFile"`
	KeyFile       string   `json:"keyFile"`
}

type networkingDoc struct {
	DNSDomain     string `json:"dnsDomain,omitempty"`
	PodSubnet     string `json:"podSubnet,omitempty"`
	ServiceSubnet string `json:"serviceSubnet,omitempty"`
}

// argsDoc is extraArgs: an object up to v1beta3, an ordered list of name and value since v1beta4. It reads both and writes what list says.
type argsDoc struct {
	args []Arg
	list bool
}

type argDoc struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// IsZero leaves an empty extraArgs out.
func (a argsDoc) IsZero() bool { return len(a.args) == 0 }

// MarshalJSON writes the list or the object.
func (a argsDoc) MarshalJSON() ([]byte, error) {
	if !a.list {
		return json.Marshal(argMap(a.args))
	}
	out := make([]argDoc, 0, len(a.args))
	for _, e := range a.args {
		out = append(out, argDoc(e))
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads either.
func (a *argsDoc) UnmarshalJSON(data []byte) error {
	var object map[string]string
	if err := json.Unmarshal(data, &object); err == nil {
		a.args = fromArgMap(object)
		return nil
	}
	var list []argDoc
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	for _, e := range list {
		a.args = append(a.args, Arg(e))
	}
	return nil
}

const (
	defaultValidity   = 365 * 24 * time.Hour
	defaultCAValidity = 10 * defaultValidity
)

// clusterConfigurationBeta is the document of one beta version.
func clusterConfigurationBeta(c *Cluster, api string) clusterDoc {
	latest := api == "v1beta4"
	doc := clusterDoc{
		APIVersion:           kubeadmGroup + api,
		Kind:                 clusterConfigKey,
		APIServer:            componentDocOf(c.APIServer, latest),
		ControllerManager:    componentDocOf(c.ControllerManager, latest),
		Scheduler:            componentDocOf(c.Scheduler, latest),
		CertificatesDir:      c.CertificatesDir,
		ClusterName:          c.Name,
		ControlPlaneEndpoint: c.ControlPlaneEndpoint,
		Etcd:                 etcdDocOf(c, latest),
		FeatureGates:         c.FeatureGates,
		ImageRepository:      c.ImageRepository,
		KubernetesVersion:    "v" + c.Version.String(),
		Networking:           networkingDoc{DNSDomain: c.DNSDomain, PodSubnet: c.PodSubnet, ServiceSubnet: c.ServiceSubnet},
	}
	doc.APIServer.CertSANs = c.CertSANs
	doc.DNS = dnsDoc{ImageRepository: c.DNSImage.ImageRepository, ImageTag: c.DNSImage.ImageTag}
	switch api {
	case "v1beta1", "v1beta2":
		doc.DNS.Type = dnsTypeCoreDNS
		if c.KubeDNS {
			doc.DNS.Type = dnsTypeKubeDNS
		}
	case "v1beta4":
		doc.EncryptionAlgorithm = c.KeyAlgorithm
		doc.CertificateValidityPeriod = duration(c.CertificateValidity, defaultValidity)
		doc.CACertificateValidityPeriod = duration(c.CACertificateValidity, defaultCAValidity)
		doc.Proxy = &proxyDoc{Disabled: c.ProxyDisabled}
		doc.DNS.Disabled = c.DNSDisabled
	}
	if !latest {
		doc.APIServer.TimeoutForControlPlane = duration(c.HealthCheckTimeout, defaultHealthCheckTimeout)
	}
	return doc
}

func componentDocOf(c Component, latest bool) componentDoc {
	doc := componentDoc{ExtraArgs: argsDoc{args: c.ExtraArgs, list: latest}}
	for _, v := range c.ExtraVolumes {
		doc.ExtraVolumes = append(doc.ExtraVolumes, volumeDoc(v))
	}
	if latest {
		doc.ExtraEnvs = c.ExtraEnvs
	}
	return doc
}

func etcdDocOf(c *Cluster, latest bool) etcdDoc {
	if e := c.Etcd.External; e != nil {
		doc := &externalEtcdDoc{Endpoints: e.Endpoints, CAFile: e.CAFile, CertFile: e.CertFile, KeyFile: e.KeyFile}
		// kubeadm 1.35 stores its default, the same addresses, too.
		if isSince(c.Version, 35) {
			if doc.HTTPEndpoints = e.HTTPEndpoints; len(doc.HTTPEndpoints) == 0 {
				doc.HTTPEndpoints = e.Endpoints
			}
		}
		return etcdDoc{External: doc}
	}
	local := &localEtcdDoc{
		ImageRepository: c.Etcd.Image.ImageRepository,
		ImageTag:        c.Etcd.Image.ImageTag,
		DataDir:         c.Etcd.DataDir,
		ExtraArgs:       argsDoc{args: c.Etcd.Local.ExtraArgs, list: latest},
		ServerCertSANs:  c.Etcd.ServerCertSANs,
		PeerCertSANs:    c.Etcd.PeerCertSANs,
	}
	if latest {
		local.ExtraEnvs = c.Etcd.Local.ExtraEnvs
	}
	return etcdDoc{Local: local}
}

// parseBeta reads any beta version.
func parseBeta(data []byte) (*Cluster, error) {
	var doc clusterDoc
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	c := &Cluster{
		Version:              parseVersion(doc.KubernetesVersion),
		Name:                 doc.ClusterName,
		ControlPlaneEndpoint: doc.ControlPlaneEndpoint,
		CertificatesDir:      doc.CertificatesDir,
		ImageRepository:      doc.ImageRepository,
		ServiceSubnet:        doc.Networking.ServiceSubnet,
		PodSubnet:            doc.Networking.PodSubnet,
		DNSDomain:            doc.Networking.DNSDomain,
		APIServer:            doc.APIServer.component(),
		ControllerManager:    doc.ControllerManager.component(),
		Scheduler:            doc.Scheduler.component(),
		CertSANs:             doc.APIServer.CertSANs,
		Etcd:                 doc.Etcd.etcd(),
		KubeDNS:              doc.DNS.Type == dnsTypeKubeDNS,
		DNSImage:             ImageMeta{ImageRepository: doc.DNS.ImageRepository, ImageTag: doc.DNS.ImageTag},
		DNSDisabled:          doc.DNS.Disabled,
		ProxyDisabled:        doc.Proxy != nil && doc.Proxy.Disabled,
		FeatureGates:         doc.FeatureGates,
		KeyAlgorithm:         doc.EncryptionAlgorithm,
	}
	var err error
	for _, d := range []struct {
		field, text string
		into        *time.Duration
	}{
		{"certificateValidityPeriod", doc.CertificateValidityPeriod, &c.CertificateValidity},
		{"caCertificateValidityPeriod", doc.CACertificateValidityPeriod, &c.CACertificateValidity},
		{"apiServer.timeoutForControlPlane", doc.APIServer.TimeoutForControlPlane, &c.HealthCheckTimeout},
	} {
		if *d.into, err = parseDuration(d.field, d.text); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (d componentDoc) component() Component {
	c := Component{ExtraArgs: d.ExtraArgs.args, ExtraEnvs: d.ExtraEnvs}
	for _, v := range d.ExtraVolumes {
		c.ExtraVolumes = append(c.ExtraVolumes, HostPathMount(v))
	}
	return c
}

func (d etcdDoc) etcd() Etcd {
	if e := d.External; e != nil {
		return Etcd{External: &ExternalEtcd{
			Endpoints: e.Endpoints, HTTPEndpoints: e.HTTPEndpoints, CAFile: e.CAFile, CertFile: e.CertFile, KeyFile: e.KeyFile,
		}}
	}
	if d.Local == nil {
		return Etcd{}
	}
	return Etcd{
		Image:          ImageMeta{ImageRepository: d.Local.ImageRepository, ImageTag: d.Local.ImageTag},
		DataDir:        d.Local.DataDir,
		Local:          Component{ExtraArgs: d.Local.ExtraArgs.args, ExtraEnvs: d.Local.ExtraEnvs},
		ServerCertSANs: d.Local.ServerCertSANs,
		PeerCertSANs:   d.Local.PeerCertSANs,
	}
}
