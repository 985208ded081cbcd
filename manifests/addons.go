package manifests

import (
	"path"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/version"
)

// Pieces that the addons share. linuxNodes: the label lost its beta prefix in 1.18's manifests (kubeadm 1.14, 1.18).
var linuxNodes = []row[map[string]string]{
	{between(14, 17), map[string]string{"beta.kubernetes.io/os": "linux"}},
	{since(18), map[string]string{"kubernetes.io/os": "linux"}},
}

// dnsTolerations let DNS run on control plane nodes under whichever taint the version knows (kubeadm 1.19, 1.20, 1.25, 1.27).
func dnsTolerations(v *version.Version) []corev1.Toleration {
	out := []corev1.Toleration{{Key: "CriticalAddonsOnly", Operator: corev1.TolerationOpExists}}
	for _, key := range pick(v, []row[[]string]{
		{until(19), []string{masterLabel}},
		{between(20, 25), []string{masterLabel, controlPlaneLabel}},
		{since(26), []string{controlPlaneLabel}},
	}) {
		out = append(out, corev1.Toleration{Key: key, Effect: corev1.TaintEffectNoSchedule})
	}
	return out
}

// dnsDeployment carries the labels by which the DNS Service finds its pods.
func dnsDeployment(name string, pod corev1.PodSpec) *appsv1.Deployment {
	labels := map[string]string{dnsLabel: dnsLabelName}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: kubeSystem, Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod},
		},
	}
}

func serviceAccountObject(name string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: metav1.ObjectMeta{Namespace: kubeSystem, Name: name},
	}
}

// resources requests CPU and memory; memoryLimit may be empty.
func resources(cpuRequest, memoryRequest, memoryLimit string) corev1.ResourceRequirements {
	r := corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse(cpuRequest),
		corev1.ResourceMemory: resource.MustParse(memoryRequest),
	}}
	if memoryLimit != "" {
		r.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memoryLimit)}
	}
	return r
}

func containerPort(name string, port int32, protocol corev1.Protocol) corev1.ContainerPort {
	return corev1.ContainerPort{Name: name, ContainerPort: port, Protocol: protocol}
}

func httpGet(path string, port intstr.IntOrString) corev1.ProbeHandler {
	return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: port, Scheme: corev1.URISchemeHTTP}}
}

// dnsLiveness has the timing of every DNS container: the first look after a minute, five failures.
func dnsLiveness(path string, port intstr.IntOrString) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:        httpGet(path, port),
		InitialDelaySeconds: 60, TimeoutSeconds: 5, SuccessThreshold: 1, FailureThreshold: 5,
	}
}

// archNodes keeps a pod whose image is for one architecture only (k8s-dns-kube-dns-arm64, up to 1.11) on such nodes; kubeadm did so until
// the images became manifest lists.
func archNodes(v *version.Version, image string) map[string]string {
	if isSince(v, 12) {
		return nil
	}
	name, _, _ := strings.Cut(path.Base(image), ":")
	for _, arch := range []string{"amd64", "arm64", "arm", "ppc64le", "s390x"} {
		if strings.HasSuffix(name, "-"+arch) {
			return map[string]string{"beta.kubernetes.io/arch": arch}
		}
	}
	return nil
}
