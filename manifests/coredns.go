package manifests

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/utils/ptr"
)

const (
	dnsLabel     = "k8s-app"
	dnsLabelName = "kube-dns" // both servers carry it: the Service finds either
	corednsName  = "coredns"
)

// DNS renders CoreDNS (or kube-dns, where Cluster.KubeDNS asks for it and the version still had it: until 1.20).
//
// hasNameservers is false on a host with an empty resolv.conf: then the Corefile must not forward. CoreDNS runs with dnsPolicy Default,
// so its /etc/resolv.conf is the host's. Sources: phases/addons/dns of kubeadm 1.10 … 1.37; facts section 7.1.
func DNS(c *Cluster, hasNameservers bool) ([]runtime.Object, error) {
	service, err := dnsService(c)
	if err != nil {
		return nil, fmt.Errorf("render DNS: %w", err)
	}
	if c.KubeDNS {
		return kubeDNS(c, service)
	}
	deployment, err := coreDNSDeployment(c)
	if err != nil {
		return nil, fmt.Errorf("render DNS: %w", err)
	}
	return []runtime.Object{
		serviceAccountObject(corednsName),
		clusterRole("system:coredns", coreDNSRules(c.Version)...),
		clusterRoleBinding("system:coredns", "system:coredns", serviceAccount(corednsName)),
		configMap(kubeSystem, corednsName, map[string]string{"Corefile": corefile(c.Version, c.DNSDomain, hasNameservers)}),
		deployment,
		service,
	}, nil
}

// dnsService is called kube-dns whatever serves it; the kubelets hand its address to every pod.
func dnsService(c *Cluster) (*corev1.Service, error) {
	ip, err := ServiceIP(c.ServiceSubnet, dnsServiceIP)
	if err != nil {
		return nil, err
	}
	ports := []corev1.ServicePort{servicePort("dns", 53, corev1.ProtocolUDP), servicePort("dns-tcp", 53, corev1.ProtocolTCP)}
	if isSince(c.Version, 14) && !c.KubeDNS {
		ports = append(ports, servicePort("metrics", 9153, corev1.ProtocolTCP))
	}
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: kubeSystem,
			Name:      dnsLabelName,
			Labels: map[string]string{
				dnsLabel:                        dnsLabelName,
				"kubernetes.io/cluster-service": "true",
				"kubernetes.io/name":            pick(c.Version, []row[string]{{until(20), "KubeDNS"}, {since(21), "CoreDNS"}}),
			},
			Annotations: map[string]string{"prometheus.io/port": "9153", "prometheus.io/scrape": "true"},
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: ip.String(),
			Ports:     ports,
			Selector:  map[string]string{dnsLabel: dnsLabelName},
		},
	}, nil
}

func servicePort(name string, port int32, protocol corev1.Protocol) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: port, Protocol: protocol, TargetPort: intstr.FromInt32(port)}
}

// coreDNSRules: 1.13 to 1.27 could read nodes, 1.22 came to read endpoint slices.
func coreDNSRules(v *version.Version) []rbacv1.PolicyRule {
	watch := []string{"list", "watch"}
	rules := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"endpoints", "services", "pods", "namespaces"}, Verbs: watch},
	}
	if between(13, 27).has(minorOf(v)) {
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get"}})
	}
	if isSince(v, 22) {
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: watch})
	}
	return rules
}

