package manifests

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// alphaDoc is the flat document before v1beta1: MasterConfiguration in v1alpha1 (1.10) and v1alpha2 (1.11), ClusterConfiguration in
// v1alpha3 (1.12). Tokens, which the first two could hold, are never written (apis/kubeadm/v1alpha* of kubeadm 1.10, 1.11, 1.12).
type alphaDoc struct {
	APIVersion                    string            `json:"apiVersion"`
	Kind                          string            `json:"kind"`
	API                           *apiDoc           `json:"api,omitempty"` // MasterConfiguration
	APIServerCertSANs             []string          `json:"apiServerCertSANs,omitempty"`
	APIServerExtraArgs            map[string]string `json:"apiServerExtraArgs,omitempty"`
	APIServerExtraVolumes         []alphaVolumeDoc  `json:"apiServerExtraVolumes,omitempty"`
	AuditPolicy                   *AuditPolicy      `json:"auditPolicy,omitempty"`
	CertificatesDir               string            `json:"certificatesDir,omitempty"`
	ClusterName                   string            `json:"clusterName,omitempty"`          // v1alpha2+
	ControlPlaneEndpoint          string            `json:"controlPlaneEndpoint,omitempty"` // v1alpha3
	ControllerManagerExtraArgs    map[string]string `json:"controllerManagerExtraArgs,omitempty"`
	ControllerManagerExtraVolumes []alphaVolumeDoc  `json:"controllerManagerExtraVolumes,omitempty"`
	CRISocket                     string            `json:"criSocket,omitempty"` // v1alpha1
	Etcd                          alphaEtcdDoc      `json:"etcd"`
	FeatureGates                  map[string]bool   `json:"featureGates,omitempty"`
	ImageRepository               string            `json:"imageRepository,omitempty"`
	KubeletConfiguration          *baseConfigDoc    `json:"kubeletConfiguration,omitempty"` // MasterConfiguration
	KubeProxy                     *configDoc        `json:"kubeProxy,omitempty"`            // MasterConfiguration
	KubernetesVersion             string            `json:"kubernetesVersion,omitempty"`
	Networking                    networkingDoc     `json:"networking"`
	NodeName                      string            `json:"nodeName,omitempty"`         // v1alpha1
	NodeRegistration              *nodeDoc          `json:"nodeRegistration,omitempty"` // v1alpha2
	SchedulerExtraArgs            map[string]string `json:"schedulerExtraArgs,omitempty"`
	SchedulerExtraVolumes         []alphaVolumeDoc  `json:"schedulerExtraVolumes,omitempty"`
}

type apiDoc struct {
	AdvertiseAddress     string `json:"advertiseAddress"`
	BindPort             int    `json:"bindPort"`
	ControlPlaneEndpoint string `json:"controlPlaneEndpoint,omitempty"`
}

type nodeDoc struct {
	Name      string `json:"name,omitempty"`
	CRISocket string `json:"criSocket,omitempty"`
}

type baseConfigDoc struct {
	BaseConfig map[string]any `json:"baseConfig,omitempty"`
}

type configDoc struct {
	Config map[string]any `json:"config,omitempty"`
}

// alphaVolumeDoc: volumes were writable only if they said so; v1alpha1 knew neither that nor a type.
type alphaVolumeDoc struct {
	Name      string              `json:"name"`
	HostPath  string              `json:"hostPath"`
	MountPath string              `json:"mountPath"`
	Writable  bool                `json:"writable,omitempty"`
	PathType  corev1.HostPathType `json:"pathType,omitempty"`
}

// alphaEtcdDoc is flat in v1alpha1 and has local and external after.
type alphaEtcdDoc struct {
	CAFile         string            `json:"caFile,omitempty"`
	CertFile       string            `json:"certFile,omitempty"`
	DataDir        string            `json:"dataDir,omitempty"`
	Endpoints      []string          `json:"endpoints,omitempty"`
	ExtraArgs      map[string]string `json:"extraArgs,omitempty"`
	KeyFile        string            `json:"keyFile,omitempty"`
	PeerCertSANs   []string          `json:"peerCertSANs,omitempty"`
	ServerCertSANs []string          `json:"serverCertSANs,omitempty"`

	Local    *localEtcdDoc    `json:"local,omitempty"`
	External *externalEtcdDoc `json:"external,omitempty"`
}

// coreDNSGate chose the DNS server before dns.type existed; its default changed in 1.11.
const coreDNSGate = "CoreDNS"

// masterConfiguration is v1alpha1 or v1alpha2, with the node that init made inside.
func masterConfiguration(c *Cluster, n *Node, api string) alphaDoc {
	doc := alphaCommon(c, api)
	doc.Kind = masterConfigKey
	doc.API = &apiDoc{AdvertiseAddress: n.AdvertiseAddress.String(), BindPort: n.port(), ControlPlaneEndpoint: c.ControlPlaneEndpoint}
	if len(c.KubeletConfig) > 0 {
		doc.KubeletConfiguration = &baseConfigDoc{c.KubeletConfig}
	}
	if len(c.KubeProxyConfig) > 0 {
		doc.KubeProxy = &configDoc{c.KubeProxyConfig}
	}
	if api == "v1alpha1" {
		doc.ClusterName = ""
		doc.NodeName, doc.CRISocket = n.Name, c.criSocket(n)
		doc.Etcd = flatEtcd(c)
		return doc
	}
	doc.NodeRegistration = &nodeDoc{Name: n.Name, CRISocket: c.criSocket(n)}
	return doc
}

// clusterConfigurationAlpha is v1alpha3.
func clusterConfigurationAlpha(c *Cluster) alphaDoc {
	doc := alphaCommon(c, "v1alpha3")
	doc.Kind = clusterConfigKey
	doc.ControlPlaneEndpoint = c.ControlPlaneEndpoint
	return doc
}

