package manifests

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// Images of kube-dns in Cluster.Images.
const (
	kubeDNSImage = "k8s-dns-kube-dns"
	dnsmasqImage = "k8s-dns-dnsmasq-nanny"
	sidecarImage = "k8s-dns-sidecar"
)

// kubeDNS renders kube-dns, the default up to 1.10 and a choice up to 1.20 (phases/addons/dns of kubeadm 1.10 and 1.20; facts section
// 7.2). It uses the cluster role system:kube-dns that the API server itself makes.
func kubeDNS(c *Cluster, service *corev1.Service) ([]runtime.Object, error) {
	if isSince(c.Version, 21) {
		return nil, fmt.Errorf("render DNS: kube-dns ended with v1.20, this is v%s; use CoreDNS", c.Version)
	}
	images := map[string]string{}
	for _, name := range []string{kubeDNSImage, dnsmasqImage, sidecarImage} {
		ref, err := c.image(name)
		if err != nil {
			return nil, fmt.Errorf("render DNS: %w", err)
		}
		images[name] = ref
	}
	const config = "kube-dns-config"
	pod := corev1.PodSpec{
		ServiceAccountName: dnsLabelName,
		PriorityClassName:  pick(c.Version, []row[string]{{since(14), "system-cluster-critical"}}),
		Tolerations:        dnsTolerations(c.Version),
		NodeSelector:       archNodes(c.Version, images[kubeDNSImage]),
		DNSPolicy:          corev1.DNSDefault,
		Volumes: []corev1.Volume{{
			Name: config,
			VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: dnsLabelName},
				Optional:             ptr.To(true),
			}},
		}},
		Containers: []corev1.Container{
			kubeDNSServer(c, images[kubeDNSImage], config),
			kubeDNSMasq(c, images[dnsmasqImage], config),
			kubeDNSSidecar(c, images[sidecarImage]),
		},
	}
	d := dnsDeployment(dnsLabelName, pod)
	d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{
		MaxSurge: ptr.To(intstr.FromString("10%")), MaxUnavailable: ptr.To(intstr.FromInt32(0)),
	}
	return []runtime.Object{serviceAccountObject(dnsLabelName), d, service}, nil
}

const kubeDNSHealthPort = 10054

// kubeDNSServer watches Services and answers on port 10053.
func kubeDNSServer(c *Cluster, image, config string) corev1.Container {
	return corev1.Container{
		Name:            "kubedns",
		Image:           image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            []string{"--domain=" + c.DNSDomain + ".", "--dns-port=10053", "--config-dir=/kube-dns-config", "--v=2"},
		Env:             []corev1.EnvVar{{Name: "PROMETHEUS_PORT", Value: "10055"}},
		Resources:       resources("100m", "70Mi", "170Mi"),
		LivenessProbe:   dnsLiveness("/healthcheck/kubedns", intstr.FromInt32(kubeDNSHealthPort)),
		ReadinessProbe: &corev1.Probe{
			ProbeHandler: httpGet("/readiness", intstr.FromInt32(8081)), InitialDelaySeconds: 3, TimeoutSeconds: 5,
		},
		Ports: []corev1.ContainerPort{
			containerPort("dns-local", 10053, corev1.ProtocolUDP),
			containerPort("dns-tcp-local", 10053, corev1.ProtocolTCP),
			containerPort("metrics", 10055, corev1.ProtocolTCP),
		},
		VolumeMounts: []corev1.VolumeMount{{Name: config, MountPath: "/kube-dns-config"}},
	}
}

// kubeDNSMasq is the cache in front.
func kubeDNSMasq(c *Cluster, image, config string) corev1.Container {
	args := []string{
		"-v=2", "-logtostderr", "-configDir=/etc/k8s/dns/dnsmasq-nanny", "-restartDnsmasq=true", "--",
		"-k", "--cache-size=1000", "--no-negcache",
	}
	if isSince(c.Version, 12) {
		args = append(args, "--dns-loop-detect")
	}
	args = append(args, "--log-facility=-")
	for _, zone := range []string{c.DNSDomain, "in-addr.arpa", "ip6.arpa"} {
		args = append(args, "--server=/"+zone+"/"+ipv4Loopback+"#10053")
	}
	return corev1.Container{
		Name:            "dnsmasq",
		Image:           image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            args,
		Resources:       resources("150m", "20Mi", ""),
		LivenessProbe:   dnsLiveness("/healthcheck/dnsmasq", intstr.FromInt32(kubeDNSHealthPort)),
		Ports:           []corev1.ContainerPort{containerPort("dns", 53, corev1.ProtocolUDP), containerPort("dns-tcp", 53, corev1.ProtocolTCP)},
		VolumeMounts:    []corev1.VolumeMount{{Name: config, MountPath: "/etc/k8s/dns/dnsmasq-nanny"}},
	}
}

// kubeDNSSidecar asks both and reports their health.
func kubeDNSSidecar(c *Cluster, image string) corev1.Container {
	probe := func(name, port string) string {
		return "--probe=" + name + "," + ipv4Loopback + ":" + port + ",kubernetes.default.svc." + c.DNSDomain + ",5,SRV"
	}
	return corev1.Container{
		Name:            "sidecar",
		Image:           image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Args:            []string{"--v=2", "--logtostderr", probe("kubedns", "10053"), probe("dnsmasq", "53")},
		Resources:       resources("10m", "20Mi", ""),
		LivenessProbe:   dnsLiveness("/metrics", intstr.FromInt32(kubeDNSHealthPort)),
		Ports:           []corev1.ContainerPort{containerPort("metrics", kubeDNSHealthPort, corev1.ProtocolTCP)},
	}
}