func coreDNSDeployment(c *Cluster) (*appsv1.Deployment, error) {
	image, err := c.image(corednsName)
	if err != nil {
		return nil, err
	}
	v := c.Version
	container := corev1.Container{
		Name:            corednsName,
		Image:           image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            []string{"-conf", "/etc/coredns/Corefile"},
		Resources:       resources("100m", "70Mi", "170Mi"),
		Ports:           []corev1.ContainerPort{containerPort("dns", 53, corev1.ProtocolUDP), containerPort("dns-tcp", 53, corev1.ProtocolTCP)},
		VolumeMounts:    []corev1.VolumeMount{{Name: "config-volume", MountPath: "/etc/coredns", ReadOnly: true}},
	}
	coreDNSProbes(v, &container)
	pod := corev1.PodSpec{
		ServiceAccountName: corednsName,
		PriorityClassName:  pick(v, []row[string]{{since(14), "system-cluster-critical"}}),
		Tolerations:        dnsTolerations(v),
		NodeSelector:       pick(v, linuxNodes),
		DNSPolicy:          corev1.DNSDefault,
		Volumes: []corev1.Volume{{
			Name: "config-volume",
			VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: corednsName},
				Items:                []corev1.KeyToPath{{Key: "Corefile", Path: "Corefile"}},
			}},
		}},
	}
	if isSince(v, 11) {
		container.Ports = append(container.Ports, containerPort("metrics", 9153, corev1.ProtocolTCP))
		container.SecurityContext = coreDNSSecurity(v)
	}
	if isSince(v, 34) {
		container.Ports = append(container.Ports,
			containerPort(livenessPortName, coreDNSHealthPort, corev1.ProtocolTCP),
			containerPort(readinessPortName, coreDNSReadyPort, corev1.ProtocolTCP))
	}
	if between(14, 15).has(minorOf(v)) {
		container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: "tmp", MountPath: "/tmp"})
		pod.Volumes = append(pod.Volumes, corev1.Volume{
			Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}},
		})
	}
	if isSince(v, 25) {
		pod.Affinity = spreadOverNodes()
	}
	pod.Containers = []corev1.Container{container}

	const replicas = 2
	d := dnsDeployment(corednsName, pod)
	d.Spec.Replicas = ptr.To[int32](replicas)
	d.Spec.Strategy = appsv1.DeploymentStrategy{
		Type:          appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: ptr.To(intstr.FromInt32(1))},
	}
	return d, nil
}

// coreDNSSecurity: "all" became "ALL" in 1.29, as Pod Security Admission spells it.
func coreDNSSecurity(v *version.Version) *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false),
		Capabilities: &corev1.Capabilities{
			Add:  []corev1.Capability{"NET_BIND_SERVICE"},
			Drop: []corev1.Capability{pick(v, []row[corev1.Capability]{{until(28), "all"}, {since(29), "ALL"}})},
		},
		ReadOnlyRootFilesystem: ptr.To(true),
	}
}

const (
	coreDNSHealthPort = 8080
	coreDNSReadyPort  = 8181
	livenessPortName  = "liveness-probe"
	readinessPortName = "readiness-probe"
)

// coreDNSProbes: no readiness before 1.14, /health in 1.14 and 1.15, the ready plugin since; the ports have names since 1.34.
func coreDNSProbes(v *version.Version, container *corev1.Container) {
	health, ready := intstr.FromInt32(coreDNSHealthPort), intstr.FromInt32(coreDNSReadyPort)
	if isSince(v, 34) {
		health, ready = intstr.FromString(livenessPortName), intstr.FromString(readinessPortName)
	}
	container.LivenessProbe = dnsLiveness("/health", health)
	switch {
	case isSince(v, 16):
		container.ReadinessProbe = &corev1.Probe{ProbeHandler: httpGet("/ready", ready)}
	case isSince(v, 14):
		container.ReadinessProbe = &corev1.Probe{ProbeHandler: httpGet("/health", health)}
	}
}

// spreadOverNodes prefers one replica per node (1.25+).
func spreadOverNodes() *corev1.Affinity {
	const weight = 100
	return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
			Weight: weight,
			PodAffinityTerm: corev1.PodAffinityTerm{
				LabelSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
					Key: dnsLabel, Operator: metav1.LabelSelectorOpIn, Values: []string{dnsLabelName},
				}}},
				TopologyKey: "kubernetes.io/hostname",
			},
		}},
	}}
}