func alphaCommon(c *Cluster, api string) alphaDoc {
	gates := maps.Clone(c.FeatureGates)
	if gates == nil {
		gates = map[string]bool{}
	}
	gates[coreDNSGate] = !c.KubeDNS
	withType := api != "v1alpha1"
	nested := etcdDocOf(c, false)
	var audit *AuditPolicy
	if c.Auditing() {
		audit = &c.Audit
	}
	return alphaDoc{
		APIVersion:                    kubeadmGroup + api,
		APIServerCertSANs:             c.CertSANs,
		APIServerExtraArgs:            argMap(c.APIServer.ExtraArgs),
		APIServerExtraVolumes:         alphaVolumes(c.APIServer.ExtraVolumes, withType),
		AuditPolicy:                   audit,
		CertificatesDir:               c.CertificatesDir,
		ClusterName:                   c.Name,
		ControllerManagerExtraArgs:    argMap(c.ControllerManager.ExtraArgs),
		ControllerManagerExtraVolumes: alphaVolumes(c.ControllerManager.ExtraVolumes, withType),
		Etcd:                          alphaEtcdDoc{Local: nested.Local, External: nested.External},
		FeatureGates:                  gates,
		ImageRepository:               c.ImageRepository,
		KubernetesVersion:             "v" + c.Version.String(),
		Networking:                    networkingDoc{DNSDomain: c.DNSDomain, PodSubnet: c.PodSubnet, ServiceSubnet: c.ServiceSubnet},
		SchedulerExtraArgs:            argMap(c.Scheduler.ExtraArgs),
		SchedulerExtraVolumes:         alphaVolumes(c.Scheduler.ExtraVolumes, withType),
	}
}

func alphaVolumes(volumes []HostPathMount, withType bool) []alphaVolumeDoc {
	var out []alphaVolumeDoc
	for _, v := range volumes {
		doc := alphaVolumeDoc{Name: v.Name, HostPath: v.HostPath, MountPath: v.MountPath}
		if withType {
			doc.Writable, doc.PathType = !v.ReadOnly, v.PathType
		}
		out = append(out, doc)
	}
	return out
}

func flatEtcd(c *Cluster) alphaEtcdDoc {
	if e := c.Etcd.External; e != nil {
		return alphaEtcdDoc{Endpoints: e.Endpoints, CAFile: e.CAFile, CertFile: e.CertFile, KeyFile: e.KeyFile}
	}
	return alphaEtcdDoc{
		DataDir:        c.Etcd.DataDir,
		ExtraArgs:      argMap(c.Etcd.Local.ExtraArgs),
		PeerCertSANs:   c.Etcd.PeerCertSANs,
		ServerCertSANs: c.Etcd.ServerCertSANs,
	}
}

// parseAlpha reads v1alpha1, v1alpha2 and v1alpha3.
func parseAlpha(api string, data []byte) (*Cluster, error) {
	var doc alphaDoc
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
		APIServer:            alphaComponent(doc.APIServerExtraArgs, doc.APIServerExtraVolumes, api),
		ControllerManager:    alphaComponent(doc.ControllerManagerExtraArgs, doc.ControllerManagerExtraVolumes, api),
		Scheduler:            alphaComponent(doc.SchedulerExtraArgs, doc.SchedulerExtraVolumes, api),
		CertSANs:             doc.APIServerCertSANs,
		FeatureGates:         maps.Clone(doc.FeatureGates),
	}
	coreDNS, given := c.FeatureGates[coreDNSGate]
	c.KubeDNS = given && !coreDNS || !given && api == "v1alpha1"
	delete(c.FeatureGates, coreDNSGate)
	if len(c.FeatureGates) == 0 {
		c.FeatureGates = nil
	}
	c.Etcd = doc.Etcd.etcd()
	if doc.API != nil {
		c.ControlPlaneEndpoint = doc.API.ControlPlaneEndpoint
		name := doc.NodeName
		if doc.NodeRegistration != nil {
			name = doc.NodeRegistration.Name
		}
		c.APIEndpoints = map[string]APIEndpoint{name: {AdvertiseAddress: doc.API.AdvertiseAddress, BindPort: doc.API.BindPort}}
	}
	if doc.AuditPolicy != nil {
		c.Audit = *doc.AuditPolicy
	}
	if doc.KubeletConfiguration != nil {
		c.KubeletConfig = doc.KubeletConfiguration.BaseConfig
	}
	if doc.KubeProxy != nil {
		c.KubeProxyConfig = doc.KubeProxy.Config
	}
	return c, nil
}

func (d alphaEtcdDoc) etcd() Etcd {
	switch {
	case d.Local != nil || d.External != nil:
		return etcdDoc{Local: d.Local, External: d.External}.etcd()
	case len(d.Endpoints) > 0:
		return Etcd{External: &ExternalEtcd{Endpoints: d.Endpoints, CAFile: d.CAFile, CertFile: d.CertFile, KeyFile: d.KeyFile}}
	default:
		return Etcd{
			DataDir:        d.DataDir,
			Local:          Component{ExtraArgs: fromArgMap(d.ExtraArgs)},
			ServerCertSANs: d.ServerCertSANs,
			PeerCertSANs:   d.PeerCertSANs,
		}
	}
}

func alphaComponent(args map[string]string, volumes []alphaVolumeDoc, api string) Component {
	c := Component{ExtraArgs: fromArgMap(args)}
	for _, v := range volumes {
		c.ExtraVolumes = append(c.ExtraVolumes, HostPathMount{
			Name: v.Name, HostPath: v.HostPath, MountPath: v.MountPath,
			ReadOnly: api != "v1alpha1" && !v.Writable, PathType: v.PathType,
		})
	}
	return c
}
